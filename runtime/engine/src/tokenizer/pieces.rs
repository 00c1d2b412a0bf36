//! SentencePiece's byte pair encoding: the characters of a text are merged, the pair that makes the token of the best score
//! and among equals the leftmost first, until no two neighbours make a token; a character without a token becomes those of
//! its bytes. A space is the character ▁ of a token.
//!
//! As the reference implementations do it (sentencepiece's `bpe_model.cc`, llama.cpp's `llm_tokenizer_spm`), but word by word:
//! a text is cut before white space where no token of the vocabulary spans such a place, which changes no merge, and a text
//! of any length takes the memory of a word.

use super::TokenizerError;
use super::specials::kind;
use super::vocabulary::Vocabulary;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::ControlFlow;

/// What stands for a space in tokens.
pub(super) const SPACE: char = '▁';

/// The order of a token that nothing is merged into.
const NEVER: i32 = i32::MIN;
/// No token; ids are below it.
const NONE: u32 = u32::MAX;

/// Scores, and what characters without a token become.
pub(super) struct Pieces {
    /// Integers in the order of the scores; [`NEVER`] for what is not text.
    order: Vec<i32>,
    /// The token of each byte.
    bytes: [u32; 256],
    unknown: Option<u32>,
    /// Whether a token has white space after a character that ends in this byte.
    spanned: [bool; 256],
    /// Whether a text, and what follows a special token, is taken as if a space came before it.
    pub(super) space_first: bool,
}

/// Buffers of one encoding after another.
#[derive(Default)]
pub(super) struct Scratch {
    word: String,
    symbols: Vec<Symbol>,
    /// (order, place of the left one, bytes of both) of pairs that make a token; some have changed since.
    pairs: BinaryHeap<(i32, Reverse<u32>, u32)>,
}

/// A run of characters under way, up to where the next begins; a merged right neighbour stays behind with no next.
struct Symbol {
    start: u32,
    previous: u32,
    next: u32,
}

impl Pieces {
    /// From scores and types by id.
    pub(super) fn new(
        vocabulary: &Vocabulary,
        scores: &[f32],
        types: &[i32],
        (unknown, space_first): (Option<u32>, bool),
    ) -> Result<Self, TokenizerError> {
        let count = vocabulary.len();
        if scores.len() != count {
            let what = format!("{} scores for {count} tokens", scores.len());
            return Err(TokenizerError::damaged(what));
        }
        if let Some(id) = scores.iter().position(|score| score.is_nan()) {
            return Err(TokenizerError::damaged(format!("the score of token {id} is not a number")));
        }
        let kind_of = |id: u32| types.get(id as usize).copied().unwrap_or(kind::NORMAL);
        let mut pieces = Self {
            order: Vec::with_capacity(count),
            bytes: [NONE; 256],
            unknown,
            spanned: [false; 256],
            space_first,
        };
        for (id, &score) in (0u32..).zip(scores) {
            let token = vocabulary.token(id).unwrap_or_default();
            let text = matches!(kind_of(id), kind::NORMAL | kind::USER_DEFINED | kind::UNUSED);
            pieces.order.push(if text { order(score) } else { NEVER });
            for (a, b) in token.chars().zip(token.chars().skip(1)).filter(|_| text) {
                if !is_space(a) && is_space(b) {
                    pieces.spanned[last_byte(a)] = true;
                }
            }
        }
        for byte in 0..=255u8 {
            let id = vocabulary.id_of(&format!("<0x{byte:02X}>")).filter(|&id| kind_of(id) == kind::BYTE);
            pieces.bytes[usize::from(byte)] = id.unwrap_or(NONE);
        }
        Ok(pieces)
    }

    /// Calls `word` with every word of `text` in order, none longer than `most` bytes, until it breaks off; the words
    /// joined are the text.
    pub(super) fn words(
        &self,
        text: &str,
        most: usize,
        mut word: impl FnMut(&str) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let (mut start, mut before) = (0, SPACE);
        for (at, c) in text.char_indices() {
            let cut = is_space(c) && !is_space(before) && !self.spanned[last_byte(before)];
            if at > start && (cut || at + c.len_utf8() - start > most) {
                word(&text[start..at])?;
                start = at;
            }
            before = c;
        }
        if start < text.len() { word(&text[start..]) } else { ControlFlow::Continue(()) }
    }

