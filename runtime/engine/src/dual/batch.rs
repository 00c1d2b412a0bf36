//! Which rows belong to which sequence and example, and the directions that a pass carries for them.

use super::rows::Stack;
use super::site::{Directions, Mask};
use std::ops::Range;
use thiserror::Error;

/// Most tangents one pass may carry.
pub const MAX_TANGENTS: usize = 64;

/// Token rows of a batch: the examples one after another, without padding, each of one or more sequences. Rows attend
/// within their sequence; all rows of an example move along the same directions.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    tokens: &'a [u32],
    examples: &'a [usize],
    sequences: &'a [usize],
    prompts: Option<&'a [usize]>,
    branching: bool,
}

/// Directions to carry: tangent k of an example is the derivative along its direction k.
#[derive(Clone, Copy)]
pub struct Probe<'a> {
    /// Where directions come from.
    pub directions: &'a dyn Directions,
    /// K, at least 1.
    pub tangents: usize,
    /// Index of the batch's first example in the whole batch, when that was split.
    pub first_example: usize,
}

/// The rows of a pass, and what they carry.
#[derive(Clone, Copy)]
pub struct DualBatch<'a> {
    /// Rows by example.
    pub rows: Batch<'a>,
    /// The directions; none for evaluation and generation.
    pub probe: Option<Probe<'a>>,
    /// What adapters do not see; all is seen in evaluation and generation.
    pub mask: Option<&'a dyn Mask>,
}

/// A batch that cannot be run.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum BatchError {
    /// No tokens, or an example or sequence without any.
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
    /// A token id wanted of the output head, which has no such row.
    #[error(
        "token id {token} is an answer, and the model has logits for ids below {vocabulary} only: its tokenizer lists \
         tokens that the model was not made for; use answers of other words, or another model file"
    )]
    Answer {
        /// The id.
        token: u32,
        /// Rows of the output head.
        vocabulary: usize,
    },
    /// More tangents than attention has room for.
    #[error("a pass carries up to {MAX_TANGENTS} tangents, not {0}")]
    Tangents(usize),
}

impl<'a> Batch<'a> {
    /// Examples of one sequence each. `starts` has one offset an example and a last one equal to `tokens.len()`.
    ///
    /// # Errors
    /// [`BatchError`] for offsets that are no such thing, and for tokens that a model of `vocabulary` does not have.
    pub fn new(tokens: &'a [u32], starts: &'a [usize], vocabulary: usize) -> Result<Self, BatchError> {
        check_offsets(starts, tokens.len())?;
        match tokens.iter().position(|&t| t as usize >= vocabulary) {
            Some(row) => Err(BatchError::Token { token: tokens[row], row, vocabulary }),
            None => Ok(Self { tokens, examples: starts, sequences: starts, prompts: None, branching: false }),
        }
    }

    /// The same examples as `sequences`, whose offsets are as those of the examples and have these among them.
    ///
    /// # Errors
    /// [`BatchError`] for offsets that are no such thing.
    pub fn of_sequences(self, sequences: &'a [usize]) -> Result<Self, BatchError> {
        check_offsets(sequences, self.tokens.len())?;
        match self.examples.iter().find(|start| sequences.binary_search(start).is_err()) {
            Some(&end) => Err(BatchError::Offsets { end, tokens: self.tokens.len() }),
            None => Ok(Self { sequences, ..self }),
        }
    }

    /// The same of which the first tokens of each example, so many as `prompts` has for it, are its prompt.
    pub fn prompted(self, prompts: &'a [usize]) -> Self {
        Self { prompts: Some(prompts), ..self }
    }

    /// The same whose sequences are branches: an example's first one begins with its prompt, and the others see that as if it
    /// stood before them too. The prompt is run once.
    pub fn branching(self) -> Self {
        Self { branching: true, ..self }
    }

    /// Whether its sequences are branches.
    pub fn is_branching(&self) -> bool {
        self.branching
    }

    /// A pass over it without tangents.
    pub fn plain(self) -> DualBatch<'a> {
        DualBatch { rows: self, probe: None, mask: None }
    }

    /// A pass over it along `probe`.
    pub fn along(self, probe: Probe<'a>) -> DualBatch<'a> {
        DualBatch { rows: self, probe: Some(probe), mask: None }
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
        self.examples.len() - 1
    }

    /// Positions of example `e`.
    pub fn span(&self, e: usize) -> Range<usize> {
        self.examples[e]..self.examples[e + 1]
    }

    /// Positions of the prompt of example `e`, up to `most`: all of it where nothing is said of prompts.
    pub fn prompt(&self, e: usize, most: usize) -> Range<usize> {
        let span = self.span(e);
        let tokens = self.prompts.map_or(span.len(), |prompts| prompts[e]).clamp(1, span.len());
        span.start..span.start + tokens.min(most)
    }

    /// Positions of the sequence that owns `position`.
    pub fn sequence_at(&self, position: usize) -> Range<usize> {
        let s = self.sequences.partition_point(|&s| s <= position);
        self.sequences[s - 1]..self.sequences[s]
    }

    /// Positions that the sequence which owns `position` goes on from: those of the prompt, if it is a branch; else none.
    pub fn trunk_at(&self, position: usize) -> Range<usize> {
        let e = self.example_at(position);
        let start = self.examples[e];
        match self.branching && self.sequence_at(position).start > start {
            true => self.prompt(e, usize::MAX),
            false => start..start,
        }
    }

    /// Positions of other sequences that see `position`: those of all branches, if it is one of the prompt; else none.
    pub fn branches_at(&self, position: usize) -> Range<usize> {
        let (e, end) = (self.example_at(position), self.sequence_at(position).end);
        match self.branching && self.prompt(e, usize::MAX).contains(&position) {
            true => end..self.examples[e + 1],
            false => end..end,
        }
    }

    /// The end of the positions from `position` on that are of one sequence, and of one prompt or of none.
    pub fn alike_until(&self, position: usize) -> usize {
        let (end, prompt) =
            (self.sequence_at(position).end, self.prompt(self.example_at(position), usize::MAX));
        if self.branching && prompt.contains(&position) { end.min(prompt.end) } else { end }
    }

    /// Place of `position` in its text.
    pub fn place(&self, position: usize) -> usize {
        position - self.sequence_at(position).start + self.trunk_at(position).len()
    }

    fn example_at(&self, position: usize) -> usize {
        self.examples.partition_point(|&start| start <= position) - 1
    }

    /// Where in example `e`, counted from its first token, further sequences begin.
    pub fn cuts(&self, e: usize) -> impl Iterator<Item = usize> + 'a {
        let span = self.span(e);
        let from = self.sequences.partition_point(|&s| s <= span.start);
        let cuts = self.sequences[from..].iter().take_while(move |&&s| s < span.end);
        cuts.map(move |s| s - span.start)
    }
}

