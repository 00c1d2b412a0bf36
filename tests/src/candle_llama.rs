//! The oracle: the same model in candle, with its autograd.

use crate::frozen::Frozen;
use crate::{Adapter, Factors, Geometry, Key, MODULES};
use candle_core::quantized::gguf_file::{Content, Value};
use candle_core::{D, DType, Device, Error, Result, Tensor, Var};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

/// Names in GGUF of the layers in [`MODULES`], in the same order.
const GGUF_NAMES: [&str; 7] = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"];

/// A Llama model on candle, written apart from Sprig's engine: weights dequantised whole, one sequence at a time,
/// derivatives by candle's autograd.
pub struct Oracle {
    /// Sizes read from the file.
    pub geometry: Geometry,
    /// Whether products also form the gradients of the frozen weights, as candle's own do. Costs time and memory and
    /// changes no result.
    pub weight_gradients: bool,
    dtype: DType,
    embedding: Tensor,
    head: Tensor,
    norm: Tensor,
    blocks: Vec<Block>,
}

struct Block {
    attention_norm: Tensor,
    ffn_norm: Tensor,
    linear: BTreeMap<&'static str, Tensor>,
}

/// What to differentiate.
#[derive(Clone, Copy, Debug)]
pub enum Objective<'a> {
    /// Mean of −log p(tokens\[t\] | tokens\[..t\]) over the t ≥ 1 where `targets[t]`.
    Language {
        /// One flag a token; the first counts for nothing.
        targets: &'a [bool],
    },
    /// −log of the softmax over `candidates` alone, of the logits at `position`, at `candidates[label]`.
    Label {
        /// The position whose next token is the label.
        position: usize,
        /// Token ids of the labels.
        candidates: &'a [u32],
        /// Index of the true one.
        label: usize,
    },
}

/// An adapter's tensors in the graph; the first list of a layer is multiplied onto x in turn.
struct Live {
    scale: f64,
    chains: BTreeMap<Key, Vec<Tensor>>,
    vars: Vec<(Key, Vec<Var>)>,
}

impl Oracle {
    /// Reads and dequantises a GGUF file with candle, for arithmetic in `dtype` (F32, or F64 to judge F32 by).
    ///
    /// # Errors
    /// Candle's own, and a missing key or tensor.
    pub fn load(path: &Path, dtype: DType) -> Result<Self> {
        let mut file = File::open(path)?;
        let content = Content::read(&mut file)?;
        let key = |name: &str| -> Result<&Value> {
            content.metadata.get(name).ok_or_else(|| Error::Msg(format!("no {name}")).bt())
        };
        let count = |name: &str| -> Result<usize> { Ok(key(name)?.to_u32()? as usize) };
        let heads = count("llama.attention.head_count")?;
        let width = count("llama.embedding_length")?;
        let mut read = |name: &str| -> Result<Tensor> {
            content.tensor(&mut file, name, &Device::Cpu)?.dequantize(&Device::Cpu)?.to_dtype(dtype)
        };
        let embedding = read("token_embd.weight")?;
        let geometry = Geometry {
            blocks: count("llama.block_count")?,
            width,
            ffn: count("llama.feed_forward_length")?,
            heads,
            kv_heads: count("llama.attention.head_count_kv")?,
            head_width: width / heads,
            vocabulary: embedding.dim(0)?,
            rope_base: key("llama.rope.freq_base")?.to_f32()?.into(),
            epsilon: key("llama.attention.layer_norm_rms_epsilon")?.to_f32()?.into(),
        };
        let tied = !content.tensor_infos.contains_key("output.weight");
        let head = if tied { embedding.clone() } else { read("output.weight")? };
        let mut blocks = Vec::with_capacity(geometry.blocks);
        for block in 0..geometry.blocks {
            let mut linear = BTreeMap::new();
            for (module, name) in MODULES.into_iter().zip(GGUF_NAMES) {
                linear.insert(module, read(&format!("blk.{block}.{name}.weight"))?);
            }
            let attention_norm = read(&format!("blk.{block}.attn_norm.weight"))?;
            let ffn_norm = read(&format!("blk.{block}.ffn_norm.weight"))?;
            blocks.push(Block { attention_norm, ffn_norm, linear });
        }
        let norm = read("output_norm.weight")?;
        Ok(Self { geometry, weight_gradients: false, dtype, embedding, head, norm, blocks })
    }

    /// Logits \[tokens, vocabulary\], row-major.
    ///
    /// # Errors
    /// Candle's own.
    pub fn logits(&self, tokens: &[u32], adapter: Option<&Adapter>) -> Result<Vec<f32>> {
        let live = self.live(adapter)?;
        self.apply(&self.hidden(tokens, &live)?, &self.head)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
    }

    /// The objective's value.
    ///
    /// # Errors
    /// Candle's own.
    pub fn loss(&self, tokens: &[u32], adapter: Option<&Adapter>, objective: Objective<'_>) -> Result<f64> {
        let live = self.live(adapter)?;
        self.loss_tensor(tokens, &live, objective)?.to_dtype(DType::F64)?.to_scalar()
    }

