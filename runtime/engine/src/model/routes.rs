//! What routers of a pass take, hold and remember.

use super::Geometry;
use crate::adapter::Adapter;
use crate::dual::{Carry, DualRows, DualRowsMut, Pool};
use sprig_budget::Bytes;

/// Routers that say which of two adapters answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteSize {
    /// Blocks that have one.
    pub blocks: usize,
    /// Numbers that one looks at.
    pub width: usize,
    /// Most examples of a pass.
    pub examples: usize,
    /// Whether what they looked at is kept.
    pub features: bool,
}

/// What routers work with, and what they decided.
pub(super) struct Routes<'a> {
    /// q of every position, for the block under way.
    pub shares: DualRowsMut<'a>,
    /// Whether there are any: an adapter may be one alone, and a block have none.
    pub decided: bool,
    /// Whether any block of the pass had some.
    pub asked: bool,
    /// q̄ of every position.
    pub pull: &'a mut [f32],
    pub scratch: &'a mut [f32],
    /// Mean share of each example in each routed block: blocks × examples of the pass.
    pub means: &'a mut [f32],
    /// What each router looked at, blocks × examples × its width, where that is kept.
    pub features: &'a mut [f32],
}

/// What routers remember of a text that is read in pieces.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Whether a piece was read.
    begun: bool,
    /// q of the prompt, by routed block.
    pub(super) shares: Vec<f32>,
    /// Sums of what was looked at, by routed block.
    sums: Vec<f32>,
    /// Over so many tokens.
    counts: Vec<usize>,
}

impl RouteSize {
    /// The routers of `adapter` on a model of shape `g`, in passes of up to `examples` examples.
    pub fn of(adapter: &Adapter, g: &Geometry, examples: usize) -> Option<Self> {
        let (routing, blocks) = (adapter.routing()?, adapter.routed().len());
        Some(Self { blocks, width: routing.width(g), examples, features: false })
    }
}

impl Routes<'_> {
    /// The shares of the block under way, if there are any.
    pub(super) fn shares(&self) -> Option<DualRows<'_>> {
        self.decided.then(|| self.shares.rows())
    }
}

impl Memory {
    /// Of `blocks` routers that look at `width` numbers.
    pub(super) fn new(blocks: usize, width: usize) -> Self {
        Self {
            begun: false,
            shares: vec![0.0; blocks],
            sums: vec![0.0; blocks * width],
            counts: vec![0; blocks],
        }
    }

    /// Forgets the text.
    pub(super) fn restart(&mut self) {
        self.begun = false;
        self.shares.fill(0.0);
        self.sums.fill(0.0);
        self.counts.fill(0);
    }

    /// Its heap bytes.
    pub(super) fn bytes(blocks: usize, width: usize) -> Bytes {
        Bytes((blocks * (4 * (1 + width) + size_of::<usize>())) as u64)
    }

    /// A piece was read.
    pub(super) fn advance(&mut self) {
        self.begun = true;
    }

    /// The share that was decided when the prompt was read.
    pub(super) fn known(&self, place: usize, pool: Pool) -> Option<f32> {
        (self.begun && pool == Pool::Prompt).then(|| self.shares[place])
    }

    pub(super) fn carry(&mut self, place: usize, width: usize) -> Carry<'_> {
        let sum = &mut self.sums[place * width..(place + 1) * width];
        Carry { sum, count: &mut self.counts[place] }
    }
}
