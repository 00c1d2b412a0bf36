//! Encoded examples, packed: 4 bytes a token and 16 an example, and what few of them have beside that.

use super::encoded::{Encoded, Kind};
use sha2::{Digest, Sha256};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Place of the example.
    example: u32,
    /// Index of the first.
    pub from: u32,
    /// Index of the first behind them.
    pub to: u32,
}

#[derive(Clone, Copy, Debug)]
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
    tokens: Vec<u32>,
    entries: Vec<Entry>,
    /// Of each example; none while all are 1.
    weights: Vec<f32>,
    /// Of all examples, in their order.
    pauses: Vec<Pause>,
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
        i.checked_sub(1).map_or(0, |last| self.entries[last].end as usize)
    }

    /// Candidates of example `i`; of a pair where its second completion begins.
    pub(super) fn candidates(&self, i: usize) -> usize {
        self.entries[i].candidates as usize
    }

    /// What example `i` counts.
    pub(super) fn weight(&self, i: usize) -> f32 {
        self.weights.get(i).copied().unwrap_or(1.0)
    }

    /// Example `i`, which may have to choose among the first of `candidates`, or be a pair.
    pub(super) fn example<'a>(&'a self, i: usize, candidates: &'a [u32], pairs: bool) -> Example<'a> {
        let entry = self.entries[i];
        let tokens = &self.tokens[self.tokens_before(i)..entry.end as usize];
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
        &self.pauses[at(i)..at(i + 1)]
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.tokens.capacity() * size_of::<u32>()
            + self.entries.capacity() * size_of::<Entry>()
            + self.weights.capacity() * size_of::<f32>()
            + self.pauses.capacity() * size_of::<Pause>()
    }

    /// Bytes that it has to hold with one more example.
    pub(super) fn with(&self, example: &Encoded, weight: f32) -> usize {
        let (tokens, entries) = (self.tokens.len() + example.tokens.len(), self.entries.len() + 1);
        let weights = if weight != 1.0 || !self.weights.is_empty() { entries } else { 0 };
        let pauses =
            self.pauses.len() + if let Kind::Chat { pauses, .. } = &example.kind { pauses.len() } else { 0 };
        (tokens + weights) * size_of::<u32>() + entries * size_of::<Entry>() + pauses * size_of::<Pause>()
    }

    pub(super) fn push(&mut self, example: &Encoded, weight: f32) {
        // An eighth more at a time, where doubling would hold up to twice the limit.
        room(&mut self.tokens, example.tokens.len());
        if self.entries.capacity() == self.entries.len() {
            self.entries.reserve_exact((self.entries.len() / 8).max(64));
        }
        if weight != 1.0 || !self.weights.is_empty() {
            if self.weights.capacity() <= self.entries.len() {
                let more = self.entries.capacity() - self.weights.len();
                self.weights.reserve_exact(more);
            }
            self.weights.resize(self.entries.len(), 1.0);
            self.weights.push(weight);
        }
        self.tokens.extend_from_slice(&example.tokens);
        // Positions are below twice `len` and candidates few, so the narrowing is exact.
        let (target, candidates) = match example.kind {
            Kind::Lm { first } => (first as u32, 0),
            Kind::Chat { first, ref pauses } => {
                room(&mut self.pauses, pauses.len());
                let example = self.entries.len() as u32;
                self.pauses.extend(pauses.iter().map(|&(from, to)| Pause { example, from, to }));
                (first as u32, 0)
            }
            Kind::Pick { candidates, answer } => (answer as u32, candidates as u32),
            Kind::Pair { first, second } => (first as u32, second as u32),
        };
        self.entries.push(Entry { end: self.tokens.len() as u64, target, candidates });
    }

    /// Gives back what it does not need.
    pub(super) fn shrink(&mut self) {
        self.tokens.shrink_to_fit();
        self.entries.shrink_to_fit();
        self.weights.shrink_to_fit();
        self.pauses.shrink_to_fit();
    }

    /// SHA-256 over all of it and the `candidates`.
    pub(super) fn hash(&self, candidates: &[u32]) -> [u8; 32] {
        let mut hash = Sha256::new();
        for word in [self.tokens.len(), self.entries.len(), candidates.len()] {
            hash.update((word as u64).to_le_bytes());
        }
        for entry in &self.entries {
            hash.update(entry.end.to_le_bytes());
            hash.update(entry.target.to_le_bytes());
            hash.update(entry.candidates.to_le_bytes());
        }
        for token in candidates.iter().chain(&self.tokens) {
            hash.update(token.to_le_bytes());
        }
        // Nothing where all are 1, and where nobody pauses: such sets have the digests they always had.
        self.weights.iter().for_each(|weight| hash.update(weight.to_le_bytes()));
        for pause in &self.pauses {
            [pause.example, pause.from, pause.to].iter().for_each(|word| hash.update(word.to_le_bytes()));
        }
        hash.finalize().into()
    }
}

/// Makes room for `more` of them.
fn room<T>(items: &mut Vec<T>, more: usize) {
    if items.capacity() - items.len() < more {
        items.reserve_exact(more.max(items.len() / 8));
    }
}