impl<'a> DualBatch<'a> {
    /// K.
    pub fn tangents(&self) -> usize {
        self.probe.map_or(0, |probe| probe.tangents)
    }

    /// Its rows before anything is perturbed.
    pub fn plain(&self) -> Stack {
        Stack::plain(self.rows.positions())
    }

    /// Its rows with all tangents.
    pub fn live(&self) -> Stack {
        Stack { positions: self.rows.positions(), tangents: self.tangents() }
    }

    /// The rows that layers make of rows `x`: live if those are, or if one of the layers [moves](super::Layer::moves).
    pub fn behind(&self, x: Stack, moves: bool) -> Stack {
        if moves { self.live() } else { x }
    }

    /// Refuses more tangents than attention has room for.
    ///
    /// # Errors
    /// [`BatchError::Tangents`].
    pub fn check(&self) -> Result<(), BatchError> {
        match self.tangents() {
            0..=MAX_TANGENTS => Ok(()),
            many => Err(BatchError::Tangents(many)),
        }
    }
}

/// Offsets ascend from 0 to `tokens`, of which there is at least one.
fn check_offsets(starts: &[usize], tokens: usize) -> Result<(), BatchError> {
    let (first, end) = (starts.first().copied().unwrap_or(1), starts.last().copied().unwrap_or(0));
    if first != 0 || end != tokens || starts.len() < 2 {
        return Err(BatchError::Offsets { end, tokens });
    }
    match starts.windows(2).position(|w| w[0] >= w[1]) {
        Some(e) => Err(BatchError::Empty(e)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_checked() {
        assert!(Batch::new(&[1, 2, 3], &[0, 1, 3], 4).is_ok());
        assert_eq!(Batch::new(&[1, 2, 3], &[0, 1, 1, 3], 4).unwrap_err(), BatchError::Empty(1));
        assert!(matches!(Batch::new(&[1, 2], &[0, 1], 4), Err(BatchError::Offsets { .. })));
        assert!(matches!(Batch::new(&[1, 7], &[0, 2], 4), Err(BatchError::Token { row: 1, .. })));
        assert!(matches!(Batch::new(&[], &[0], 4), Err(BatchError::Offsets { .. })));
        let b = Batch::new(&[1, 2, 3], &[0, 1, 3], 4).unwrap();
        assert_eq!([0, 1, 2].map(|i| b.sequence_at(i)), [0..1, 1..3, 1..3]);
        assert_eq!(b.cuts(0).chain(b.cuts(1)).count(), 0);
    }

    #[test]
    fn branches_go_on_from_their_prompt() {
        let tokens = [1; 9];
        let batch = Batch::new(&tokens, &[0, 2, 9], 4).unwrap().of_sequences(&[0, 2, 5, 7, 9]).unwrap();
        let b = batch.prompted(&[1, 2]).branching();
        assert_eq!((b.trunk_at(4), b.trunk_at(6), b.trunk_at(8)), (2..2, 2..4, 2..4));
        assert_eq!([2, 4, 5, 6, 7].map(|i| b.place(i)), [0, 2, 2, 3, 2]);
        assert_eq!((b.branches_at(3), b.branches_at(4), b.branches_at(6)), (5..9, 5..5, 7..7));
        assert_eq!([2, 3, 4, 5].map(|i| b.alike_until(i)), [4, 4, 5, 7]);
        // Sequences that are none see nothing of each other.
        let apart = batch.prompted(&[1, 2]);
        assert_eq!((apart.trunk_at(6).len(), apart.branches_at(3).len(), apart.place(6)), (0, 0, 1));
        assert_eq!(apart.alike_until(2), 5);
    }

    #[test]
    fn sequences_divide_examples() {
        let tokens = [1; 9];
        let batch = Batch::new(&tokens, &[0, 2, 9], 4).unwrap();
        let b = batch.of_sequences(&[0, 2, 5, 6, 9]).unwrap();
        assert_eq!((b.examples(), b.span(1), b.sequence_at(4), b.sequence_at(8)), (2, 2..9, 2..5, 6..9));
        assert_eq!((b.cuts(0).count(), b.cuts(1).collect::<Vec<_>>()), (0, vec![3, 4]));
        assert!(matches!(batch.of_sequences(&[0, 3, 9]), Err(BatchError::Offsets { end: 2, .. })));
        assert_eq!(batch.of_sequences(&[0, 2, 2, 9]).unwrap_err(), BatchError::Empty(1));
    }
}
