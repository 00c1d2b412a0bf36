//! The shape of a model, read from GGUF metadata and checked.

use super::{Extra, Family, ModelError, Window};
use crate::dual::Attention;
use crate::gguf::Gguf;

/// Shape of the network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Geometry {
    /// What its blocks are made of.
    pub family: Family,
    /// NB, transformer blocks.
    pub blocks: usize,
    /// d, width of the residual stream.
    pub width: usize,
    /// Width of the feed-forward gate.
    pub ffn: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Dimensions of a head.
    pub head_dim: usize,
    /// Dimensions of a head that rotate.
    pub rope_dims: usize,
    /// Base of the rotary angles.
    pub rope_base: f32,
    /// Linear position scaling: positions are divided by it; 1 for none.
    pub rope_scale: f32,
    /// Blocks that see a window of the text, where there are any.
    pub window: Option<Window>,
    /// What products of queries and keys are multiplied by.
    pub score_scale: f32,
    /// ε of RMSNorm.
    pub norm_epsilon: f32,
    /// Rows of the embedding.
    pub vocabulary: usize,
    /// Positions the model was trained for.
    pub context: usize,
}

/// Largest value taken for any dimension: far above every model, far below what overflows a product.
const LIMIT: u32 = 1 << 20;

impl Geometry {
    /// Reads and checks the metadata of `gguf`.
    pub fn read(gguf: &Gguf<'_>) -> Result<Self, ModelError> {
        let family = Family::read(gguf)?;
        let key = |name: &str| format!("{}.{name}", family.architecture);
        let need = |name: &str| -> Result<usize, ModelError> {
            let key = key(name);
            match gguf.require_u32(&key)? {
                value if (1..=LIMIT).contains(&value) => Ok(value as usize),
                value => Err(ModelError::Metadata {
                    key,
                    found: value.to_string(),
                    expected: format!("1 to {LIMIT}"),
                }),
            }
        };
        let width = need("embedding_length")?;
        let heads = need("attention.head_count")?;
        let optional = |name: &str, otherwise: usize| match gguf.get(&key(name)) {
            Some(_) => need(name),
            None => Ok(otherwise),
        };
        let kv_heads = optional("attention.head_count_kv", heads)?;
        let head_dim = optional("attention.key_length", width / heads)?;
        let rope_dims = optional("rope.dimension_count", head_dim)?;
        same_length(&family, head_dim, optional("attention.value_length", head_dim)?)?;
        refuse_caps(gguf, &key)?;
        let embedding = gguf.require_tensor("token_embd.weight")?;
        let blocks = need("block_count")?;
        // Gemma 3's largest model, of 62 blocks, divides by the root of other dimensions than it has.
        let of_scores = if family == Family::GEMMA3 && blocks == 62 { width / heads } else { head_dim };
        let geometry = Self {
            family,
            blocks,
            width,
            ffn: need("feed_forward_length")?,
            heads,
            kv_heads,
            head_dim,
            rope_dims,
            rope_base: gguf.f32(&key("rope.freq_base"))?.unwrap_or(10_000.0),
            rope_scale: rope_scale(gguf, &key)?,
            window: Window::read(gguf, &family)?,
            score_scale: 1.0 / (of_scores as f32).sqrt(),
            norm_epsilon: gguf.require_f32(&key("attention.layer_norm_rms_epsilon"))?,
            vocabulary: embedding.rows(),
            context: need("context_length")?,
        };
        geometry.check()
    }

