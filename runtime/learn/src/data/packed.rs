//! Encoded examples, packed: 4 bytes a token and 16 an example, and what few of them have beside that. They are in memory,
//! or in files where there are too many.

use super::column::Column;
use super::encoded::{Encoded, Kind};
use bytemuck::{Pod, Zeroable};
use sha2::{Digest, Sha256};
use sprig_ground::PathError;
use std::path::Path;

/// One example, borrowed from its set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Example<'a> {
    /// At least one and at most [`LoadOptions::len`](super::LoadOptions::len) ids, of a pair twice that; for [`Target::Lm`] at
    /// least two.
    pub tokens: &'a [u32],
    /// What is learnt.
    pub target: Target<'a>,
}

/// What is learnt from an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// Each of `tokens[first..]` that is in none of the pauses, from the position before it; `first` is at least 1.
    Lm {
        /// Index of the first token that is a target.
        first: usize,
        /// What somebody else says behind it; ascending, apart, and none of them at the end.
        pauses: &'a [Pause],
    },
    /// One of a few tokens as the next after position `row`.
    Label {
        /// The position whose next-token logits are read: the last.
        row: usize,
        /// Token ids, one a class, in the order of the classes.
        candidates: &'a [u32],
        /// Index of the right one in `candidates`.
        answer: usize,
    },
    /// One of two completions of a prompt, which stands before them.
    Pair {
        /// Tokens of the prompt: index of the first token of the preferred completion.
        first: usize,
        /// Index of the first token of the other completion.
        second: usize,
    },
}

/// Tokens of an example that are no targets, behind some that are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Pause {
    /// Place of the example.
    example: u32,
    /// Index of the first.
    pub from: u32,
    /// Index of the first behind them.
    pub to: u32,
}

#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Entry {
    /// End of the example's tokens in [`Packed::tokens`].
    end: u64,
    /// First target; or the right candidate.
    target: u32,
    /// Number of candidates; 0 where tokens are the targets. Of a pair, where the other completion begins.
    candidates: u32,
}

/// Examples without what they are to be chosen from.
#[derive(Debug, Default)]
pub(super) struct Packed {
    tokens: Column<u32>,
    entries: Column<Entry>,
    /// Of each example; none while all are 1.
    weights: Column<f32>,
    /// Of all examples, in their order.
    pauses: Column<Pause>,
}

impl Packed {
    /// Number of examples.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Tokens of all examples.
    pub(super) fn tokens(&self) -> usize {
        self.tokens.len()
    }

    /// Tokens of all examples before example `i`, which is at most [`len`](Self::len).
    pub(super) fn tokens_before(&self, i: usize) -> usize {
        i.checked_sub(1).map_or(0, |last| self.entries.at(last).end as usize)
    }

    /// Candidates of example `i`; of a pair where its second completion begins.
    pub(super) fn candidates(&self, i: usize) -> usize {
        self.entries.at(i).candidates as usize
    }

    /// What example `i` counts.
    pub(super) fn weight(&self, i: usize) -> f32 {
        if self.weights.is_empty() { 1.0 } else { self.weights.at(i) }
    }

    /// Example `i`, which may have to choose among the first of `candidates`, or be a pair.
    pub(super) fn example<'a>(&'a self, i: usize, candidates: &'a [u32], pairs: bool) -> Example<'a> {
        let entry = self.entries.at(i);
        let tokens = self.tokens.slice(self.tokens_before(i)..entry.end as usize);
        let target = entry.target as usize;
        let target = match entry.candidates as usize {
            second if pairs => Target::Pair { first: target, second },
            0 => Target::Lm { first: target, pauses: self.pauses(i) },
            n => Target::Label { row: tokens.len() - 1, candidates: &candidates[..n], answer: target },
        };
        Example { tokens, target }
    }

    fn pauses(&self, i: usize) -> &[Pause] {
        let at = |i: usize| self.pauses.partition_point(|pause| (pause.example as usize) < i);
        self.pauses.slice(at(i)..at(i + 1))
    }

    /// Bytes of memory.
    pub(super) fn bytes(&self) -> usize {
        self.tokens.bytes() + self.entries.bytes() + self.weights.bytes() + self.pauses.bytes()
    }

    /// Bytes of memory that it has to hold with one more example.
    pub(super) fn with(&self, example: &Encoded, weight: f32) -> usize {
        let weights = if weight != 1.0 || !self.weights.is_empty() {
            self.weights.with(self.entries.len() + 1 - self.weights.len())
        } else {
            self.weights.bytes()
        };
        let pauses = if let Kind::Chat { pauses, .. } = &example.kind { pauses.len() } else { 0 };
        self.tokens.with(example.tokens.len()) + self.entries.with(1) + weights + self.pauses.with(pauses)
    }

    /// Moves what is there, and what comes, into files in `folder`.
    pub(super) fn file(&mut self, folder: &Path) -> Result<(), PathError> {
        self.tokens.file(folder)?;
        self.entries.file(folder)?;
        self.weights.file(folder)?;
        self.pauses.file(folder)
    }

    pub(super) fn push(&mut self, example: &Encoded, weight: f32) -> Result<(), PathError> {
        if weight != 1.0 || !self.weights.is_empty() {
            for _ in self.weights.len()..self.entries.len() {
                self.weights.push(&[1.0])?;
            }
            self.weights.push(&[weight])?;
        }
        self.tokens.push(&example.tokens)?;
        // Positions are below twice `len` and candidates few, so the narrowing is exact.
        let (target, candidates) = match example.kind {
            Kind::Lm { first } => (first as u32, 0),
            Kind::Chat { first, ref pauses } => {
                let example = self.entries.len() as u32;
                for &(from, to) in pauses {
                    self.pauses.push(&[Pause { example, from, to }])?;
                }
                (first as u32, 0)
            }
            Kind::Pick { candidates, answer } => (answer as u32, candidates as u32),
            Kind::Pair { first, second } => (first as u32, second as u32),
        };
        self.entries.push(&[Entry { end: self.tokens.len() as u64, target, candidates }])
    }

    /// Ends the adding: gives back what memory it does not need.
    pub(super) fn finish(&mut self) -> Result<(), PathError> {
        self.tokens.finish()?;
        self.entries.finish()?;
        self.weights.finish()?;
        self.pauses.finish()
    }

    /// SHA-256 over all of it and the `candidates`.
    pub(super) fn hash(&self, candidates: &[u32]) -> [u8; 32] {
        let mut hash = Sha256::new();
        for word in [self.tokens.len(), self.entries.len(), candidates.len()] {
            hash.update((word as u64).to_le_bytes());
        }
        for entry in self.entries.pieces().flatten() {
            hash.update(entry.end.to_le_bytes());
            hash.update(entry.target.to_le_bytes());
            hash.update(entry.candidates.to_le_bytes());
        }
        for token in candidates.iter().chain(self.tokens.pieces().flatten()) {
            hash.update(token.to_le_bytes());
        }
        // Nothing where all are 1, and where nobody pauses: such sets have the digests they always had.
        self.weights.pieces().flatten().for_each(|weight| hash.update(weight.to_le_bytes()));
        for pause in self.pauses.pieces().flatten() {
            [pause.example, pause.from, pause.to].iter().for_each(|word| hash.update(word.to_le_bytes()));
        }
        hash.finalize().into()
    }
}
