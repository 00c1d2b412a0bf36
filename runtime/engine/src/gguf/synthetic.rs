//! Random-weight models of any Llama geometry, with a tokenizer that commands can run on: tests get a
//! model in milliseconds, and a 7-billion-weight file needs disk but no memory.

use super::quantise::{CHUNK, fill};
use super::random::Random;
use super::synthetic_vocabulary::{SPECIAL, Vocabulary};
use super::{GgufError, TensorType, Writer};
use std::io::{self, Write};
use std::path::Path;

/// Geometry, tensor types and seed of a synthetic model.
#[derive(Clone, Debug)]
pub struct Synthetic {
    /// Transformer blocks.
    pub blocks: usize,
    /// Model width; every row length must be whole blocks of its tensor type.
    pub width: usize,
    /// Width of the gated feed-forward layer.
    pub ffn: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Tokens, at least 259 (256 bytes and 3 special ones).
    pub vocab: usize,
    /// Longest context the metadata names.
    pub context: usize,
    /// Base of the rotary embedding.
    pub rope_base: f32,
    /// True where the head is the embedding; no `output.weight` then.
    pub tied: bool,
    /// Type of the token embedding and of a separate head.
    pub embedding: TensorType,
    /// Type of the query, key, value and output matrices.
    pub attention: TensorType,
    /// Type of the feed-forward matrices.
    pub feed_forward: TensorType,
    /// Seed of all weights.
    pub seed: u64,
}

impl Synthetic {
    /// The model of unit tests: 3 blocks of width 64, 4 heads over 2, 300 tokens, types as in the demo model.
    pub fn tiny() -> Self {
        Self {
            blocks: 3,
            width: 64,
            ffn: 128,
            heads: 4,
            kv_heads: 2,
            vocab: 300,
            context: 512,
            rope_base: 10_000.0,
            tied: true,
            embedding: TensorType::Q8_0,
            attention: TensorType::Q4_1,
            feed_forward: TensorType::Q4_1,
            seed: 1,
        }
    }

    /// Llama-2-7B's geometry in Q4_0 with a separate head: a file of 3.8 GB.
    pub fn llama_2_7b() -> Self {
        Self {
            blocks: 32,
            width: 4096,
            ffn: 11_008,
            heads: 32,
            kv_heads: 32,
            vocab: 32_000,
            context: 4096,
            rope_base: 10_000.0,
            tied: false,
            embedding: TensorType::Q4_0,
            attention: TensorType::Q4_0,
            feed_forward: TensorType::Q4_0,
            seed: 1,
        }
    }

    /// All matrices in one type.
    pub fn of_type(mut self, ty: TensorType) -> Self {
        (self.embedding, self.attention, self.feed_forward) = (ty, ty, ty);
        self
    }

    /// The model as a file in memory; for tiny ones.
    pub fn bytes(&self) -> Result<Vec<u8>, GgufError> {
        let mut out = Vec::new();
        self.writer()?.write_to(&mut out)?;
        Ok(out)
    }

    /// Writes the model to a file, streaming.
    pub fn write_atomic(&self, path: impl AsRef<Path>) -> Result<(), GgufError> {
        self.writer()?.write_atomic(path)
    }

    /// The model ready to be written, for tests that add or replace something.
    pub fn writer(&self) -> Result<Writer<'static>, GgufError> {
        self.check()?;
        let count = |n: usize| n as u32;
        let vocabulary = Vocabulary::new(self.vocab);
        let writer = Writer::new()
            .metadata("general.architecture", "llama")
            .metadata("general.type", "model")
            .metadata("general.name", "Synthetic")
            .metadata("llama.block_count", count(self.blocks))
            .metadata("llama.context_length", count(self.context))
            .metadata("llama.embedding_length", count(self.width))
            .metadata("llama.feed_forward_length", count(self.ffn))
            .metadata("llama.attention.head_count", count(self.heads))
            .metadata("llama.attention.head_count_kv", count(self.kv_heads))
            .metadata("llama.rope.freq_base", self.rope_base)
            .metadata("llama.attention.layer_norm_rms_epsilon", 1e-5f32)
            .metadata("llama.vocab_size", count(self.vocab))
            .metadata("llama.rope.dimension_count", count(self.width / self.heads));
        Ok(self.tensors(vocabulary.metadata(writer).metadata("general.quantization_version", 2u32)))
    }

    fn check(&self) -> Result<(), GgufError> {
        let problem = if [self.blocks, self.width, self.ffn, self.heads, self.kv_heads].contains(&0) {
            "every size must be at least 1".into()
        } else if !self.width.is_multiple_of(2 * self.heads) || !self.heads.is_multiple_of(self.kv_heads) {
            "width must be an even multiple of heads, and heads a multiple of kv_heads".into()
        } else if self.vocab < 256 + SPECIAL.len() {
            format!("vocab must be at least {}", 256 + SPECIAL.len())
        } else {
            return Ok(()); // row lengths against block sizes are the writer's check
        };
        Err(GgufError::Unwritable { thing: "a synthetic model".into(), problem })
    }

    fn tensors(&self, mut writer: Writer<'static>) -> Writer<'static> {
        let (width, ffn, kv) = (self.width, self.ffn, self.width / self.heads * self.kv_heads);
        let mut stream = 0;
        let mut add = |name: String, ty, shape: &[usize]| {
            stream += 1;
            let dims: Vec<u64> = shape.iter().map(|&d| d as u64).collect();
            let mut random = Random::new(self.seed, stream);
            let (elements, per_row, is_norm) = (shape.iter().product(), shape[0], shape.len() == 1);
            let taken = std::mem::take(&mut writer);
            writer = taken.tensor(name, ty, &dims, move |out| match is_norm {
                true => write_norm(elements, &mut random, out),
                // Variance 1 / inputs keeps activations at the scale of their inputs.
                false => write_matrix(ty, elements, (per_row as f32).powf(-0.5), &mut random, out),
            });
        };
        add("token_embd.weight".into(), self.embedding, &[width, self.vocab]);
        for b in 0..self.blocks {
            let (attention, feed_forward) = (self.attention, self.feed_forward);
            add(format!("blk.{b}.attn_norm.weight"), TensorType::F32, &[width]);
            add(format!("blk.{b}.ffn_down.weight"), feed_forward, &[ffn, width]);
            add(format!("blk.{b}.ffn_gate.weight"), feed_forward, &[width, ffn]);
            add(format!("blk.{b}.ffn_up.weight"), feed_forward, &[width, ffn]);
            add(format!("blk.{b}.ffn_norm.weight"), TensorType::F32, &[width]);
            add(format!("blk.{b}.attn_k.weight"), attention, &[width, kv]);
            add(format!("blk.{b}.attn_output.weight"), attention, &[width, width]);
            add(format!("blk.{b}.attn_q.weight"), attention, &[width, width]);
            add(format!("blk.{b}.attn_v.weight"), attention, &[width, kv]);
        }
        add("output_norm.weight".into(), TensorType::F32, &[width]);
        if !self.tied {
            add("output.weight".into(), self.embedding, &[width, self.vocab]);
        }
        writer
    }
}

