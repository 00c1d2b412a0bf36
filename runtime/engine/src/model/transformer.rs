//! A model over a mapped GGUF file: views of its weights, nothing copied but the small norm gains and biases.

use super::module::{Module, block_of};
use super::{Extra, Geometry, ModelError, Ropes, Stream};
use crate::dual::Keeper;
use crate::gguf::{Gguf, Short, TensorType};
use crate::kernels::{Isa, Matrix, dequantize};

/// The tensor of Llama 3's factors of the rotary angles.
const ROPE_FACTORS: &str = "rope_freqs.weight";

/// Weights of one block.
pub struct Block<'m> {
    pub(super) attention_norm: Vec<f32>,
    pub(super) ffn_norm: Vec<f32>,
    /// Of queries, keys and values; none where the family has none.
    pub(super) biases: Vec<Vec<f32>>,
    /// Gains of the norms of the heads of queries and keys; none where the family has none.
    pub(super) head_norms: Vec<Vec<f32>>,
    /// Gains of the norms behind the attention and the feed-forward part; none where the family has none.
    pub(super) post_norms: Vec<Vec<f32>>,
    linears: [Matrix<'m>; 7],
}

impl<'m> Block<'m> {
    /// One of its linear layers.
    pub fn linear(&self, module: Module) -> &Matrix<'m> {
        &self.linears[module as usize]
    }
}

/// A model ready to run.
pub struct Transformer<'m> {
    geometry: Geometry,
    embedding: Matrix<'m>,
    blocks: Vec<Block<'m>>,
    final_norm: Vec<f32>,
    head: Matrix<'m>,
    rope_factors: Vec<f32>,
    stream: Option<Stream<'m>>,
}

impl<'m> Transformer<'m> {
    /// Checks every tensor the model needs against the metadata. Reads headers and norm gains, no other weight.
    pub fn load(gguf: &Gguf<'m>) -> Result<Self, ModelError> {
        Self::read(gguf, None)
    }

    /// The same with weights that `stream` may take out of memory between their uses.
    pub fn load_streamed(gguf: &Gguf<'m>, stream: Stream<'m>) -> Result<Self, ModelError> {
        Self::read(gguf, Some(stream))
    }

    fn read(gguf: &Gguf<'m>, stream: Option<Stream<'m>>) -> Result<Self, ModelError> {
        let geometry = Geometry::read(gguf)?;
        let matrix = |name: &str, rows: usize, cols: usize| matrix(gguf, name, rows, cols);
        let vector = |name: &str, len: usize| vector(gguf, name, len, stream.as_ref());
        let gain = |name: String| vector(&name, geometry.width);
        let mut blocks = Vec::new();
        for b in 0..geometry.blocks {
            let [q, k, v, o, gate, up, down] = Module::ALL.map(|module| {
                let (rows, cols) = module.shape(&geometry);
                matrix(&module.tensor_name(b), rows, cols)
            });
            let [mut biases, mut head_norms, mut post_norms] = [const { Vec::new() }; 3];
            for extra in geometry.family.extras() {
                let values = vector(&format!("blk.{b}.{}", extra.gguf_name()), geometry.len_of(extra))?;
                match extra {
                    Extra::Bias(_) => biases.push(values),
                    Extra::HeadNorm(_) => head_norms.push(values),
                    Extra::PostNorm(_) => post_norms.push(values),
                }
            }
            blocks.push(Block {
                attention_norm: gain(format!("blk.{b}.attn_norm.weight"))?,
                ffn_norm: gain(format!("blk.{b}.ffn_norm.weight"))?,
                biases,
                head_norms,
                post_norms,
                linears: [q?, k?, v?, o?, gate?, up?, down?],
            });
        }
        let embedding = matrix("token_embd.weight", geometry.vocabulary, geometry.width)?;
        let head = match gguf.tensor("output.weight") {
            Some(_) => matrix("output.weight", geometry.vocabulary, geometry.width)?,
            None => embedding,
        };
        let head = head.row_slice(0..rows_of_tokens(gguf, geometry.vocabulary)?);
        let rope_factors = match gguf.tensor(ROPE_FACTORS) {
            Some(_) => {
                let mut factors = vector(ROPE_FACTORS, geometry.rope_dims / 2)?;
                factors.iter_mut().for_each(|f| *f *= geometry.rope_scale);
                factors
            }
            None => vec![geometry.rope_scale; geometry.rope_dims / 2],
        };
        let final_norm = gain("output_norm.weight".to_owned())?;
        refuse_unused(gguf, &geometry)?;
        if let Some(stream) = &stream {
            stream.release(gguf.bytes()); // the header, where the tensors were looked up
        }
        Ok(Self { geometry, embedding, blocks, final_norm, head, rope_factors, stream })
    }