    /// The objective's value and its gradient at the adapter's trainable weights, in the adapter's shapes.
    ///
    /// # Errors
    /// Candle's own.
    pub fn gradient(
        &self,
        tokens: &[u32],
        adapter: &Adapter,
        objective: Objective<'_>,
    ) -> Result<(f64, Adapter)> {
        self.batch_gradient(&[tokens], adapter, objective)
    }

    /// The mean of the objective over `sequences` and its gradient by one backward pass, before which the graphs of
    /// all sequences are held: plain backprop of a batch.
    ///
    /// # Errors
    /// Candle's own.
    pub fn batch_gradient(
        &self,
        sequences: &[&[u32]],
        adapter: &Adapter,
        objective: Objective<'_>,
    ) -> Result<(f64, Adapter)> {
        let live = self.live(Some(adapter))?;
        let losses = sequences.iter().map(|tokens| self.loss_tensor(tokens, &live, objective));
        let loss = Tensor::stack(&losses.collect::<Result<Vec<_>>>()?, 0)?.mean_all()?;
        let store = loss.backward()?;
        let mut gradient = adapter.empty();
        for (key, vars) in &live.vars {
            let Some(factors) = gradient.factors.get_mut(key) else { continue };
            for (var, out) in vars.iter().zip(factors.trainable_mut()) {
                // A weight that no wanted row depends on has no entry: its gradient is zero.
                if let Some(found) = store.get(var) {
                    *out = found.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
                }
            }
        }
        Ok((loss.to_dtype(DType::F64)?.to_scalar()?, gradient))
    }

    fn loss_tensor(&self, tokens: &[u32], live: &Live, objective: Objective<'_>) -> Result<Tensor> {
        let hidden = self.hidden(tokens, live)?;
        let wanted = |rows: Vec<u32>| -> Result<Tensor> {
            let rows = Tensor::from_vec(rows.clone(), rows.len(), &Device::Cpu)?;
            self.apply(&hidden.index_select(&rows, 0)?, &self.head)
        };
        match objective {
            Objective::Language { targets } => {
                let targets: Vec<usize> = (1..tokens.len()).filter(|&t| targets[t]).collect();
                let logits = wanted(targets.iter().map(|&t| t as u32 - 1).collect())?;
                let ids: Vec<u32> = targets.iter().map(|&t| tokens[t]).collect();
                let ids = Tensor::from_vec(ids, (targets.len(), 1), &Device::Cpu)?;
                (log_sum_exp(&logits)? - logits.gather(&ids, 1)?)?.mean_all()
            }
            Objective::Label { position, candidates, label } => {
                let ids = Tensor::from_slice(candidates, candidates.len(), &Device::Cpu)?;
                let logits = wanted(vec![position as u32])?.index_select(&ids, 1)?;
                (log_sum_exp(&logits)? - logits.narrow(1, label, 1)?)?.mean_all()
            }
        }
    }

    /// The final norm's output \[tokens, width\].
    fn hidden(&self, tokens: &[u32], live: &Live) -> Result<Tensor> {
        let ids = Tensor::from_slice(tokens, tokens.len(), &Device::Cpu)?;
        let mut x = self.embedding.index_select(&ids, 0)?;
        let (cos, sin) = self.rotation(tokens.len())?;
        let mask = self.mask(tokens.len())?;
        for (index, block) in self.blocks.iter().enumerate() {
            let layer = |name: &'static str, x: &Tensor| self.linear(block, (index, name), x, live);
            let h = self.rms_norm(&x, &block.attention_norm)?;
            let q = self.rotate(&layer("q", &h)?, self.geometry.heads, &cos, &sin)?;
            let k = self.rotate(&layer("k", &h)?, self.geometry.kv_heads, &cos, &sin)?;
            let mixed = self.attend(&q, &k, &layer("v", &h)?, &mask)?;
            x = (x + layer("o", &mixed)?)?;
            let h = self.rms_norm(&x, &block.ffn_norm)?;
            let gated = (layer("gate", &h)?.silu()? * layer("up", &h)?)?;
            x = (x + layer("down", &gated)?)?;
        }
        self.rms_norm(&x, &self.norm)
    }

    fn linear(&self, block: &Block, key: Key, x: &Tensor, live: &Live) -> Result<Tensor> {
        let y = self.apply(x, &block.linear[key.1])?;
        let Some(chain) = live.chains.get(&key) else { return Ok(y) };
        let mut low = x.clone();
        for factor in chain {
            low = low.matmul(&factor.t()?)?;
        }
        y + (low * live.scale)?
    }

    fn apply(&self, x: &Tensor, weights: &Tensor) -> Result<Tensor> {
        if self.weight_gradients {
            x.matmul(&weights.t()?)
        } else {
            x.contiguous()?.apply_op1(Frozen(weights.clone()))
        }
    }

    fn rms_norm(&self, x: &Tensor, weights: &Tensor) -> Result<Tensor> {
        let mean = x.sqr()?.mean_keepdim(D::Minus1)?;
        x.broadcast_div(&(mean + self.geometry.epsilon)?.sqrt()?)?.broadcast_mul(weights)
    }

