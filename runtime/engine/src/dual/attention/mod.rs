//! Causal attention with tangents, over tiles of keys: memory does not grow with the length of the text.
//!
//! Per query, with m the running maximum and eⱼ = exp(sⱼ − m):
//! Z = Σe, O = Σe·v, U = Σe·ṡ, N = Σe(ṡ·v + v̇); o = O/Z, ȯ = N/Z − (U/Z)(O/Z). All four are rescaled when m grows.
//! O and N accumulate in the output rows themselves. What the adjoint needs of it is lse = m + ln Z.

mod adjoint;
mod cached;
mod seen;

pub use adjoint::{Attended, attend_adjoint};
pub use cached::{Cached, attend_cache};

use super::batch::{Batch, MAX_TANGENTS};
use super::parallel::{for_each, piece_len};
use super::rows::{DualRows, DualRowsMut};
use crate::kernels::elementwise::{axpy, axpy4, dot, dot4, exp, scale};
use crate::kernels::{Arch, Ctx, Kernel, dispatch};
use seen::Seen;

/// Keys a tile: the scores of a tile live on the stack.
const TILE: usize = 64;
/// Largest head dimension of the cached path (Llama family: 64, 80, 100, 128; Gemma 3: 256).
pub const MAX_HEAD: usize = 256;

/// Queries of one key-value head that are under way at a time.
const STATES: usize = 64;

/// Head geometry.
#[derive(Clone, Copy, Debug)]
pub struct Attention {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; each serves `heads / kv_heads` query heads.
    pub kv_heads: usize,
    /// Dimensions of a head.
    pub head_dim: usize,
    /// What products of queries and keys are multiplied by.
    pub score_scale: f32,
    /// Most positions that one sees, itself among them; [`Attention::ALL`] for all before it.
    pub window: usize,
}

impl Attention {
    /// The window of who sees everything before it.
    pub const ALL: usize = usize::MAX;

    /// Scores are divided by the root of a head's dimensions, and everything before a position is seen.
    pub fn new(heads: usize, kv_heads: usize, head_dim: usize) -> Self {
        Self { heads, kv_heads, head_dim, score_scale: 1.0 / (head_dim as f32).sqrt(), window: Self::ALL }
    }

    fn q_width(&self) -> usize {
        self.heads * self.head_dim
    }

    fn kv_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// Query heads that share a key-value head; at most [`STATES`].
    fn share(&self) -> usize {
        self.heads / self.kv_heads
    }
}

/// Keys and values of one head: key j's value row starts at `j·stride`, its tangent k at `j·stride + (k+1)·step`.
#[derive(Clone, Copy)]
struct KvTile<'a> {
    keys: &'a [f32],
    values: &'a [f32],
    count: usize,
    stride: usize,
    step: usize,
}

impl KvTile<'_> {
    /// e[j] = q·kⱼ, with the keys' row `at` elements after their value row. Four keys at a time read q once.
    #[inline(always)]
    fn scores<A: Arch>(&self, arch: A, q: &[f32], at: usize, e: &mut [f32; TILE]) {
        let dh = q.len();
        let key = |j: usize| &self.keys[j * self.stride + at..][..dh];
        let fours = self.count - self.count % 4;
        for j in (0..fours).step_by(4) {
            e[j..j + 4].copy_from_slice(&dot4(arch, q, [key(j), key(j + 1), key(j + 2), key(j + 3)]));
        }
        for j in fours..self.count {
            e[j] = dot(arch, q, key(j));
        }
    }

    /// out += Σ eⱼ·vⱼ in ascending j, with the values' row `at` elements after their value row.
    #[inline(always)]
    fn mix(&self, e: &[f32; TILE], at: usize, out: &mut [f32]) {
        let dh = out.len();
        let value = |j: usize| &self.values[j * self.stride + at..][..dh];
        let fours = self.count - self.count % 4;
        for j in (0..fours).step_by(4) {
            let four = [value(j), value(j + 1), value(j + 2), value(j + 3)];
            axpy4([e[j], e[j + 1], e[j + 2], e[j + 3]], four, out);
        }
        for j in fours..self.count {
            axpy(e[j], value(j), out);
        }
    }
}

