//! What the blocks of a family of models are made of, beside their sizes: read once from the metadata, by one file a family.
//! Blocks are written once over it, so that a further family is a description and no further code.

mod llama;
mod qwen2;
mod qwen3;

use super::ModelError;
use crate::dual::Rotation;
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
}

/// A vector of a block beside its linear layers: a gain or a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extra {
    /// Bias of the queries, keys or values.
    Bias(usize),
    /// Gain of the norm of a head of the queries or keys.
    HeadNorm(usize),
}

impl Family {
    /// Every architecture that is read, for messages.
    pub const NAMES: [&'static str; 3] = [llama::NAME, qwen2::NAME, qwen3::NAME];

    /// Llama, Llama 2 and 3, SmolLM, SmolLM2, TinyLlama.
    pub const LLAMA: Self = llama::FAMILY;

    /// The family of the model in `gguf`.
    ///
    /// # Errors
    /// Its architecture is none of [`NAMES`](Self::NAMES).
    pub fn read(gguf: &Gguf<'_>) -> Result<Self, ModelError> {
        match gguf.architecture()? {
            llama::NAME => Ok(llama::FAMILY),
            qwen2::NAME => Ok(qwen2::FAMILY),
            qwen3::NAME => Ok(qwen3::FAMILY),
            other => Err(ModelError::Architecture { found: other.to_owned(), known: Self::NAMES.join(", ") }),
        }
    }

    /// The vectors that each block has beside its two norms.
    pub fn extras(&self) -> impl Iterator<Item = Extra> + use<> {
        let (biases, norms) = (if self.biases { 3 } else { 0 }, if self.head_norms { 2 } else { 0 });
        (0..biases).map(Extra::Bias).chain((0..norms).map(Extra::HeadNorm))
    }
}

impl Extra {
    /// Name in GGUF: `blk.N.<this>`.
    pub fn gguf_name(self) -> &'static str {
        match self {
            Self::Bias(i) => ["attn_q.bias", "attn_k.bias", "attn_v.bias"][i],
            Self::HeadNorm(i) => ["attn_q_norm.weight", "attn_k_norm.weight"][i],
        }
    }
}
