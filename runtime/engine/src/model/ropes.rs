//! Rotary tables: of blocks that see everything, and of those that see a window.

use super::Geometry;
use crate::dual::Rope;

/// Rotary tables of a model: where some blocks see a window, of those and of the others.
#[derive(Clone, Debug)]
pub struct Ropes {
    global: Rope,
    local: Option<Rope>,
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