    /// The architecture's name, as the files of models and adapters have it.
    pub fn architecture(&self) -> &'static str {
        self.family.architecture
    }

    /// Head geometry of block `b`, for the attention operations.
    pub fn attention(&self, b: usize) -> Attention {
        let window = self.window.filter(|window| window.is_of(b));
        Attention {
            score_scale: self.score_scale,
            window: window.map_or(Attention::ALL, |window| window.positions),
            ..Attention::new(self.heads, self.kv_heads, self.head_dim)
        }
    }

    /// Numbers of a position in the rotary tables.
    pub fn rope_numbers(&self) -> usize {
        self.rope_dims * if self.window.is_some() { 2 } else { 1 }
    }

    /// Width of q and of the attention's output.
    pub fn q_width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Width of k and of v.
    pub fn kv_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// Numbers of a vector of a block.
    pub fn len_of(&self, extra: Extra) -> usize {
        match extra {
            Extra::Bias(0) => self.q_width(),
            Extra::Bias(_) => self.kv_width(),
            Extra::HeadNorm(_) => self.head_dim,
            Extra::PostNorm(_) => self.width,
        }
    }

    fn check(self) -> Result<Self, ModelError> {
        let bad = |key: &str, found: String, expected: String| {
            Err(ModelError::Metadata { key: format!("{}.{key}", self.architecture()), found, expected })
        };
        if !self.heads.is_multiple_of(self.kv_heads) || self.heads / self.kv_heads > 64 {
            return bad(
                "attention.head_count_kv",
                self.kv_heads.to_string(),
                format!("a divisor of {} heads, at most 64 to one", self.heads),
            );
        }
        if !self.head_dim.is_multiple_of(2) || self.head_dim > crate::dual::MAX_HEAD {
            return bad(
                "attention.key_length",
                self.head_dim.to_string(),
                format!("an even number up to {}", crate::dual::MAX_HEAD),
            );
        }
        if !self.rope_dims.is_multiple_of(2) || self.rope_dims > self.head_dim {
            return bad(
                "rope.dimension_count",
                self.rope_dims.to_string(),
                format!("an even number up to {}", self.head_dim),
            );
        }
        if self.kv_heads > crate::dual::MAX_PIECES {
            return bad(
                "attention.head_count_kv",
                self.kv_heads.to_string(),
                format!("at most {}", crate::dual::MAX_PIECES),
            );
        }
        for (key, value) in [
            ("rope.freq_base", self.rope_base),
            ("rope.freq_base_swa", self.window.map_or(1.0, |window| window.rope_base)),
            ("rope.scaling.factor", self.rope_scale),
            ("attention.layer_norm_rms_epsilon", self.norm_epsilon),
        ] {
            if !(value.is_finite() && value > 0.0) {
                return bad(key, value.to_string(), "a positive number".to_owned());
            }
        }
        // Ranking of head ids as f32 needs ids that f32 holds exactly.
        if self.vocabulary > 1 << 24 {
            return bad("vocab_size", self.vocabulary.to_string(), "at most 16777216".to_owned());
        }
        Ok(self)
    }
}

/// Keys and values of different widths are no model that is read.
fn same_length(family: &Family, key: usize, value: usize) -> Result<(), ModelError> {
    match key == value {
        true => Ok(()),
        false => Err(ModelError::Metadata {
            key: format!("{}.attention.value_length", family.architecture),
            found: value.to_string(),
            expected: format!("{key}, the length of a key"),
        }),
    }
}

/// Gemma 2 bends scores and logits towards a limit, and so may a file of another family say: without that it would answer
/// otherwise.
fn refuse_caps(gguf: &Gguf<'_>, key: &dyn Fn(&str) -> String) -> Result<(), ModelError> {
    for key in ["attn_logit_softcapping", "final_logit_softcapping"].map(key) {
        if let Some(cap) = gguf.f32(&key)?.filter(|cap| *cap != 0.0) {
            let expected = "none: soft caps are not computed with; use a model without them".to_owned();
            return Err(ModelError::Metadata { key, found: cap.to_string(), expected });
        }
    }
    Ok(())
}

/// A file that names a factor without a type means linear scaling; the factor's key was `rope.scale_linear` before. 0
/// stands for none.
fn rope_scale(gguf: &Gguf<'_>, key: &dyn Fn(&str) -> String) -> Result<f32, ModelError> {
    match gguf.str(&key("rope.scaling.type"))? {
        Some("none") => return Ok(1.0),
        None | Some("linear") => {}
        Some(other) => return Err(ModelError::RopeScaling { found: other.to_owned() }),
    }
    let factor = match gguf.f32(&key("rope.scaling.factor"))? {
        None => gguf.f32(&key("rope.scale_linear"))?,
        found => found,
    };
    Ok(factor.filter(|f| *f != 0.0).unwrap_or(1.0))
}
