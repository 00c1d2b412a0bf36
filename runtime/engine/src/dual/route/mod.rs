//! The router of a block: which share of each text's updates is the first adapter's and which the second's, a function of
//! the text alone (Flow, arXiv 2211.15281, 3.1; docs/algorithm.md, 8).
//!
//! With m the mean of what the router looks at, over the tokens it may see, and d its width,
//!
//! μ = mean m,  σ = √(mean (m − μ)² + ε),  φ = (m − μ)/σ;  z = w·φ + b;  q = 1/(1 + e⁻ᶻ);
//!
//! φ̇ = (ṁ − mean ṁ − φ·mean(φ·ṁ))/σ;  ż = w·φ̇ + ẇ·φ + ḃ + ε′;  q̇ = q(1 − q)·ż, where ε′ perturbs z itself;
//!
//! z̄ = q(1 − q)·Σ q̄ over the positions that share q;  w̄ += z̄·φ, b̄ += z̄;  m̄ = (φ̄ − mean φ̄ − φ·mean(φ·φ̄))/σ with
//! φ̄ = z̄·w, and each token that was looked at gets its part of m̄.
//!
//! A hard router takes one adapter alone: q = 1 where z ≥ 0, else 0.

mod adjoint;

pub use adjoint::{Held, RouteAdjoint};

use super::batch::DualBatch;
use super::rows::{DualRows, DualRowsMut, Stack};
use super::site::{Factor, TensorId};
use crate::kernels::elementwise::sigmoid;
use sprig_ground::names;
use std::ops::Range;

/// ε of the normalisation.
const EPSILON: f32 = 1e-5;
/// Most tokens of a prompt that a router looks at: as many as generation reads in one pass, before it has to know.
pub const MOST_SEEN: usize = 512;

/// Which tokens a router looks at. None sees a token that comes after those it decides about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// Those of the prompt, for all of the text: the route is fixed before the answer begins.
    Prompt,
    /// At each position those up to it.
    Prefix,
}

names!(Pool, "pooling of a router", [Prompt = "prompt", Prefix = "prefix"]);

/// The router of one block.
#[derive(Clone, Copy)]
pub struct Route<'a> {
    /// w, then b: one number more than it looks at.
    pub weights: Factor<'a>,
    /// Name of z, when that is perturbed itself.
    pub logit: Option<TensorId>,
    /// Which tokens it looks at.
    pub pool: Pool,
    /// Whether derivatives go through what it looks at.
    pub follows: bool,
    /// Whether it takes one of the adapters alone.
    pub hard: bool,
}

/// What a router looks at.
#[derive(Clone, Copy)]
pub enum Seen<'a> {
    /// The input of its block.
    Rows(DualRows<'a>),
    /// The tokens' embeddings, which this writes.
    Tokens(&'a dyn Fn(u32, &mut [f32])),
    /// Nothing: every text gets the same share.
    Nothing,
}

/// A router over the rows of a pass.
#[derive(Clone, Copy)]
pub struct Router<'a> {
    /// The rows.
    pub batch: DualBatch<'a>,
    /// Its weights and ways.
    pub route: Route<'a>,
    /// What it looks at.
    pub seen: Seen<'a>,
}

/// A text that is read in pieces: what of it a router saw before.
#[derive(Debug)]
pub struct Carry<'c> {
    /// Sum of what it looked at.
    pub sum: &'c mut [f32],
    /// Over so many tokens.
    pub count: &'c mut usize,
}

/// What a router leaves beside shares, where it is asked for.
#[derive(Debug, Default)]
pub struct Left<'c> {
    /// φ of each example, one after another, with [`Pool::Prompt`].
    pub features: Option<&'c mut [f32]>,
    /// Where a text goes on that is read in pieces, one sequence without tangents, with [`Pool::Prefix`].
    pub carry: Option<Carry<'c>>,
}

/// Numbers that a router which looks at `width` numbers works with, where rows carry `tangents` tangents.
pub const fn route_scratch_len(width: usize, tangents: usize) -> usize {
    2 * (1 + tangents) * width + 2 * (width + 1)
}

