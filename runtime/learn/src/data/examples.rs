//! What one device learns from: a set, or some examples of it.

use super::DataSet;

/// What one device learns from: a set of its own, or some examples of a set that many devices share. Which of the two
/// makes no difference to what is learnt.
#[derive(Clone, Copy, Debug)]
pub struct Examples<'d> {
    set: &'d DataSet,
    which: Which<'d>,
}

/// Places in a set.
#[derive(Clone, Copy, Debug)]
enum Which<'d> {
    All,
    Some(&'d [usize]),
    /// Ascending.
    AllBut(&'d [usize]),
}

impl<'d> Examples<'d> {
    /// Examples `some` of `set`, in that order.
    pub fn some(set: &'d DataSet, some: &'d [usize]) -> Self {
        Self { set, which: Which::Some(some) }
    }

    /// All of `set` but the few at the places `held_back`, which ascend.
    pub fn all_but(set: &'d DataSet, held_back: &'d [usize]) -> Self {
        Self { set, which: Which::AllBut(held_back) }
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        match self.which {
            Which::All => self.set.len(),
            Which::Some(some) => some.len(),
            Which::AllBut(held_back) => self.set.len() - held_back.len(),
        }
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
        assert!(i < self.len(), "example {i} of {}", self.len());
        match self.which {
            Which::All => i,
            Which::Some(some) => some[i],
            Which::AllBut(held_back) => {
                // `place - j` examples are left before the j-th that is held back.
                i + held_back.iter().enumerate().take_while(|(j, place)| **place - j <= i).count()
            }
        }
    }
}

impl<'d> From<&'d DataSet> for Examples<'d> {
    fn from(set: &'d DataSet) -> Self {
        Self { set, which: Which::All }
    }
}
