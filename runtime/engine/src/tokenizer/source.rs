//! The parts of a tokenizer as GGUF metadata holds them.

use super::TokenizerError;
use crate::gguf::Gguf;

/// What a tokenizer is built from: the `tokenizer.*` metadata of a GGUF file.
#[derive(Clone, Debug, Default)]
pub struct TokenizerSource<'a> {
    /// Algorithm (`tokenizer.ggml.model`), such as `gpt2`.
    pub kind: &'a str,
    /// Name of the splitting rules (`tokenizer.ggml.pre`).
    pub pre: &'a str,
    /// Token texts in byte-level form; the index is the id.
    pub tokens: Vec<&'a str>,
    /// Merges in order of rank, each two token texts with a space between; of `gpt2`.
    pub merges: Vec<&'a str>,
    /// Scores by id; of `llama`.
    pub scores: Vec<f32>,
    /// ggml's token types by id (1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte); empty when all are normal.
    pub token_types: Vec<i32>,
    /// Id put before a text where `add_bos` says so.
    pub bos: Option<u32>,
    /// Id that ends a text.
    pub eos: Option<u32>,
    /// Id that ends a turn of a chat, where that is another.
    pub eot: Option<u32>,
    /// Whether the model expects `bos` before a text; `None` where the file does not say.
    pub add_bos: Option<bool>,
    /// Whether a text is taken as if a space came before it; `None` where the file does not say. Of `llama`.
    pub add_space_prefix: Option<bool>,
    /// Id of what has no token; of `llama`.
    pub unknown: Option<u32>,
    /// The chat template (Jinja).
    pub chat_template: Option<&'a str>,
}

impl<'a> TokenizerSource<'a> {
    /// Finds the tokenizer's metadata in `gguf`.
    ///
    /// # Errors
    /// A required key is absent or has another type, or the kind is none that is read (checked first, since other
    /// kinds carry other arrays).
    pub fn from_gguf(gguf: &Gguf<'a>) -> Result<Self, TokenizerError> {
        let kind = gguf.require_str("tokenizer.ggml.model")?;
        let (merges, scores) = match kind {
            super::BYTES => (gguf.require_array_str("tokenizer.ggml.merges")?.collect(), Vec::new()),
            super::PIECES => (Vec::new(), gguf.require_array_f32("tokenizer.ggml.scores")?.collect()),
            other => return Err(TokenizerError::Kind { kind: super::short(other) }),
        };
        Ok(Self {
            kind,
            pre: gguf.str("tokenizer.ggml.pre")?.unwrap_or_default(),
            tokens: gguf.require_array_str("tokenizer.ggml.tokens")?.collect(),
            merges,
            scores,
            token_types: gguf.array_i32("tokenizer.ggml.token_type")?.into_iter().flatten().collect(),
            bos: gguf.u32("tokenizer.ggml.bos_token_id")?,
            eos: gguf.u32("tokenizer.ggml.eos_token_id")?,
            eot: gguf.u32("tokenizer.ggml.eot_token_id")?,
            add_bos: gguf.bool("tokenizer.ggml.add_bos_token")?,
            add_space_prefix: gguf.bool("tokenizer.ggml.add_space_prefix")?,
            unknown: gguf.u32("tokenizer.ggml.unknown_token_id")?,
            chat_template: gguf.str("tokenizer.chat_template")?,
        })
    }
}
