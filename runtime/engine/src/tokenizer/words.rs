//! What lies between special tokens, in tokens and back: by one of two algorithms.

use super::bpe::{self, Bpe};
use super::pieces::{self, Pieces};
use super::pre::Splitter;
use super::vocabulary::Vocabulary;
use super::{BYTES, MAX_WORD, PIECES, TokenizerError, TokenizerSource, bytes, short};
use std::ops::ControlFlow;

/// An algorithm, and what it goes by.
pub(super) enum Words {
    /// Byte-level BPE within the words that a splitter makes.
    Bytes(Splitter, Box<Bpe>),
    /// SentencePiece's, which keeps a token of every byte.
    Pieces(Box<Pieces>),
}

impl Words {
    pub(super) fn new(source: &TokenizerSource<'_>, vocabulary: &Vocabulary) -> Result<Self, TokenizerError> {
        match source.kind {
            BYTES => {
                let bpe = Bpe::new(vocabulary, &source.merges)?;
                Ok(Self::Bytes(Splitter::new(source.pre)?, Box::new(bpe)))
            }
            PIECES => {
                let others = (source.unknown, source.add_space_prefix.unwrap_or(true));
                let pieces = Pieces::new(vocabulary, &source.scores, &source.token_types, others)?;
                Ok(Self::Pieces(Box::new(pieces)))
            }
            other => Err(TokenizerError::Kind { kind: short(other) }),
        }
    }

    /// What the rules imply where the file does not say whether texts start with BOS.
    pub(super) fn add_bos(&self) -> bool {
        match self {
            Self::Bytes(splitter, _) => splitter.add_bos,
            Self::Pieces(_) => true,
        }
    }

    /// Appends the tokens of `text`, which is the first of all or follows a special token, until `after`, which is called
    /// after each word, breaks off.
    pub(super) fn encode(
        &self,
        vocabulary: &Vocabulary,
        text: &str,
        ids: &mut Vec<u32>,
        after: &mut impl FnMut(&mut Vec<u32>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match self {
            Self::Bytes(splitter, bpe) => {
                let (mut scratch, mut chars) = (bpe::Scratch::default(), String::new());
                splitter.split(text, |word| {
                    for part in word.as_bytes().chunks(MAX_WORD) {
                        let whole = splitter.whole_words.then(|| {
                            bytes::encode(part, &mut chars);
                            vocabulary.id_of(&chars)
                        });
                        match whole.flatten() {
                            Some(id) => ids.push(id),
                            None => bpe.encode(part, &mut scratch, ids),
                        }
                        after(ids)?;
                    }
                    ControlFlow::Continue(())
                })
            }
            Self::Pieces(pieces) => {
                let (mut scratch, mut space) = (pieces::Scratch::default(), pieces.space_first);
                pieces.words(text, MAX_WORD, |word| {
                    pieces.encode(vocabulary, (std::mem::take(&mut space), word), &mut scratch, ids);
                    after(ids)
                })
            }
        }
    }

    /// Appends the bytes that a token that is not special stands for.
    pub(super) fn decode(&self, id: u32, token: &str, out: &mut Vec<u8>) {
        match self {
            Self::Bytes(..) => bytes::decode(token, out),
            Self::Pieces(pieces) => pieces.decode(id, token, out),
        }
    }
}
