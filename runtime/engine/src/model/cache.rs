//! Keys and values of a text under way, in f16, bounded when made.

use super::Geometry;
use super::routes::{Memory, RouteSize};
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
    /// What routers remember of the text, where there are any.
    pub(super) routes: Option<Memory>,
}

impl KvCache {
    /// An empty cache for `capacity` positions.
    pub fn new(geometry: &Geometry, capacity: usize) -> Self {
        let width = geometry.kv_width();
        let all = vec![f16::ZERO; geometry.blocks * capacity * width];
        Self { values: all.clone(), keys: all, width, capacity, len: 0, routes: None }
    }

    /// The same for texts that routers of `size` decide about.
    pub(super) fn with_routes(self, size: Option<RouteSize>) -> Self {
        Self { routes: size.map(|size| Memory::new(size.blocks, size.width)), ..self }
    }

    /// Its size: blocks × 2 × capacity × kv width × 2 bytes, and what `routes` routers of so many numbers remember.
    pub fn bytes(geometry: &Geometry, capacity: usize, routes: Option<(usize, usize)>) -> Bytes {
        let remembered = routes.map_or(Bytes::ZERO, |(blocks, width)| Memory::bytes(blocks, width));
        Bytes((geometry.blocks * 2 * capacity * geometry.kv_width() * size_of::<f16>()) as u64) + remembered
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

    /// Forgets the text, for another one.
    pub(super) fn restart(&mut self) {
        self.len = 0;
        self.routes.iter_mut().for_each(Memory::restart);
    }

    /// Forgets all but the first `positions` positions.
    ///
    /// # Panics
    /// There are routers, which remember the whole text.
    pub(super) fn rewind(&mut self, positions: usize) {
        assert!(self.routes.is_none(), "routers remember the whole text");
        self.len = self.len.min(positions);
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
        self.routes.iter_mut().for_each(Memory::advance);
    }
}
