//! What one device learns from: a set, or some examples of it.

use super::DataSet;

/// What one device learns from: a set of its own, or some examples of a set that many devices share. Which of the two
/// makes no difference to what is learnt.
#[derive(Clone, Copy, Debug)]
pub struct Examples<'d> {
    set: &'d DataSet,
    /// Places in `set`; all of it where there are none.
    some: Option<&'d [usize]>,
}

impl<'d> Examples<'d> {
    /// Examples `some` of `set`, in that order.
    pub fn some(set: &'d DataSet, some: &'d [usize]) -> Self {
        Self { set, some: Some(some) }
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.some.map_or(self.set.len(), <[usize]>::len)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The set they are of.
    pub fn set(&self) -> &'d DataSet {
        self.set
    }

    /// Place in [`set`](Self::set) of the `i`-th of them.
    ///
    /// # Panics
    /// `i` is not below [`len`](Self::len).
    pub fn id(&self, i: usize) -> usize {
        self.some.map_or(i, |some| some[i])
    }
}

impl<'d> From<&'d DataSet> for Examples<'d> {
    fn from(set: &'d DataSet) -> Self {
        Self { set, some: None }
    }
}
