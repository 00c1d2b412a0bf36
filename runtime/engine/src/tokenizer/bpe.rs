//! Byte pair encoding: the bytes of a word become single-character tokens, and neighbours are merged, the pair of lowest
//! rank and among equals the leftmost first, until no two neighbours have a merge.
//!
//! Everything is a sorted table: about 30 bytes a token or merge (1.6 MiB for SmolLM2), where hash tables of strings
//! take ten times as much, and a loading tokenizer would be the most that a small run ever holds.

use super::{TokenizerError, bytes, short};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// No token; ids are below it.
const NONE: u32 = u32::MAX;

/// Vocabulary and merges.
pub(super) struct Bpe {
    /// The texts of all tokens in byte-level form, one after another.
    text: String,
    /// Where each token's text ends.
    ends: Vec<u32>,
    /// Ids by text.
    by_text: Vec<u32>,
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
    /// From texts by id and merges ("left right") by rank.
    pub(super) fn new(tokens: &[&str], merges: &[&str]) -> Result<Self, TokenizerError> {
        let total: usize = tokens.iter().map(|t| t.len()).sum();
        if u32::try_from(total.max(tokens.len()).max(merges.len())).is_err() {
            return Err(TokenizerError::damaged("more than 4 GiB of tokens"));
        }
        let (mut text, mut ends) = (String::with_capacity(total), Vec::with_capacity(tokens.len()));
        for token in tokens {
            text.push_str(token);
            ends.push(text.len() as u32);
        }
        let mut by_text: Vec<u32> = (0..tokens.len() as u32).collect();
        by_text.sort_unstable_by_key(|&id| (tokens[id as usize], id));
        for pair in by_text.windows(2) {
            if tokens[pair[0] as usize] == tokens[pair[1] as usize] {
                let what = format!("tokens {} and {} are the same text", pair[0], pair[1]);
                return Err(TokenizerError::damaged(what));
            }
        }
        let mut bpe =
            Self { text, ends, by_text, merges: Vec::with_capacity(merges.len()), bytes: [NONE; 256] };
        for (byte, c) in bytes::CHARS.iter().enumerate() {
            bpe.bytes[byte] = bpe.id_of(c.encode_utf8(&mut [0; 4])).unwrap_or(NONE);
        }
        let mut joined = String::new();
        for (rank, merge) in (0..).zip(merges) {
            let known = merge.split_once(' ').and_then(|(left, right)| {
                joined.clear();
                joined.extend([left, right]);
                let [left, right, joined] = [left, right, &joined].map(|text| bpe.id_of(text));
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

    /// Number of tokens.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The text of a token.
    pub(super) fn token(&self, id: u32) -> Option<&str> {
        let end = *self.ends.get(id as usize)? as usize;
        let start = id.checked_sub(1).map_or(0, |before| self.ends[before as usize] as usize);
        self.text.get(start..end)
    }

    /// The token of a text.
    pub(super) fn id_of(&self, text: &str) -> Option<u32> {
        let found = self.by_text.binary_search_by(|&id| self.token(id).unwrap_or_default().cmp(text));
        found.ok().map(|at| self.by_text[at])
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
