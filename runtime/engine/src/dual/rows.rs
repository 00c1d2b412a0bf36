//! The shape of stacked rows, and which rows belong to which example.

use thiserror::Error;

/// Positions and tangents of a stacked matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stack {
    /// R, positions.
    pub positions: usize,
    /// K, tangents carried by each position; 0 for a plain stack.
    pub tangents: usize,
}

impl Stack {
    /// A stack without tangents.
    pub fn plain(positions: usize) -> Self {
        Self { positions, tangents: 0 }
    }

    /// Rows that belong to one position: its value and its tangents.
    pub fn group(self) -> usize {
        1 + self.tangents
    }

    /// All rows.
    pub fn rows(self) -> usize {
        self.positions * self.group()
    }
}

/// Token rows of a batch: the examples one after another, without padding.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    tokens: &'a [u32],
    starts: &'a [usize],
}

/// A batch that cannot be run.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum BatchError {
    /// No tokens, or an example without any.
    #[error("example {0} of the batch is empty; every example needs at least one token")]
    Empty(usize),
    /// The offsets do not partition the tokens.
    #[error("batch offsets end at {end}, but there are {tokens} tokens")]
    Offsets {
        /// Last offset.
        end: usize,
        /// Tokens given.
        tokens: usize,
    },
    /// A token id the model does not have.
    #[error("token id {token} at row {row} is outside the model's vocabulary of {vocabulary}")]
    Token {
        /// The id.
        token: u32,
        /// Its row.
        row: usize,
        /// Rows of the embedding.
        vocabulary: usize,
    },
}

impl<'a> Batch<'a> {
    /// `starts` has one offset an example and a last one equal to `tokens.len()`.
    pub fn new(tokens: &'a [u32], starts: &'a [usize], vocabulary: usize) -> Result<Self, BatchError> {
        let (first, end) = (starts.first().copied().unwrap_or(1), starts.last().copied().unwrap_or(0));
        if first != 0 || end != tokens.len() || starts.len() < 2 {
            return Err(BatchError::Offsets { end, tokens: tokens.len() });
        }
        if let Some(e) = starts.windows(2).position(|w| w[0] >= w[1]) {
            return Err(BatchError::Empty(e));
        }
        match tokens.iter().position(|&t| t as usize >= vocabulary) {
            Some(row) => Err(BatchError::Token { token: tokens[row], row, vocabulary }),
            None => Ok(Self { tokens, starts }),
        }
    }

    /// Token ids, one a position.
    pub fn tokens(&self) -> &'a [u32] {
        self.tokens
    }

    /// R.
    pub fn positions(&self) -> usize {
        self.tokens.len()
    }

    /// Examples in the batch.
    pub fn examples(&self) -> usize {
        self.starts.len() - 1
    }

    /// Positions of example `e`.
    pub fn span(&self, e: usize) -> std::ops::Range<usize> {
        self.starts[e]..self.starts[e + 1]
    }

    /// The example that owns `position`.
    pub fn example_of(&self, position: usize) -> usize {
        self.starts.partition_point(|&s| s <= position) - 1
    }
}

/// Turns a plain stack of width `width` into a live one in place: values move to the head of their group,
/// tangents become zero. `data` holds R·(1+K)·width elements, of which the first R·width are meaningful.
pub fn grow(data: &mut [f32], live: Stack, width: usize) {
    let group = live.group() * width;
    for i in (0..live.positions).rev() {
        data.copy_within(i * width..(i + 1) * width, i * group);
        data[i * group + width..(i + 1) * group].fill(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growing_keeps_values_and_zeroes_tangents() {
        let mut data = vec![9.0f32; 3 * 3 * 2];
        data[..6].copy_from_slice(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        grow(&mut data, Stack { positions: 3, tangents: 2 }, 2);
        let z = [0.0; 4];
        assert_eq!(data, [&[1.0, 2.0], &z[..], &[3.0, 4.0], &z[..], &[5.0, 6.0], &z[..]].concat());
    }

    #[test]
    fn batches_are_checked() {
        assert!(Batch::new(&[1, 2, 3], &[0, 1, 3], 4).is_ok());
        assert_eq!(Batch::new(&[1, 2, 3], &[0, 1, 1, 3], 4).unwrap_err(), BatchError::Empty(1));
        assert!(matches!(Batch::new(&[1, 2], &[0, 1], 4), Err(BatchError::Offsets { .. })));
        assert!(matches!(Batch::new(&[1, 7], &[0, 2], 4), Err(BatchError::Token { row: 1, .. })));
        assert!(matches!(Batch::new(&[], &[0], 4), Err(BatchError::Offsets { .. })));
        let b = Batch::new(&[1, 2, 3], &[0, 1, 3], 4).unwrap();
        assert_eq!([0, 1, 2].map(|i| b.example_of(i)), [0, 1, 1]);
    }
}