/// The mean of what was looked at, normalised.
struct Feature {
    /// σ.
    deviation: f32,
    /// w·φ.
    along: f32,
}

/// Working memory, cut.
struct Room<'s> {
    /// Sums of rows and of their tangents.
    sums: &'s mut [f32],
    /// φ, and the means of the tangents.
    mean: &'s mut [f32],
    token: &'s mut [f32],
    direction: &'s mut [f32],
}

impl Router<'_> {
    /// Whether its shares have tangents.
    pub fn moves(&self) -> bool {
        let own = self.route.weights.tensor.is_some() || self.route.logit.is_some();
        !self.route.hard && self.batch.tangents() > 0 && (own || self.looks_at_tangents())
    }

    /// Whether what it looks at has a part in how it decides that derivatives follow.
    pub fn goes_through(&self) -> bool {
        self.route.follows && !self.route.hard && matches!(self.seen, Seen::Rows(_))
    }

    /// The rows of its shares.
    pub fn stack(&self) -> Stack {
        if self.moves() { self.batch.live() } else { self.batch.plain() }
    }

    /// Writes the share of each position into `out`.
    pub fn shares(&self, mut out: DualRowsMut<'_>, mut left: Left<'_>, scratch: &mut [f32]) {
        assert_eq!((out.stack(), out.width()), (self.stack(), 1), "rows of shares");
        let whole = self.route.pool == Pool::Prompt || !self.batch.rows.is_branching();
        assert!(whole, "a mean over what stands before does not go on from a prompt elsewhere");
        let mut room = self.room(scratch);
        for e in 0..self.batch.rows.examples() {
            match self.route.pool {
                Pool::Prompt => self.by_prompt(e, &mut out, &mut left, &mut room),
                Pool::Prefix => self.by_prefix(e, &mut out, &mut left, &mut room),
            }
        }
    }

    fn by_prompt(&self, e: usize, out: &mut DualRowsMut<'_>, left: &mut Left<'_>, room: &mut Room<'_>) {
        let (d, group, span) = (self.width(), out.group(), self.batch.rows.span(e));
        let seen = self.look_at_prompt(e, room);
        let (first, rest) = out.data()[span.start * group..span.end * group].split_at_mut(group);
        self.decide(e, seen.len(), room, first);
        rest.chunks_exact_mut(group).for_each(|q| q.copy_from_slice(first));
        if let Some(features) = &mut left.features {
            features[e * d..(e + 1) * d].copy_from_slice(&room.mean[..d]);
        }
    }

    fn by_prefix(&self, e: usize, out: &mut DualRowsMut<'_>, left: &mut Left<'_>, room: &mut Room<'_>) {
        let (d, group) = (self.width(), out.group());
        let mut count = 0;
        for at in self.batch.rows.span(e) {
            if at == self.batch.rows.sequence_at(at).start {
                room.sums.fill(0.0);
                count = 0;
                if let Some(carry) = &left.carry {
                    room.sums[..d].copy_from_slice(carry.sum);
                    count = *carry.count;
                }
            }
            self.look(at, room);
            count += 1;
            self.decide(e, count, room, &mut out.data()[at * group..(at + 1) * group]);
        }
        if let Some(carry) = &mut left.carry {
            carry.sum.copy_from_slice(&room.sums[..d]);
            *carry.count = count;
        }
    }

    /// d, numbers that it looks at.
    pub fn width(&self) -> usize {
        self.route.weights.values.len() - 1
    }

    fn looks_at_tangents(&self) -> bool {
        match self.seen {
            Seen::Rows(rows) => self.route.follows && rows.stack().tangents > 0,
            Seen::Tokens(_) | Seen::Nothing => false,
        }
    }

    fn room<'s>(&self, scratch: &'s mut [f32]) -> Room<'s> {
        let d = self.width();
        let group = if self.looks_at_tangents() { self.batch.live().group() } else { 1 };
        let (sums, rest) = scratch.split_at_mut(group * d);
        let (mean, rest) = rest.split_at_mut(group * d);
        let (token, rest) = rest.split_at_mut(d);
        Room { sums, mean, token, direction: &mut rest[..d + 1] }
    }

    /// Sums up what stands in the prompt of example `e`, and says where that is.
    fn look_at_prompt(&self, e: usize, room: &mut Room<'_>) -> Range<usize> {
        let prompt = self.batch.rows.prompt(e, MOST_SEEN);
        room.sums.fill(0.0);
        prompt.clone().for_each(|at| self.look(at, room));
        prompt
    }

    /// Adds what stands at position `at` to the sums.
    fn look(&self, at: usize, room: &mut Room<'_>) {
        let add = |sums: &mut [f32], row: &[f32]| sums.iter_mut().zip(row).for_each(|(sum, v)| *sum += v);
        match self.seen {
            Seen::Rows(rows) => add(room.sums, rows.part(at..at + 1).data()),
            Seen::Tokens(embed) => {
                embed(self.batch.rows.tokens()[at], room.token);
                add(room.sums, room.token);
            }
            Seen::Nothing => {}
        }
    }

    /// φ from the sums over `count` tokens, and the means of the tangents behind it.
    fn normalise(&self, count: usize, room: &mut Room<'_>) -> Feature {
        let (d, part) = (self.width(), 1.0 / count as f32);
        room.mean.iter_mut().zip(&*room.sums).for_each(|(mean, sum)| *mean = sum * part);
        let phi = &mut room.mean[..d];
        let mean = phi.iter().sum::<f32>() / d.max(1) as f32;
        phi.iter_mut().for_each(|v| *v -= mean);
        let deviation = (dot(phi, phi) / d.max(1) as f32 + EPSILON).sqrt();
        phi.iter_mut().for_each(|v| *v /= deviation);
        Feature { deviation, along: dot(phi, self.route.weights.values) }
    }

    /// The share of example `e` from the sums over `count` tokens, and its tangents as far as `out` has room for them.
    fn decide(&self, e: usize, count: usize, room: &mut Room<'_>, out: &mut [f32]) {
        let (d, values) = (self.width(), self.route.weights.values);
        let Feature { deviation, along } = self.normalise(count, room);
        let (phi, tangents) = room.mean.split_at(d);
        let z = along + values[d];
        out[0] = if self.route.hard { f32::from(u8::from(z >= 0.0)) } else { sigmoid(z) };
        let (slope, sum) = (out[0] * (1.0 - out[0]), values[..d].iter().sum::<f32>());
        let Some(probe) = self.batch.probe else { return };
        for (k, out) in out[1..].iter_mut().enumerate() {
            let mut moved = 0.0;
            if let Some(m) = tangents.get(k * d..(k + 1) * d).filter(|m| !m.is_empty()) {
                let (mean, pull) = (m.iter().sum::<f32>() / d as f32, dot(phi, m) / d as f32);
                moved += (dot(m, values) - mean * sum - pull * along) / deviation;
            }
            let mut direction = |tensor, n: usize| {
                probe.directions.fill(k, probe.first_example + e, tensor, &mut room.direction[..n]);
            };
            if let Some(tensor) = self.route.weights.tensor {
                direction(tensor, d + 1);
                moved += dot(phi, room.direction) + room.direction[d];
            } else if let Some(tensor) = self.route.logit {
                direction(tensor, 1);
                moved += room.direction[0];
            }
            *out = slope * moved;
        }
    }
}

/// Of as many as the shorter has, in eight lanes that are added in one order.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let n = a.len().min(b.len());
    let ((a, a_rest), (b, b_rest)) = (a[..n].as_chunks::<8>(), b[..n].as_chunks::<8>());
    let mut lanes = [0.0f32; 8];
    for (a, b) in a.iter().zip(b) {
        lanes.iter_mut().zip(a.iter().zip(b)).for_each(|(lane, (a, b))| *lane += a * b);
    }
    lanes.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}