/// Queries, keys and values of every position.
#[derive(Clone, Copy)]
pub struct Qkv<'a> {
    /// \[positions × (1+K)\] × heads·head_dim.
    pub q: DualRows<'a>,
    /// \[positions × (1+K)\] × kv_heads·head_dim.
    pub k: DualRows<'a>,
    /// As `k`.
    pub v: DualRows<'a>,
}

/// How the rows of one head lie in those of all: its value is `head_dim` elements, its tangent k is `(k+1)·width`
/// further on.
#[derive(Clone, Copy)]
struct Lanes {
    head_dim: usize,
    width: usize,
    tangents: usize,
    score_scale: f32,
}

/// Attention of every position of `batch` over its own sequence, and what that goes on from. out: as `qkv.q`; lse, where it is wanted: positions ×
/// heads, the log of the sum of exponentials of each row's scores.
pub fn attend_batch(
    ctx: &Ctx,
    shape: Attention,
    batch: &Batch<'_>,
    qkv: Qkv<'_>,
    mut out: DualRowsMut<'_>,
    lse: Option<&mut [f32]>,
) {
    let (stack, group) = (qkv.q.stack(), qkv.q.group());
    assert!(stack == out.stack() && stack == qkv.k.stack() && stack == qkv.v.stack(), "shapes of attention");
    // Late positions of a sequence see more keys than early ones: short pieces let the pool even that out.
    let piece = piece_len(&ctx.pool, stack.positions);
    let together = (STATES / shape.share()).max(1);
    let pieces = qkv.q.data().chunks(piece * group).zip(out.data().chunks_mut(piece * group));
    let mut rest = lse.unwrap_or_default();
    let pieces = pieces.map(|(q, out)| {
        let n = rest.len().min(q.len() / group * shape.heads);
        let (lse, tail) = std::mem::take(&mut rest).split_at_mut(n);
        rest = tail;
        (q, out, lse)
    });
    for_each(&ctx.pool, pieces.enumerate(), |(c, (q, out, lse))| {
        let (mut from, end) = (c * piece, c * piece + q.len() / group);
        while from < end {
            let sequence = batch.sequence_at(from);
            let to = end.min(sequence.end).min(from + together);
            let rows = (from - c * piece) * group..(to - c * piece) * group;
            let (q, out) = (&q[rows.clone()], &mut out[rows]);
            let lse = lse.get_mut((from - c * piece) * shape.heads..).unwrap_or_default();
            let (first, trunk) = (sequence.start, batch.trunk_at(from));
            let seen = Seen { trunk, first, from, window: shape.window };
            dispatch(ctx.isa, AttendRun { shape, qkv, seen, q, out, lse });
            from = to;
        }
    });
}

/// As many positions as `q`, a part of `qkv`'s, and `out` hold. A tile of keys and values is read once for all of them and
/// for the query heads it serves: for one query alone, reading would take longer than computing from some 100 positions on.
struct AttendRun<'a> {
    shape: Attention,
    qkv: Qkv<'a>,
    seen: Seen,
    q: &'a [f32],
    out: &'a mut [f32],
    /// Of its rows and more; empty where it is not wanted.
    lse: &'a mut [f32],
}

