//! Tokens that stand in a text as they are, before it is divided into others: at each place the longest. By a sorted list of
//! 4 bytes a token, since a vocabulary may have thousands of them (Gemma's 6,400 take an automaton megabytes).

use super::vocabulary::Vocabulary;
use super::{Specials, TokenizerError};
use std::ops::Range;

/// ggml's types of tokens.
pub(super) mod kind {
    pub(in super::super) const NORMAL: i32 = 1;
    pub(in super::super) const UNKNOWN: i32 = 2;
    pub(in super::super) const CONTROL: i32 = 3;
    pub(in super::super) const USER_DEFINED: i32 = 4;
    pub(in super::super) const UNUSED: i32 = 5;
    pub(in super::super) const BYTE: i32 = 6;
}

/// Bytes that a special token may have: each place of a text may be compared with so many. The longest seen have 31.
const MOST: usize = 1024;

/// The special tokens of a vocabulary.
pub(super) struct SpecialTokens {
    /// Ids in the order of their texts; of control and unknown tokens, and those that a user defined.
    ids: Vec<u32>,
    /// Ids of those that plain texts have too, ascending.
    plain: Vec<u32>,
    /// Whether one of them begins with a byte.
    first: [bool; 256],
}

impl SpecialTokens {
    pub(super) fn new(vocabulary: &Vocabulary, types: &[i32]) -> Result<Self, TokenizerError> {
        let is = |id: u32, kinds: &[i32]| types.get(id as usize).is_some_and(|kind| kinds.contains(kind));
        let text = |id: u32| vocabulary.token(id).unwrap_or_default();
        let special =
            |id: &u32| is(*id, &[kind::UNKNOWN, kind::CONTROL, kind::USER_DEFINED]) && !text(*id).is_empty();
        let count = vocabulary.by_text().iter().filter(|id| special(id)).count();
        let mut ids = Vec::with_capacity(count);
        ids.extend(vocabulary.by_text().iter().copied().filter(special));
        let mut first = [false; 256];
        for &id in &ids {
            let text = text(id).as_bytes();
            if text.len() > MOST {
                let what =
                    format!("the special token {id} has {} bytes; at most {MOST} are read", text.len());
                return Err(TokenizerError::damaged(what));
            }
            first[usize::from(text[0])] = true;
        }
        let mut plain: Vec<u32> = ids.iter().copied().filter(|&id| is(id, &[kind::USER_DEFINED])).collect();
        plain.sort_unstable();
        Ok(Self { ids, plain, first })
    }

    /// Whether decoding gives the text of `id` as it is.
    pub(super) fn contains(&self, vocabulary: &Vocabulary, id: u32) -> bool {
        let text = |id: u32| vocabulary.token(id).unwrap_or_default();
        self.ids.binary_search_by_key(&text(id), |&id| text(id)).is_ok()
    }

    /// The next one in `text` from byte `from` on, and where it is.
    pub(super) fn find(
        &self,
        vocabulary: &Vocabulary,
        text: &str,
        from: usize,
        specials: Specials,
    ) -> Option<(u32, Range<usize>)> {
        let bytes = text.as_bytes();
        let starts = (from..bytes.len()).filter(|&at| self.first[usize::from(bytes[at])]);
        starts.filter_map(|at| self.longest(vocabulary, bytes, at, specials)).next()
    }

    /// The longest that begins at byte `at`.
    fn longest(
        &self,
        vocabulary: &Vocabulary,
        bytes: &[u8],
        at: usize,
        specials: Specials,
    ) -> Option<(u32, Range<usize>)> {
        let letter = |id: &u32, depth: usize| {
            vocabulary.token(*id).and_then(|token| token.as_bytes().get(depth).copied())
        };
        // Those that begin as the text does, ever fewer: the shortest of them comes first, None before any byte.
        let (mut among, mut found) = (&self.ids[..], None);
        for (depth, &byte) in bytes[at..].iter().enumerate() {
            let from = among.partition_point(|id| letter(id, depth) < Some(byte));
            let to = from + among[from..].partition_point(|id| letter(id, depth) == Some(byte));
            among = &among[from..to];
            let Some(&shortest) = among.first() else { break };
            let wanted = specials == Specials::Parse || self.plain.binary_search(&shortest).is_ok();
            if wanted && letter(&shortest, depth + 1).is_none() {
                found = Some((shortest, at..at + depth + 1));
            }
        }
        found
    }
}
