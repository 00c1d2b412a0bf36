//! Byte pair encoding: the bytes of a word become single-character tokens, and neighbours are merged, the pair of lowest
//! rank and among equals the leftmost first, until no two neighbours have a merge.
//!
//! Merges are a sorted table of 16 bytes each, as the tokens are one (1.6 MiB for SmolLM2 together): a loading tokenizer would
//! else be the most that a small run ever holds.

use super::vocabulary::Vocabulary;
use super::{TokenizerError, bytes, short};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// No token; ids are below it.
const NONE: u32 = u32::MAX;

/// Merges, and the tokens of bytes.
pub(super) struct Bpe {
    /// By pair.
    merges: Vec<Merge>,
    /// The token of each byte; some vocabularies lack a few.
    bytes: [u32; 256],
}

#[derive(Clone, Copy)]
struct Merge {
    left: u32,
    right: u32,
    rank: u32,
    joined: u32,
}

/// Buffers of one encoding after another.
#[derive(Default)]
pub(super) struct Scratch {
    symbols: Vec<Symbol>,
    /// (rank, place of the left one) of pairs that may be merged; some have changed since.
    pairs: BinaryHeap<Reverse<(u32, u32)>>,
}

/// A token of a word under way; a merged right neighbour stays behind as `NONE`.
struct Symbol {
    id: u32,
    previous: u32,
    next: u32,
}

impl Bpe {
    /// From merges ("left right") by rank.
    pub(super) fn new(vocabulary: &Vocabulary, merges: &[&str]) -> Result<Self, TokenizerError> {
        if u32::try_from(merges.len()).is_err() {
            return Err(TokenizerError::damaged("more than 4 billion merges"));
        }
        let mut bpe = Self { merges: Vec::with_capacity(merges.len()), bytes: [NONE; 256] };
        for (byte, c) in bytes::CHARS.iter().enumerate() {
            bpe.bytes[byte] = vocabulary.id_of(c.encode_utf8(&mut [0; 4])).unwrap_or(NONE);
        }
        let mut joined = String::new();
        for (rank, merge) in (0..).zip(merges) {
            let known = merge.split_once(' ').and_then(|(left, right)| {
                joined.clear();
                joined.extend([left, right]);
                let [left, right, joined] = [left, right, &joined].map(|text| vocabulary.id_of(text));
                Some(Merge { left: left?, right: right?, rank, joined: joined? })
            });
            let Some(merge) = known else {
                let what = format!("merge {rank} \"{}\" is not of two tokens into a third", short(merge));
                return Err(TokenizerError::damaged(what));
            };
            bpe.merges.push(merge);
        }
        // Of a pair that is named twice the first counts: nothing ever waits for the second.
        bpe.merges.sort_unstable_by_key(|m| (m.left, m.right, m.rank));
        bpe.merges.dedup_by_key(|m| (m.left, m.right));
        Ok(bpe)
    }

    /// Appends the tokens of `word` to `ids`. Bytes without a token vanish.
    pub(super) fn encode(&self, word: &[u8], scratch: &mut Scratch, ids: &mut Vec<u32>) {
        let Scratch { symbols, pairs } = scratch;
        symbols.clear();
        pairs.clear();
        symbols.reserve_exact(word.len());
        for id in word.iter().map(|&b| self.bytes[usize::from(b)]).filter(|&id| id != NONE) {
            let at = symbols.len() as u32;
            symbols.push(Symbol { id, previous: at.wrapping_sub(1), next: at + 1 });
        }
        let count = symbols.len() as u32;
        for at in 1..count {
            self.offer(symbols, pairs, at - 1);
        }
        while let Some(Reverse((rank, at))) = pairs.pop() {
            // One of the two may have been merged with another since, and then again: only the rank tells.
            let Some(merge) = self.merge_at(symbols, at).filter(|m| m.rank == rank) else { continue };
            let right = symbols[at as usize].next;
            let after = symbols[right as usize].next;
            symbols[right as usize].id = NONE;
            symbols[at as usize].id = merge.joined;
            symbols[at as usize].next = after;
            if after < count {
                symbols[after as usize].previous = at;
                self.offer(symbols, pairs, at);
            }
            let before = symbols[at as usize].previous;
            if before < count {
                self.offer(symbols, pairs, before);
            }
        }
        ids.extend(symbols.iter().map(|s| s.id).filter(|&id| id != NONE));
    }

    fn offer(&self, symbols: &[Symbol], pairs: &mut BinaryHeap<Reverse<(u32, u32)>>, at: u32) {
        if let Some(merge) = self.merge_at(symbols, at) {
            pairs.push(Reverse((merge.rank, at)));
        }
    }

    /// The merge of the symbol at `at` with the next one.
    fn merge_at(&self, symbols: &[Symbol], at: u32) -> Option<Merge> {
        let left = &symbols[at as usize];
        let pair = (left.id, symbols.get(left.next as usize)?.id);
        let found = self.merges.binary_search_by_key(&pair, |m| (m.left, m.right));
        found.ok().map(|at| self.merges[at])
    }
}