impl Kernel for AttendRun<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arch>(self, arch: A) {
        let Self { shape, qkv, seen, q, out, lse } = self;
        let (dh, kw, share) = (shape.head_dim, shape.kv_width(), shape.share());
        let (k, v) = (qkv.k.data(), qkv.v.data());
        let (stride, group, tangents) = (qkv.k.group(), qkv.q.group(), qkv.q.stack().tangents);
        let (width, score_scale) = (shape.q_width(), shape.score_scale);
        let lanes = Lanes { head_dim: dh, width, tangents, score_scale };
        let rows = q.len() / group;
        out.fill(0.0);
        for kv_head in 0..shape.kv_heads {
            let mut states = [const { Softmax::new() }; STATES];
            let place = |r: usize, h: usize| r * group + (kv_head * share + h) * dh;
            for key in seen.tiles(rows) {
                for r in 0..rows {
                    let keys = seen.keys(key, r);
                    if keys.is_empty() {
                        continue;
                    }
                    let (at, count) = (keys.start * stride + kv_head * dh, keys.len());
                    let tile = KvTile { keys: &k[at..], values: &v[at..], count, stride, step: kw };
                    for h in 0..share {
                        let (state, at) = (&mut states[r * share + h], place(r, h));
                        state.absorb(arch, tile, lanes, &q[at..], &mut out[at..]);
                    }
                }
            }
            for r in 0..rows {
                for h in 0..share {
                    let state = &states[r * share + h];
                    state.finish(lanes, &mut out[place(r, h)..]);
                    if let Some(lse) = lse.get_mut(r * shape.heads + kv_head * share + h) {
                        *lse = state.max + libm::logf(state.z);
                    }
                }
            }
        }
    }
}

/// Running state of one query.
struct Softmax {
    max: f32,
    z: f32,
    u: [f32; MAX_TANGENTS],
}

impl Softmax {
    const fn new() -> Self {
        Self { max: f32::NEG_INFINITY, z: 0.0, u: [0.0; MAX_TANGENTS] }
    }

    /// Takes in one tile. `q` and `out` start at the head's value.
    #[inline(always)]
    fn absorb<A: Arch>(&mut self, arch: A, tile: KvTile<'_>, lanes: Lanes, q: &[f32], out: &mut [f32]) {
        let Lanes { head_dim: dh, width, tangents, score_scale } = lanes;
        let mut e = [0.0f32; TILE];
        tile.scores(arch, &q[..dh], 0, &mut e);
        let mut top = self.max;
        for e in &mut e[..tile.count] {
            *e *= score_scale;
            top = top.max(*e);
        }
        if top > self.max {
            let shrink = exp(self.max - top);
            self.z *= shrink;
            scale(&mut out[..dh], shrink);
            for k in 0..tangents {
                self.u[k] *= shrink;
                scale(&mut out[(k + 1) * width..][..dh], shrink);
            }
            self.max = top;
        }
        for e in &mut e[..tile.count] {
            *e = exp(*e - top);
        }
        for e in &e[..tile.count] {
            self.z += e;
        }
        tile.mix(&e, 0, &mut out[..dh]);
        for k in 0..tangents {
            let (dq, at) = (&q[(k + 1) * width..][..dh], (k + 1) * tile.step);
            let (mut slope, mut moved) = ([0.0f32; TILE], [0.0f32; TILE]);
            tile.scores(arch, dq, 0, &mut slope);
            tile.scores(arch, &q[..dh], at, &mut moved);
            // From here on the pull e·ṡ of each key.
            for j in 0..tile.count {
                slope[j] = e[j] * ((slope[j] + moved[j]) * score_scale);
                self.u[k] += slope[j];
            }
            let n = &mut out[(k + 1) * width..][..dh];
            tile.mix(&slope, 0, n);
            tile.mix(&e, at, n);
        }
    }

    #[inline(always)]
    fn finish(&self, lanes: Lanes, out: &mut [f32]) {
        let Lanes { head_dim: dh, width, tangents, .. } = lanes;
        let inverse = 1.0 / self.z;
        scale(&mut out[..dh], inverse);
        let (o, rest) = out.split_at_mut(dh);
        for k in 0..tangents {
            let n = &mut rest[(k + 1) * width - dh..][..dh];
            let pull = self.u[k] * inverse;
            for i in 0..dh {
                n[i] = n[i] * inverse - pull * o[i];
            }
        }
    }
}
