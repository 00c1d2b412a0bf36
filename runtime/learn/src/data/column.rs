//! A column of a table of examples: in memory, or in a file where there are too many of them.

use bytemuck::Pod;
use sprig_budget::filed::{Filed, Filing};
use sprig_ground::PathError;
use std::ops::Range;
use std::path::Path;

/// Values, added one after another and then read.
#[derive(Debug)]
pub(super) enum Column<T> {
    Held(Vec<T>),
    /// Being written to a file; nothing can be read yet.
    Filing(Filing<T>),
    Filed(Filed<T>),
}

impl<T> Default for Column<T> {
    fn default() -> Self {
        Self::Held(Vec::new())
    }
}

impl<T: Pod> Column<T> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Held(values) => values.len(),
            Self::Filing(filing) => filing.count(),
            Self::Filed(filed) => filed.count(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Held(values) => values.capacity() * size_of::<T>(),
            Self::Filing(filing) => filing.bytes(),
            Self::Filed(filed) => filed.bytes(),
        }
    }

    /// The same with `more` values.
    pub(super) fn with(&self, more: usize) -> usize {
        match self {
            Self::Held(values) => (values.len() + more) * size_of::<T>(),
            _ => self.bytes(),
        }
    }

    /// Value `i`.
    pub(super) fn at(&self, i: usize) -> T {
        self.slice(i..i + 1)[0]
    }

    /// Values `range` of a column that is held or whole.
    pub(super) fn slice(&self, range: Range<usize>) -> &[T] {
        match self {
            Self::Held(values) => &values[range],
            Self::Filed(filed) => filed.get(range),
            Self::Filing(_) => panic!("read before it was written"),
        }
    }

    /// Number of values, from the first on, of which `is` is true: it is true of none behind one of which it is not.
    pub(super) fn partition_point(&self, is: impl Fn(T) -> bool) -> usize {
        let (mut from, mut to) = (0, self.len());
        while from < to {
            let middle = from + (to - from) / 2;
            if is(self.at(middle)) { from = middle + 1 } else { to = middle }
        }
        from
    }

    /// All values, some at a time.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &[T]> {
        let n = (16 << 10) / size_of::<T>();
        (0..self.len()).step_by(n).map(move |from| self.slice(from..(from + n).min(self.len())))
    }

    /// Adds `values`, those in memory with an eighth more room at a time, where doubling would hold up to twice the limit.
    pub(super) fn push(&mut self, values: &[T]) -> Result<(), PathError> {
        match self {
            Self::Held(held) => {
                if held.capacity() - held.len() < values.len() {
                    held.reserve_exact(values.len().max(held.len() / 8).max(64));
                }
                held.extend_from_slice(values);
                Ok(())
            }
            Self::Filing(filing) => filing.push(values),
            Self::Filed(_) => panic!("written after it was read"),
        }
    }

    /// Moves what is there, and what comes, into a file in `folder`.
    pub(super) fn file(&mut self, folder: &Path) -> Result<(), PathError> {
        if let Self::Held(held) = self {
            let mut filing = Filing::begin(folder)?;
            filing.push(held)?;
            *self = Self::Filing(filing);
        }
        Ok(())
    }

    /// Ends the adding: gives back what memory it does not need.
    pub(super) fn finish(&mut self) -> Result<(), PathError> {
        match std::mem::take(self) {
            Self::Held(mut held) => {
                held.shrink_to_fit();
                *self = Self::Held(held);
            }
            Self::Filing(filing) if filing.count() == 0 => {}
            Self::Filing(filing) => *self = Self::Filed(filing.finish()?),
            filed @ Self::Filed(_) => *self = filed,
        }
        Ok(())
    }
}
