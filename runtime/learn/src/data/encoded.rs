//! A record in tokens, or why it cannot be.

use super::error::Problem;
use sprig_engine::tokenizer::TokenizerError;

/// What is learnt from an example, in terms of its own tokens; see [`super::Target`].
pub(super) enum Kind {
    Lm {
        first: usize,
    },
    /// The same with what others say behind it: from and to.
    Chat {
        first: usize,
        pauses: Vec<(u32, u32)>,
    },
    Pick {
        candidates: usize,
        answer: usize,
    },
    Pair {
        first: usize,
        second: usize,
    },
}

pub(super) struct Encoded {
    pub(super) tokens: Vec<u32>,
    pub(super) kind: Kind,
    /// Tokens that were cut off.
    pub(super) cut: usize,
}

/// A record that cannot be encoded, or a tokenizer that fails.
pub(super) enum EncodeError {
    Record(Problem),
    Tokenizer(TokenizerError),
}

impl From<Problem> for EncodeError {
    fn from(problem: Problem) -> Self {
        Self::Record(problem)
    }
}

impl From<TokenizerError> for EncodeError {
    fn from(error: TokenizerError) -> Self {
        Self::Tokenizer(error)
    }
}
