//! Random-weight models of any geometry and of each family, with a tokenizer that commands can run on: tests get a
//! model in milliseconds, and a 7-billion-weight file needs disk but no memory.

use super::quantise::{CHUNK, fill};
use super::random::Random;
use super::synthetic_family::{Fill, Sizes};
use super::{GgufError, SyntheticFamily, TensorType, Writer};
use std::io::{self, Write};
use std::path::Path;

/// Geometry, tensor types and seed of a synthetic model.
#[derive(Clone, Debug)]
pub struct Synthetic {
    /// What it has beside a Llama.
    pub family: SyntheticFamily,
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
    /// Width of a head where it is not the model's divided by `heads`.
    pub head: Option<usize>,
    /// Tokens, at least 259 (256 bytes and 3 special ones), or Gemma 3's 266.
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
            family: SyntheticFamily::Llama,
            blocks: 3,
            width: 64,
            ffn: 128,
            heads: 4,
            kv_heads: 2,
            head: None,
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
            family: SyntheticFamily::Llama,
            blocks: 32,
            width: 4096,
            ffn: 11_008,
            heads: 32,
            kv_heads: 32,
            head: None,
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

    /// A tiny model of `family`, with heads of a width of their own where the family has such.
    pub fn tiny_of(family: SyntheticFamily) -> Self {
        let head = matches!(family, SyntheticFamily::Qwen3 | SyntheticFamily::Gemma3).then_some(32);
        // Of blocks that see everything; the others have another.
        let rope_base = if family == SyntheticFamily::Gemma3 { 1_000_000.0 } else { Self::tiny().rope_base };
        Self { family, head, rope_base, ..Self::tiny() }
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
        let (family, name) = (self.family, self.family.architecture());
        let writer = Writer::new()
            .metadata("general.architecture", name)
            .metadata("general.type", "model")
            .metadata("general.name", "Synthetic")
            .metadata(format!("{name}.block_count"), count(self.blocks))
            .metadata(format!("{name}.context_length"), count(self.context))
            .metadata(format!("{name}.embedding_length"), count(self.width))
            .metadata(format!("{name}.feed_forward_length"), count(self.ffn))
            .metadata(format!("{name}.attention.head_count"), count(self.heads))
            .metadata(format!("{name}.attention.head_count_kv"), count(self.kv_heads))
            .metadata(format!("{name}.rope.freq_base"), self.rope_base)
            .metadata(format!("{name}.attention.layer_norm_rms_epsilon"), 1e-5f32)
            .metadata(format!("{name}.vocab_size"), count(self.vocab));
        let writer = family.metadata(writer, self.sizes());
        Ok(self.tensors(family.vocabulary(writer, self.vocab).metadata("general.quantization_version", 2u32)))
    }

    /// Width of a head.
    fn head_width(&self) -> usize {
        self.head.unwrap_or(self.width / self.heads)
    }

    fn sizes(&self) -> Sizes {
        let Self { width, heads, kv_heads, rope_base, .. } = *self;
        Sizes { width, heads, kv_heads, head: self.head_width(), rope_base }
    }

    fn check(&self) -> Result<(), GgufError> {
        let problem = if [self.blocks, self.width, self.ffn, self.heads, self.kv_heads].contains(&0) {
            "every size must be at least 1".into()
        } else if !self.heads.is_multiple_of(self.kv_heads)
            || self.head.is_none() && !self.width.is_multiple_of(2 * self.heads)
        {
            "width must be an even multiple of heads, and heads a multiple of kv_heads".into()
        } else if !self.head_width().is_multiple_of(2) {
            "heads must be of an even width".into()
        } else if self.vocab < self.family.least_vocabulary() {
            format!("vocab must be at least {}", self.family.least_vocabulary())
        } else {
            return Ok(()); // row lengths against block sizes are the writer's check
        };
        Err(GgufError::Unwritable { thing: "a synthetic model".into(), problem })
    }

    fn tensors(&self, writer: Writer<'static>) -> Writer<'static> {
        let vectors = self.family.vectors(self.sizes()).into_iter();
        let mut all = vec![matrix("token_embd.weight", self.embedding, [self.width, self.vocab])];
        all.extend((0..self.blocks).flat_map(|b| self.block(b)));
        all.push(vector("output_norm.weight", Fill::Gain, self.width));
        if !self.tied {
            all.push(matrix("output.weight", self.embedding, [self.width, self.vocab]));
        }
        all.extend(vectors.map(|(name, fill, len)| vector(name, fill, len)));
        (1..).zip(all).fold(writer, |writer, (stream, tensor)| {
            let Tensor { name, ty, shape, fill } = tensor;
            let dims: Vec<u64> = shape.iter().map(|&d| d as u64).collect();
            let mut random = Random::new(self.seed, stream);
            let (elements, per_row) = (shape.iter().product(), shape[0]);
            writer.tensor(name, ty, &dims, move |out| match &fill {
                // Variance 1 / inputs keeps activations at the scale of their inputs.
                Fill::Matrix => write_matrix(ty, elements, (per_row as f32).powf(-0.5), &mut random, out),
                Fill::Gain => write_normal(elements, (1.0, 0.1), &mut random, out),
                Fill::Bias => write_normal(elements, (0.0, 0.5), &mut random, out),
                Fill::Numbers(numbers) => numbers.iter().try_for_each(|n| out.write_all(&n.to_le_bytes())),
            })
        })
    }

    /// The tensors of block `b`, in the order of the demo's model; what a family has beside them comes last.
    fn block(&self, b: usize) -> Vec<Tensor> {
        let (width, ffn, head) = (self.width, self.ffn, self.head_width());
        let (q, kv) = (self.heads * head, self.kv_heads * head);
        let (attention, feed_forward) = (self.attention, self.feed_forward);
        let extras = self.family.block_vectors(self.sizes()).into_iter();
        let mut tensors = vec![
            vector("attn_norm.weight", Fill::Gain, width),
            matrix("ffn_down.weight", feed_forward, [ffn, width]),
            matrix("ffn_gate.weight", feed_forward, [width, ffn]),
            matrix("ffn_up.weight", feed_forward, [width, ffn]),
            vector("ffn_norm.weight", Fill::Gain, width),
            matrix("attn_k.weight", attention, [width, kv]),
            matrix("attn_output.weight", attention, [q, width]),
            matrix("attn_q.weight", attention, [width, q]),
            matrix("attn_v.weight", attention, [width, kv]),
        ];
        tensors.extend(extras.map(|(name, fill, len)| vector(name, fill, len)));
        tensors.iter_mut().for_each(|tensor| tensor.name.insert_str(0, &format!("blk.{b}.")));
        tensors
    }
}

/// A tensor to be written.
struct Tensor {
    name: String,
    ty: TensorType,
    shape: Vec<usize>,
    fill: Fill,
}

fn matrix(name: &str, ty: TensorType, shape: [usize; 2]) -> Tensor {
    Tensor { name: name.to_owned(), ty, shape: shape.to_vec(), fill: Fill::Matrix }
}

fn vector(name: &str, fill: Fill, len: usize) -> Tensor {
    Tensor { name: name.to_owned(), ty: TensorType::F32, shape: vec![len], fill }
}

/// Numbers around `mean` with deviation `sigma`.
fn write_normal(
    elements: usize,
    (mean, sigma): (f32, f32),
    random: &mut Random,
    out: &mut dyn Write,
) -> io::Result<()> {
    (0..elements).try_for_each(|_| out.write_all(&(mean + sigma * random.normal()).to_le_bytes()))
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