    /// Where its weights are, if that was left to a stream.
    pub fn stream(&self) -> Option<&Stream<'m>> {
        self.stream.as_ref()
    }

    /// Tells that the block before or behind `next` is about to be used: `next` is read meanwhile, if there is one.
    pub(crate) fn foresee(&self, next: Option<usize>) {
        if let (Some(stream), Some(next)) = (&self.stream, next.and_then(|next| self.blocks.get(next))) {
            stream.soon(&next.linears);
        }
    }

    /// Its shape.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Token embedding, vocabulary × width.
    pub fn embedding(&self) -> &Matrix<'m> {
        &self.embedding
    }

    /// Output head, tokens × width; the embedding itself when tied, without the rows that it is padded with.
    pub fn head(&self) -> &Matrix<'m> {
        &self.head
    }

    /// Gain of the last norm.
    pub fn final_norm(&self) -> &[f32] {
        &self.final_norm
    }

    /// Block `b`.
    pub fn block(&self, b: usize) -> &Block<'m> {
        &self.blocks[b]
    }

    /// Rotary tables for texts of up to `positions` tokens.
    pub fn rope(&self, positions: usize) -> Ropes {
        Ropes::new(&self.geometry, positions, &self.rope_factors)
    }

    /// Heap bytes this holds: norm gains, biases and rotary factors.
    pub fn heap_bytes(geometry: &Geometry) -> usize {
        let extras = geometry.family.extras();
        let (count, numbers) = extras.fold((0, 0), |(n, sum), extra| (n + 1, sum + geometry.len_of(extra)));
        ((2 * geometry.blocks + 1) * geometry.width + geometry.rope_dims / 2 + geometry.blocks * numbers) * 4
            + geometry.blocks * (size_of::<Block<'_>>() + count * size_of::<Vec<f32>>())
    }
}

impl Keeper for Transformer<'_> {
    fn about_to_use(&self, now: &Matrix<'_>, next: Option<&Matrix<'_>>) {
        if let Some(stream) = &self.stream {
            stream.bring(now.bytes(), next.map(Matrix::bytes));
        }
    }

    fn done_with(&self, weights: &Matrix<'_>) {
        if let Some(stream) = &self.stream {
            stream.release(weights.bytes());
        }
    }
}

/// Rows of the output head that stand for tokens, of `rows`: a vocabulary may be padded to a round number, by rows without
/// a token or with one of ggml's type "unused" at its end. Nobody trained these, and no text has them: they get no share of
/// the probability, and are never the likeliest.
fn rows_of_tokens(gguf: &Gguf<'_>, rows: usize) -> Result<usize, ModelError> {
    const UNUSED: i32 = 5;
    let Some(types) = gguf.array_i32("tokenizer.ggml.token_type")? else { return Ok(rows) };
    let last = types.enumerate().filter(|(_, ty)| *ty != UNUSED).last();
    Ok(last.map_or(rows, |(token, _)| (token + 1).min(rows)))
}

/// Refuses a tensor that is in the file and not computed with, such as a bias that the family has not: the model would answer
/// without it, and nobody would be told.
fn refuse_unused(gguf: &Gguf<'_>, geometry: &Geometry) -> Result<(), ModelError> {
    const WHOLE: [&str; 3] = ["token_embd.weight", "output.weight", "output_norm.weight"];
    let family = &geometry.family;
    let used = |name: &str| match block_of(name) {
        Some((block, "attn_norm.weight" | "ffn_norm.weight")) => block < geometry.blocks,
        Some((block, rest)) => {
            let known = Module::of_tensor(name).is_some() || family.extras().any(|e| e.gguf_name() == rest);
            block < geometry.blocks && known
        }
        None => WHOLE.contains(&name) || family.rope_factors && name == ROPE_FACTORS,
    };
    let mut unused = gguf.tensors().map(|t| t.name).filter(|name| !used(name));
    match unused.next() {
        Some(name) => Err(ModelError::Unused { tensor: Short(name).to_string(), others: unused.count() }),
        None => Ok(()),
    }
}

fn matrix<'m>(gguf: &Gguf<'m>, name: &str, rows: usize, cols: usize) -> Result<Matrix<'m>, ModelError> {
    let tensor = gguf.require_tensor(name)?;
    if (tensor.rows(), tensor.cols()) != (rows, cols) {
        let (have_rows, have_cols) = (tensor.rows(), tensor.cols());
        return Err(ModelError::Shape {
            tensor: name.to_owned(),
            rows: have_rows,
            cols: have_cols,
            want_rows: rows,
            want_cols: cols,
        });
    }
    Matrix::new(tensor.ty, rows, cols, gguf.data(tensor)?)
        .map_err(|source| ModelError::Weight { tensor: name.to_owned(), source })
}

/// A vector, copied; its pages need not stay.
fn vector<'m>(
    gguf: &Gguf<'m>,
    name: &str,
    len: usize,
    stream: Option<&Stream<'m>>,
) -> Result<Vec<f32>, ModelError> {
    let tensor = matrix(gguf, name, 1, len)?;
    debug_assert!(matches!(tensor.ty(), TensorType::F32 | TensorType::F16 | TensorType::BF16));
    let mut values = vec![0.0; len];
    dequantize(Isa::Scalar, &tensor, 0..1, &mut values);
    if let Some(stream) = stream {
        stream.release(tensor.bytes());
    }
    Ok(values)
}
