//! Rotary position embedding: on consecutive pairs (2i, 2i+1), as GGUF stores Llama's q and k, or on halves (i, i + dims/2),
//! as most other models have it. The wrong one of them still prints words, but the loss of SmolLM2 on ordinary text rises
//! from 3.4 to 5.6. The map is linear, so tangents rotate like values; it is orthogonal, so adjoints rotate back:
//! x̄ = R(−θ)·ȳ.

use super::parallel::{for_each, piece_len};
use super::rows::DualRowsMut;
use crate::kernels::{Arch, Ctx, Kernel, dispatch};

/// Which two dimensions of a head rotate together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// 2i and 2i+1.
    Pairs,
    /// i and i + dims/2 (GPT-NeoX).
    Halves,
}

/// cos and sin of every (position, pair), interleaved.
#[derive(Clone, Debug)]
pub struct Rope {
    table: Vec<f32>,
    pairs: usize,
    rotation: Rotation,
}

impl Rope {
    /// Table for positions `0..positions`; angle of pair i at position p is `p · base^(−2i/dims) / factor_i`.
    /// `factors` (one a pair) is Llama 3's frequency scaling; empty for none. Bytes: positions × dims × 4.
    pub fn new(positions: usize, dims: usize, base: f32, factors: &[f32]) -> Self {
        let pairs = dims / 2;
        let mut table = Vec::with_capacity(positions * dims);
        for p in 0..positions {
            for i in 0..pairs {
                let factor = factors.get(i).copied().unwrap_or(1.0);
                // libm, not the platform's: the same bits on every board.
                let angle =
                    p as f64 * libm::pow(f64::from(base), -2.0 * i as f64 / dims as f64) / f64::from(factor);
                table.extend([libm::cos(angle) as f32, libm::sin(angle) as f32]);
            }
        }
        Self { table, pairs, rotation: Rotation::Pairs }
    }

    /// The same of dimensions that go together as `rotation` says.
    pub fn of(self, rotation: Rotation) -> Self {
        Self { rotation, ..self }
    }

    /// Bytes of a table for `positions` positions.
    pub fn table_bytes(positions: usize, dims: usize) -> usize {
        positions * dims * 4
    }

    /// Rotates every head of `head` dimensions of `x`: \[positions × (1+K)\] × width. `position(i)` is the place of the
    /// i-th position in its text.
    pub fn apply(
        &self,
        ctx: &Ctx,
        head: usize,
        x: DualRowsMut<'_>,
        position: impl Fn(usize) -> usize + Sync,
    ) {
        self.rotate::<false>(ctx, head, x, position);
    }

    /// From the adjoints of rotated rows, in place, those of the rows before; otherwise as [`apply`](Self::apply).
    pub fn apply_adjoint(
        &self,
        ctx: &Ctx,
        head: usize,
        x: DualRowsMut<'_>,
        position: impl Fn(usize) -> usize + Sync,
    ) {
        self.rotate::<true>(ctx, head, x, position);
    }

    fn rotate<const BACK: bool>(
        &self,
        ctx: &Ctx,
        head: usize,
        mut x: DualRowsMut<'_>,
        position: impl Fn(usize) -> usize + Sync,
    ) {
        let (group, piece) = (x.group(), piece_len(&ctx.pool, x.stack().positions));
        for_each(&ctx.pool, x.data().chunks_mut(piece * group).enumerate(), |(c, x)| {
            for (i, x) in x.chunks_exact_mut(group).enumerate() {
                let at = position(c * piece + i) * 2 * self.pairs;
                let table = &self.table[at..at + 2 * self.pairs];
                dispatch(ctx.isa, Rotate::<BACK> { table, head, rotation: self.rotation, x });
            }
        });
    }
}

/// The heads of one row; `BACK` turns them the other way.
struct Rotate<'a, const BACK: bool> {
    table: &'a [f32],
    head: usize,
    rotation: Rotation,
    x: &'a mut [f32],
}

impl<const BACK: bool> Kernel for Rotate<'_, BACK> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arch>(self, _: A) {
        // Only the first `2·pairs` dimensions of a head rotate when rope.dimension_count is smaller than the head.
        for x in self.x.chunks_exact_mut(self.head) {
            match self.rotation {
                Rotation::Pairs => {
                    for (pair, cs) in x.chunks_exact_mut(2).zip(self.table.chunks_exact(2)) {
                        (pair[0], pair[1]) = turned::<BACK>(pair[0], pair[1], cs);
                    }
                }
                Rotation::Halves => {
                    let (first, second) = x[..self.table.len()].split_at_mut(self.table.len() / 2);
                    for ((a, b), cs) in first.iter_mut().zip(second).zip(self.table.chunks_exact(2)) {
                        (*a, *b) = turned::<BACK>(*a, *b, cs);
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn turned<const BACK: bool>(a: f32, b: f32, cs: &[f32]) -> (f32, f32) {
    let sin = if BACK { -cs[1] } else { cs[1] };
    (a * cs[0] - b * sin, a * sin + b * cs[0])
}