    /// Appends the tokens of a word to `ids`, with a space before it if it is to have one.
    pub(super) fn encode(
        &self,
        vocabulary: &Vocabulary,
        (space, text): (bool, &str),
        scratch: &mut Scratch,
        ids: &mut Vec<u32>,
    ) {
        let Scratch { word, symbols, pairs } = scratch;
        word.clear();
        let chars = space.then_some(' ').into_iter().chain(text.chars());
        word.extend(chars.map(|c| if c == ' ' { SPACE } else { c }));
        symbols.clear();
        symbols.reserve_exact(word.chars().count() + 1);
        for (start, _) in word.char_indices() {
            let at = symbols.len() as u32;
            symbols.push(Symbol { start: start as u32, previous: at.wrapping_sub(1), next: at + 1 });
        }
        let count = symbols.len() as u32;
        symbols.push(Symbol { start: word.len() as u32, previous: count.wrapping_sub(1), next: NONE });
        pairs.clear();
        // One for each two neighbours, and one more for each merge.
        pairs.reserve(2 * count as usize);
        for at in 1..count {
            self.offer(vocabulary, (word, symbols), pairs, at - 1);
        }
        while let Some((_, Reverse(at), bytes)) = pairs.pop() {
            // A symbol only ever grows: where the bytes are the same, so are both.
            let Some(joined) = pair(word, symbols, at).filter(|joined| joined.len() == bytes as usize) else {
                continue;
            };
            debug_assert!(vocabulary.id_of(joined).is_some());
            let right = symbols[at as usize].next;
            let after = symbols[right as usize].next;
            symbols[right as usize].next = NONE;
            symbols[at as usize].next = after;
            symbols[after as usize].previous = at;
            self.offer(vocabulary, (word, symbols), pairs, at);
            let before = symbols[at as usize].previous;
            if before < count {
                self.offer(vocabulary, (word, symbols), pairs, before);
            }
        }
        let mut at = 0;
        while at < count {
            let Symbol { start, next, .. } = symbols[at as usize];
            self.push(vocabulary, &word[start as usize..symbols[next as usize].start as usize], ids);
            at = next;
        }
    }

    /// Appends the bytes that `token` stands for.
    pub(super) fn decode(&self, id: u32, token: &str, out: &mut Vec<u8>) {
        match byte_of(token).filter(|&byte| self.bytes[usize::from(byte)] == id) {
            Some(byte) => out.push(byte),
            None => {
                for c in token.chars() {
                    let c = if c == SPACE { ' ' } else { c };
                    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
        }
    }

    /// A pair that makes a token is to be merged at its time.
    fn offer(
        &self,
        vocabulary: &Vocabulary,
        (word, symbols): (&str, &[Symbol]),
        pairs: &mut BinaryHeap<(i32, Reverse<u32>, u32)>,
        at: u32,
    ) {
        let Some(joined) = pair(word, symbols, at) else { return };
        let order = vocabulary.id_of(joined).map_or(NEVER, |id| self.order[id as usize]);
        if order != NEVER {
            pairs.push((order, Reverse(at), joined.len() as u32));
        }
    }

    /// The token of `symbol`, or those of its bytes; where the vocabulary lacks one of these, the unknown token, if there is
    /// one.
    fn push(&self, vocabulary: &Vocabulary, symbol: &str, ids: &mut Vec<u32>) {
        match vocabulary.id_of(symbol).filter(|&id| self.order[id as usize] != NEVER) {
            Some(id) => ids.push(id),
            None if symbol.bytes().all(|b| self.bytes[usize::from(b)] != NONE) => {
                ids.extend(symbol.bytes().map(|b| self.bytes[usize::from(b)]));
            }
            None => ids.extend(self.unknown),
        }
    }
}

/// The text of the symbol at `at` and the next one, if both are still there.
fn pair<'w>(word: &'w str, symbols: &[Symbol], at: u32) -> Option<&'w str> {
    let left = &symbols[at as usize];
    let right = symbols.get(left.next as usize)?;
    let end = symbols.get(right.next as usize)?;
    Some(&word[left.start as usize..end.start as usize])
}

/// Integers in the order of floats, of which none is [`NEVER`].
fn order(score: f32) -> i32 {
    // −0 is 0.
    let bits = (score + 0.0).to_bits() as i32;
    (bits ^ ((bits >> 31) as u32 >> 1) as i32).max(NEVER + 1)
}

fn is_space(c: char) -> bool {
    c == SPACE || c.is_whitespace()
}

fn last_byte(c: char) -> usize {
    usize::from(c.encode_utf8(&mut [0; 4]).as_bytes()[c.len_utf8() - 1])
}

/// The byte of a token such as `<0x0A>`.
fn byte_of(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    u8::from_str_radix(digits, 16).ok().filter(|_| digits.len() == 2)
}
