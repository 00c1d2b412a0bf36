use super::TokenizerError;
use crate::gguf::Gguf;

/// What a tokenizer is built from: the `tokenizer.*` metadata of a GGUF file, owned.
#[derive(Clone, Debug, Default)]
pub struct TokenizerSource {
    /// Algorithm (`tokenizer.ggml.model`), such as `gpt2`.
    pub kind: String,
    /// Name of the splitting rules (`tokenizer.ggml.pre`).
    pub pre: String,
    /// Token texts in byte-level form; the index is the id.
    pub tokens: Vec<String>,
    /// Merges in order of rank, each two token texts with a space between.
    pub merges: Vec<String>,
    /// ggml's token types by id (1 normal, 3 control, 4 user-defined); empty when all are normal.
    pub token_types: Vec<i32>,
    /// Id put before a text where `add_bos` says so.
    pub bos: Option<u32>,
    /// Id that ends a text or a turn.
    pub eos: Option<u32>,
    /// Whether the model expects `bos` before a text; `None` where the file does not say.
    pub add_bos: Option<bool>,
    /// The chat template (Jinja).
    pub chat_template: Option<String>,
}

impl TokenizerSource {
    /// Copies the tokenizer's metadata out of `gguf`.
    ///
    /// # Errors
    /// A required key is absent or has another type, or the kind is not `gpt2` (checked first, since other
    /// kinds carry other arrays).
    pub fn from_gguf(gguf: &Gguf<'_>) -> Result<Self, TokenizerError> {
        let kind = gguf.require_str("tokenizer.ggml.model")?;
        if kind != super::KIND {
            return Err(TokenizerError::Kind { kind: super::short(kind) });
        }
        Ok(Self {
            kind: kind.to_owned(),
            pre: gguf.str("tokenizer.ggml.pre")?.unwrap_or_default().to_owned(),
            tokens: gguf.require_array_str("tokenizer.ggml.tokens")?.map(str::to_owned).collect(),
            merges: gguf.require_array_str("tokenizer.ggml.merges")?.map(str::to_owned).collect(),
            token_types: gguf.array_i32("tokenizer.ggml.token_type")?.into_iter().flatten().collect(),
            bos: gguf.u32("tokenizer.ggml.bos_token_id")?,
            eos: gguf.u32("tokenizer.ggml.eos_token_id")?,
            add_bos: gguf.bool("tokenizer.ggml.add_bos_token")?,
            chat_template: gguf.str("tokenizer.chat_template")?.map(str::to_owned),
        })
    }
}