fn write_norm(elements: usize, random: &mut Random, out: &mut dyn Write) -> io::Result<()> {
    (0..elements).try_for_each(|_| out.write_all(&(1.0 + 0.1 * random.normal()).to_le_bytes()))
}

fn write_matrix(
    ty: TensorType,
    elements: usize,
    sigma: f32,
    random: &mut Random,
    out: &mut dyn Write,
) -> io::Result<()> {
    let Some((per_block, block_bytes)) = ty.block() else { return Ok(()) };
    let mut left = elements;
    let mut chunk = Vec::new();
    while left > 0 {
        chunk.clear();
        fill(ty, sigma, random, &mut chunk);
        let n = left.min(CHUNK);
        out.write_all(&chunk[..n / per_block * block_bytes])?;
        left -= n;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::{Gguf, Mapped};

    #[test]
    fn tiny_has_what_a_llama_has() {
        let bytes = Synthetic::tiny().bytes().unwrap();
        let g = Gguf::parse(&bytes).unwrap();
        assert_eq!(g.architecture().unwrap(), "llama");
        assert_eq!(g.require_u32("llama.block_count").unwrap(), 3);
        assert_eq!(g.tensors().len(), 1 + 3 * 9 + 1);
        assert_eq!(g.require_tensor("blk.2.attn_k.weight").unwrap().dims(), [64, 32]);
        assert!(g.tensor("output.weight").is_none());
        assert_eq!(g.require_array_str("tokenizer.ggml.tokens").unwrap().len(), 300);
        assert_eq!(bytes, Synthetic::tiny().bytes().unwrap(), "same seed, same file");
        assert_ne!(bytes, Synthetic { seed: 2, ..Synthetic::tiny() }.bytes().unwrap());
    }

    #[test]
    fn weights_have_the_variance_of_their_inputs() {
        let bytes = Synthetic { tied: false, ..Synthetic::tiny() }.of_type(TensorType::F32).bytes().unwrap();
        let g = Gguf::parse(&bytes).unwrap();
        for name in ["output.weight", "blk.0.ffn_down.weight", "blk.1.attn_q.weight"] {
            let t = g.require_tensor(name).unwrap();
            let values =
                g.data(t).unwrap().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            let sum = values.map(|v| f64::from(v * v)).sum::<f64>();
            let relative = sum / t.elements() as f64 * t.cols() as f64;
            assert!((relative - 1.0).abs() < 0.1, "{name}: {relative}");
        }
    }

    #[test]
    fn every_type_makes_a_model() {
        let dir = tempfile::tempdir().unwrap();
        let wide = Synthetic { width: 256, ffn: 512, blocks: 1, ..Synthetic::tiny() };
        for ty in (0..31).map(TensorType::from_id).filter(|ty| ty.block().is_some()) {
            let path = dir.path().join(ty.to_string());
            wide.clone().of_type(ty).write_atomic(&path).unwrap();
            let mapped = Mapped::open(&path).unwrap();
            let g = Gguf::parse(mapped.bytes()).unwrap();
            assert_eq!(g.require_tensor("blk.0.attn_v.weight").unwrap().ty, ty);
        }
    }

    #[test]
    fn impossible_geometries_are_refused() {
        let tiny = Synthetic::tiny;
        for bad in [
            Synthetic { heads: 0, ..tiny() },
            Synthetic { heads: 5, ..tiny() },
            Synthetic { kv_heads: 3, ..tiny() },
            Synthetic { vocab: 258, ..tiny() },
            tiny().of_type(TensorType::Q4_K),
            tiny().of_type(TensorType::Unknown(9)),
        ] {
            assert!(matches!(bad.bytes(), Err(GgufError::Unwritable { .. })), "{bad:?}");
        }
    }
}
