//! What can be wrong with a tokenizer, and what to do about it.

use crate::gguf::GgufError;

/// Why a tokenizer cannot be built or used.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// The metadata cannot be read or a key is absent.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// `tokenizer.ggml.model` names another algorithm.
    #[error(
        "tokenizer kind \"{kind}\" is not supported; supported: \"gpt2\" (byte-level BPE), \"llama\" (SentencePiece with \
         scores). Use a model of the SmolLM2, Llama, Qwen or Gemma families"
    )]
    Kind {
        /// The kind found.
        kind: String,
    },
    /// `tokenizer.ggml.pre` names splitting rules that are not known; guessing would give wrong ids.
    #[error("pre-tokenizer \"{pre}\" is not supported; supported: {supported}")]
    Pre {
        /// The name found; empty where the key is absent.
        pre: String,
        /// The names this build knows.
        supported: &'static str,
    },
    /// Vocabulary, merges or token types contradict each other.
    #[error("the model's tokenizer is damaged: {what}; download the model again")]
    Damaged {
        /// What contradicts what.
        what: String,
    },
    /// The model file has no chat template.
    #[error("the model has no chat template; use raw prompts")]
    NoChatTemplate,
    /// The chat template does not compile or fails on these messages.
    #[error("the model's chat template cannot be used: {why}; use raw prompts")]
    ChatTemplate {
        /// What the template engine says.
        why: String,
    },
    /// A text could not be split or merged.
    #[error("text cannot be tokenized: {why}")]
    Encode {
        /// What failed.
        why: String,
    },
}

impl TokenizerError {
    pub(super) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged { what: what.into() }
    }
}
