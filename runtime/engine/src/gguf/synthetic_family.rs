//! What a synthetic model of each family has beside that of Llama: metadata, tensors, the rules of its tokenizer.

use super::synthetic_vocabulary::{self, Vocabulary};
use super::{Writer, synthetic_pieces};

/// Families of models that a synthetic one may be of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyntheticFamily {
    /// Llama as SmolLM2 has it.
    #[default]
    Llama,
    /// Llama with factors of the rotary angles.
    Llama3,
    /// Queries, keys and values with a bias.
    Qwen2,
    /// Queries and keys with a norm for each head.
    Qwen3,
    /// Norms behind each branch as well, two of three blocks with a window of 16 positions, pieces with scores.
    Gemma3,
}

/// Sizes of a model that the family's tensors follow.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub width: usize,
    pub heads: usize,
    pub kv_heads: usize,
    /// Width of a head.
    pub head: usize,
    pub rope_base: f32,
}

/// How a tensor is filled.
pub(super) enum Fill {
    /// Weights that keep the scale of what they multiply.
    Matrix,
    /// A gain, around 1.
    Gain,
    /// A bias, around 0.
    Bias,
    /// These numbers.
    Numbers(Vec<f32>),
}

impl SyntheticFamily {
    /// `general.architecture`.
    pub fn architecture(self) -> &'static str {
        match self {
            Self::Llama | Self::Llama3 => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Gemma3 => "gemma3",
        }
    }

    /// Adds the metadata of a tokenizer of `size` tokens.
    pub(super) fn vocabulary<'s>(self, writer: Writer<'s>, size: usize) -> Writer<'s> {
        let pre = match self {
            Self::Llama => "smollm",
            Self::Llama3 => "llama-bpe",
            Self::Qwen2 | Self::Qwen3 => "qwen2",
            Self::Gemma3 => return synthetic_pieces::metadata(writer, size),
        };
        Vocabulary::new(size, pre).metadata(writer)
    }

    /// Tokens that a vocabulary has at least.
    pub(super) fn least_vocabulary(self) -> usize {
        match self {
            Self::Gemma3 => synthetic_pieces::LEAST,
            _ => synthetic_vocabulary::SPECIAL.len() + 256,
        }
    }

    /// Adds what the family's metadata have beside the sizes.
    pub(super) fn metadata<'s>(self, writer: Writer<'s>, sizes: Sizes) -> Writer<'s> {
        let name = self.architecture();
        let length = sizes.head as u32;
        match self {
            // These have it from the width, and no file of theirs names it.
            Self::Qwen2 => writer,
            Self::Llama | Self::Llama3 => writer.metadata(format!("{name}.rope.dimension_count"), length),
            Self::Qwen3 => writer
                .metadata(format!("{name}.attention.key_length"), length)
                .metadata(format!("{name}.attention.value_length"), length),
            Self::Gemma3 => writer
                .metadata(format!("{name}.attention.key_length"), length)
                .metadata(format!("{name}.attention.value_length"), length)
                .metadata(format!("{name}.attention.sliding_window"), 16u32)
                .metadata(format!("{name}.attention.sliding_window_pattern"), 3u32),
        }
    }

    /// Vectors of each block beside its two norms: name, filling, length.
    pub(super) fn block_vectors(self, sizes: Sizes) -> Vec<(&'static str, Fill, usize)> {
        let Sizes { width, heads, kv_heads, head, .. } = sizes;
        let (q, kv) = (heads * head, kv_heads * head);
        match self {
            Self::Llama | Self::Llama3 => Vec::new(),
            Self::Qwen2 => vec![
                ("attn_q.bias", Fill::Bias, q),
                ("attn_k.bias", Fill::Bias, kv),
                ("attn_v.bias", Fill::Bias, kv),
            ],
            Self::Qwen3 => {
                vec![("attn_q_norm.weight", Fill::Gain, head), ("attn_k_norm.weight", Fill::Gain, head)]
            }
            Self::Gemma3 => vec![
                ("attn_q_norm.weight", Fill::Gain, head),
                ("attn_k_norm.weight", Fill::Gain, head),
                ("post_attention_norm.weight", Fill::Gain, width),
                ("post_ffw_norm.weight", Fill::Gain, width),
            ],
        }
    }

    /// Vectors of the whole model beside its last norm.
    pub(super) fn vectors(self, sizes: Sizes) -> Vec<(&'static str, Fill, usize)> {
        let pairs = sizes.head / 2;
        match self {
            Self::Llama3 => {
                vec![("rope_freqs.weight", Fill::Numbers(llama3_factors(pairs, sizes.rope_base)), pairs)]
            }
            _ => Vec::new(),
        }
    }
}

/// Llama 3.2's factors of the rotary angles, as its converter works them out: 1 for waves of up to 8192/4 positions, 32 for
/// those of 8192 and more, and a blend between.
fn llama3_factors(pairs: usize, base: f32) -> Vec<f32> {
    const FACTOR: f64 = 32.0;
    const TRAINED: f64 = 8192.0;
    let (low, high) = (1.0, 4.0);
    let factor = |i: usize| {
        let wave = std::f64::consts::TAU * libm::pow(f64::from(base), i as f64 / pairs as f64);
        if wave < TRAINED / high {
            1.0
        } else if wave > TRAINED / low {
            FACTOR
        } else {
            let smooth = (TRAINED / wave - low) / (high - low);
            1.0 / ((1.0 - smooth) / FACTOR + smooth)
        }
    };
    (0..pairs).map(|i| factor(i) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of Llama-3.2-1B (64 dimensions, base 500,000): its fast waves stay, its slow ones are 32 times as long.
    #[test]
    fn factors_are_those_of_llama_3_2() {
        let factors = llama3_factors(32, 500_000.0);
        assert_eq!((factors[0], factors[14], factors[31]), (1.0, 1.0, 32.0));
        assert!(factors.is_sorted());
        assert!(factors.iter().any(|f| (1.5..31.0).contains(f)), "{factors:?}");
    }
}