    /// Rows \[tokens, heads · head width\] → \[heads, tokens, head width\], each pair (2i, 2i+1) turned by its angle.
    fn rotate(&self, x: &Tensor, heads: usize, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
        let (tokens, half) = (x.dim(0)?, self.geometry.head_width / 2);
        let pairs = x.reshape((tokens, heads, half, 2))?.transpose(0, 1)?;
        let (even, odd) = (pairs.narrow(3, 0, 1)?.squeeze(3)?, pairs.narrow(3, 1, 1)?.squeeze(3)?);
        let turned_even = (even.broadcast_mul(cos)? - odd.broadcast_mul(sin)?)?;
        let turned_odd = (even.broadcast_mul(sin)? + odd.broadcast_mul(cos)?)?;
        Tensor::stack(&[turned_even, turned_odd], 3)?.reshape((heads, tokens, 2 * half))
    }

    /// Causal attention; the query heads of one group share a key and value head. Returns \[tokens, heads · head width\].
    fn attend(&self, q: &Tensor, k: &Tensor, v: &Tensor, mask: &Tensor) -> Result<Tensor> {
        let Geometry { heads, kv_heads, head_width, .. } = self.geometry;
        let (tokens, group) = (q.dim(1)?, heads / kv_heads);
        let q = q.reshape((kv_heads, group * tokens, head_width))?;
        let scores = (q.matmul(&k.transpose(1, 2)?.contiguous()?)? / (head_width as f64).sqrt())?;
        let scores = scores.reshape((kv_heads, group, tokens, tokens))?.broadcast_add(mask)?;
        let shifted = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?.detach())?.exp()?;
        let weights = shifted.broadcast_div(&shifted.sum_keepdim(D::Minus1)?)?;
        let v = v.reshape((tokens, kv_heads, head_width))?.transpose(0, 1)?.contiguous()?;
        let mixed = weights.reshape((kv_heads, group * tokens, tokens))?.matmul(&v)?;
        mixed.reshape((heads, tokens, head_width))?.transpose(0, 1)?.reshape((tokens, heads * head_width))
    }

    /// Cosines and sines \[tokens, head width / 2\] of position · base^(−2i / head width), formed in f64.
    fn rotation(&self, tokens: usize) -> Result<(Tensor, Tensor)> {
        let half = self.geometry.head_width / 2;
        let angle =
            |i: usize| (i / half) as f64 * self.geometry.rope_base.powf(-((i % half) as f64) / half as f64);
        let table = |f: fn(f64) -> f64| -> Result<Tensor> {
            let values: Vec<f64> = (0..tokens * half).map(|i| f(angle(i))).collect();
            Tensor::from_vec(values, (tokens, half), &Device::Cpu)?.to_dtype(self.dtype)
        };
        Ok((table(f64::cos)?, table(f64::sin)?))
    }

    fn mask(&self, tokens: usize) -> Result<Tensor> {
        let hidden = |i: usize| if i % tokens > i / tokens { f32::NEG_INFINITY } else { 0.0 };
        let values: Vec<f32> = (0..tokens * tokens).map(hidden).collect();
        Tensor::from_vec(values, (tokens, tokens), &Device::Cpu)?.to_dtype(self.dtype)
    }

    fn live(&self, adapter: Option<&Adapter>) -> Result<Live> {
        let mut live = Live { scale: 1.0, chains: BTreeMap::new(), vars: Vec::new() };
        let Some(adapter) = adapter else { return Ok(live) };
        live.scale = adapter.scale.into();
        let tensor = |values: &[f32], rows: usize, columns: usize| -> Result<Tensor> {
            Tensor::from_slice(values, (rows, columns), &Device::Cpu)?.to_dtype(self.dtype)
        };
        let rank = adapter.rank;
        for (&key, factors) in &adapter.factors {
            let (inputs, outputs) = self.geometry.shape(key.1);
            let (chain, vars) = match factors {
                Factors::Lora { a, b } => {
                    let a = Var::from_tensor(&tensor(a, rank, inputs)?)?;
                    let b = Var::from_tensor(&tensor(b, outputs, rank)?)?;
                    (vec![a.as_tensor().clone(), b.as_tensor().clone()], vec![a, b])
                }
                Factors::Xs { p, r, q } => {
                    let r = Var::from_tensor(&tensor(r, rank, rank)?)?;
                    let (q, p) = (tensor(q, rank, inputs)?, tensor(p, outputs, rank)?);
                    (vec![q, r.as_tensor().clone(), p], vec![r])
                }
            };
            live.chains.insert(key, chain);
            live.vars.push((key, vars));
        }
        Ok(live)
    }
}

/// \[rows, n\] → \[rows, 1\].
fn log_sum_exp(logits: &Tensor) -> Result<Tensor> {
    let top = logits.max_keepdim(1)?.detach();
    logits.broadcast_sub(&top)?.exp()?.sum_keepdim(1)?.log()? + top
}
