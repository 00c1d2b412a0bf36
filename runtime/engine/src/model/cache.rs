//! Keys and values of a text under way, in f16, bounded when made.

use super::Geometry;
use crate::kernels::Isa;
use crate::kernels::half_floats::f32_to_f16;
use half::f16;
use sprig_budget::Bytes;

/// Keys and values of every block for up to a fixed number of positions.
pub struct KvCache {
    keys: Vec<f16>,
    values: Vec<f16>,
    width: usize,
    capacity: usize,
    len: usize,
}

impl KvCache {
    /// An empty cache for `capacity` positions.
    pub fn new(geometry: &Geometry, capacity: usize) -> Self {
        let width = geometry.kv_width();
        let all = vec![f16::ZERO; geometry.blocks * capacity * width];
        Self { values: all.clone(), keys: all, width, capacity, len: 0 }
    }

    /// Its size: blocks × 2 × capacity × kv width × 2 bytes.
    pub fn bytes(geometry: &Geometry, capacity: usize) -> Bytes {
        Bytes((geometry.blocks * 2 * capacity * geometry.kv_width() * size_of::<f16>()) as u64)
    }

    /// Positions held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Positions it has room for.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts the newest rows of `block` behind those held; they count once [`Self::advance`] is called.
    pub(super) fn store(&mut self, isa: Isa, block: usize, k: &[f32], v: &[f32]) {
        let at = (block * self.capacity + self.len) * self.width;
        for (to, from) in [(&mut self.keys, k), (&mut self.values, v)] {
            f32_to_f16(isa, from, &mut to[at..at + from.len()]);
        }
    }

    /// Keys and values of the first `positions` positions of `block`.
    pub(super) fn block(&self, block: usize, positions: usize) -> (&[f16], &[f16]) {
        let at = block * self.capacity * self.width;
        let range = at..at + positions * self.width;
        (&self.keys[range.clone()], &self.values[range])
    }

    /// Counts the rows stored last as held.
    pub(super) fn advance(&mut self, positions: usize) {
        self.len += positions;
    }
}
