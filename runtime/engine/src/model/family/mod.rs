//! What the blocks of a family of models are made of, beside their sizes: read once from the metadata, by one file a family.
//! Blocks are written once over it, so that a further family is a description and no further code.

mod gemma3;
mod llama;
mod qwen2;
mod qwen3;

use super::ModelError;
use crate::dual::{Curve, Rotation};
use crate::gguf::Gguf;

/// The description of a model's blocks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Family {
    /// `general.architecture`, and the start of its metadata's keys.
    pub architecture: &'static str,
    /// Which dimensions of a head rotate together.
    pub rotation: Rotation,
    /// Whether the file may have factors of the rotary angles, `rope_freqs.weight`.
    pub rope_factors: bool,
    /// Whether queries, keys and values have a bias.
    pub biases: bool,
    /// Whether each head of queries and keys goes through a norm before it rotates.
    pub head_norms: bool,
    /// Whether each branch of a block goes through a second norm, before it joins the residual stream.
    pub post_norms: bool,
    /// What the gate of the feed-forward part goes through.
    pub curve: Curve,
    /// Whether embeddings are multiplied by the root of their width.
    pub scaled_embedding: bool,
    /// Which blocks see a window of the text, where the file has one.
    pub windows: Option<Pattern>,
}

/// What windows of a family are where its files do not say so.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pattern {
    /// Every so many blocks one sees everything.
    pub every: usize,
    /// Base of the rotary angles of those that do not.
    pub rope_base: f32,
}

/// A vector of a block beside its linear layers: a gain or a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extra {
    /// Bias of the queries, keys or values.
    Bias(usize),
    /// Gain of the norm of a head of the queries or keys.
    HeadNorm(usize),
    /// Gain of the norm behind the attention or the feed-forward part.
    PostNorm(usize),
}

impl Family {
    /// Every architecture that is read, for messages.
    pub const NAMES: [&'static str; 4] = [llama::NAME, qwen2::NAME, qwen3::NAME, gemma3::NAME];

    /// Llama, Llama 2 and 3, SmolLM, SmolLM2, TinyLlama.
    pub const LLAMA: Self = llama::FAMILY;

    /// Gemma 3, text.
    pub const GEMMA3: Self = gemma3::FAMILY;

    /// The family of the model in `gguf`.
    ///
    /// # Errors
    /// Its architecture is none of [`NAMES`](Self::NAMES).
    pub fn read(gguf: &Gguf<'_>) -> Result<Self, ModelError> {
        match gguf.architecture()? {
            llama::NAME => Ok(llama::FAMILY),
            qwen2::NAME => Ok(qwen2::FAMILY),
            qwen3::NAME => Ok(qwen3::FAMILY),
            gemma3::NAME => Ok(gemma3::FAMILY),
            other => Err(ModelError::Architecture { found: other.to_owned(), known: Self::NAMES.join(", ") }),
        }
    }

    /// The vectors that each block has beside its two norms.
    pub fn extras(&self) -> impl Iterator<Item = Extra> + use<> {
        let count = |has: bool, n: usize| 0..if has { n } else { 0 };
        let norms = count(self.head_norms, 2).map(Extra::HeadNorm);
        count(self.biases, 3)
            .map(Extra::Bias)
            .chain(norms)
            .chain(count(self.post_norms, 2).map(Extra::PostNorm))
    }
}

impl Extra {
    /// Name in GGUF: `blk.N.<this>`.
    pub fn gguf_name(self) -> &'static str {
        match self {
            Self::Bias(i) => ["attn_q.bias", "attn_k.bias", "attn_v.bias"][i],
            Self::HeadNorm(i) => ["attn_q_norm.weight", "attn_k_norm.weight"][i],
            Self::PostNorm(i) => ["post_attention_norm.weight", "post_ffw_norm.weight"][i],
        }
    }
}
