//! Blocks that see a window of the text, and those that see all of it.

use super::family::Pattern;
use super::{Family, Geometry, ModelError};
use crate::dual::{Attention, Rope};
use crate::gguf::Gguf;

/// Of every so many blocks all but the last see a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// Positions that one sees, itself among them.
    pub positions: usize,
    /// Every so many blocks one sees everything.
    pub every: usize,
    /// Base of the rotary angles of the others.
    pub rope_base: f32,
}

/// Rotary tables of a model: where some blocks see a window, of those and of the others.
#[derive(Clone, Debug)]
pub struct Ropes {
    global: Rope,
    local: Option<Rope>,
}

impl Window {
    /// The window that the metadata of `gguf` name, for a family that may have one.
    pub(super) fn read(gguf: &Gguf<'_>, family: &Family) -> Result<Option<Self>, ModelError> {
        let key = |name: &str| format!("{}.{name}", family.architecture);
        let Some(Pattern { every, rope_base }) = family.windows else { return Ok(None) };
        let whole = |name: &str| gguf.u32(&key(name)).map(|n| n.map(|n| n as usize));
        let Some(positions) = whole("attention.sliding_window")?.filter(|n| *n > 0) else { return Ok(None) };
        let every = whole("attention.sliding_window_pattern")?.unwrap_or(every);
        if every == 0 {
            return Err(ModelError::Metadata {
                key: key("attention.sliding_window_pattern"),
                found: "0".to_owned(),
                expected: "1 or more".to_owned(),
            });
        }
        let rope_base = gguf.f32(&key("rope.freq_base_swa"))?.unwrap_or(rope_base);
        Ok(Some(Self { positions, every, rope_base }))
    }

    /// Whether block `b` sees a window.
    fn is_of(&self, b: usize) -> bool {
        b % self.every < self.every - 1
    }
}

impl Geometry {
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
}

impl Ropes {
    /// Tables for `positions` positions of a model of shape `g`, whose angles are divided by `factors` where everything is
    /// seen.
    pub(super) fn new(g: &Geometry, positions: usize, factors: &[f32]) -> Self {
        let table = |base, factors| Rope::new(positions, g.rope_dims, base, factors).of(g.family.rotation);
        let local = g.window.map(|window| table(window.rope_base, &[]));
        Self { global: table(g.rope_base, factors), local }
    }

    /// The table of block `b` of a model of shape `g`.
    pub(super) fn of(&self, g: &Geometry, b: usize) -> &Rope {
        match &self.local {
            Some(local) if g.window.is_some_and(|window| window.is_of(b)) => local,
            _ => &self.global,
        }
    }
}
