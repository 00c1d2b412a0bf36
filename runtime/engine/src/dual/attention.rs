//! Causal attention with tangents, over tiles of keys: memory does not grow with the length of the text.
//!
//! Per query, with m the running maximum and eⱼ = exp(sⱼ − m):
//! Z = Σe, O = Σe·v, U = Σe·ṡ, N = Σe(ṡ·v + v̇); o = O/Z, ȯ = N/Z − (U/Z)(O/Z). All four are rescaled when m grows.
//! O and N accumulate in the output rows themselves.

use super::parallel::{for_each, piece_len};
use super::rows::{Batch, Stack};
use crate::kernels::Pool;
use crate::kernels::elementwise::inline::{axpy, dot, exp, scale};
use half::f16;
use multiversion::multiversion;

/// Keys a tile: the scores of a tile live on the stack.
pub const TILE: usize = 64;
/// Most tangents one pass may carry.
pub const MAX_TANGENTS: usize = 64;
/// Largest head dimension of the cached path (Llama family: 64, 80, 100, 128).
pub const MAX_HEAD: usize = 256;

/// Head geometry.
#[derive(Clone, Copy, Debug)]
pub struct Attention {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; each serves `heads / kv_heads` query heads.
    pub kv_heads: usize,
    /// Dimensions of a head.
    pub head_dim: usize,
}

impl Attention {
    fn q_width(&self) -> usize {
        self.heads * self.head_dim
    }

    fn kv_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    fn kv_head(&self, head: usize) -> usize {
        head * self.kv_heads / self.heads
    }

    fn score_scale(&self) -> f32 {
        1.0 / (self.head_dim as f32).sqrt()
    }
}

/// Keys and values of one head: key j's value row starts at `j·stride`, its tangent k at `j·stride + (k+1)·step`.
#[derive(Clone, Copy)]
pub struct KvTile<'a> {
    keys: &'a [f32],
    values: &'a [f32],
    count: usize,
    stride: usize,
    step: usize,
}

/// Attention of every position of `batch` over its own example. `q`, `out`: `stack.rows()` × heads·head_dim;
/// `k`, `v`: `stack.rows()` × kv_heads·head_dim.
pub fn attend_batch(
    pool: &Pool,
    shape: Attention,
    batch: &Batch<'_>,
    stack: Stack,
    q: &[f32],
    k: &[f32],
    v: &[f32],
    out: &mut [f32],
) {
    let (qw, group) = (shape.q_width(), stack.group());
    // Late positions of an example see more keys than early ones: short pieces let the pool even that out.
    let piece = piece_len(pool, stack.positions);
    let n = stack.rows() * qw;
    for_each(
        pool,
        q[..n].chunks(piece * group * qw).zip(out[..n].chunks_mut(piece * group * qw)).enumerate(),
        |(c, (q, out))| {
            for (i, (q, out)) in q.chunks_exact(group * qw).zip(out.chunks_exact_mut(group * qw)).enumerate()
            {
                let position = c * piece + i;
                let first = batch.span(batch.example_of(position)).start;
                attend_position(shape, stack.tangents, q, k, v, first, position, out);
            }
        },
    );
}

#[multiversion(targets("x86_64+avx2+fma+f16c"))]
fn attend_position(
    shape: Attention,
    tangents: usize,
    q: &[f32],
    k: &[f32],
    v: &[f32],
    first: usize,
    position: usize,
    out: &mut [f32],
) {
    let (dh, qw, kw) = (shape.head_dim, shape.q_width(), shape.kv_width());
    let stride = (1 + tangents) * kw;
    out.fill(0.0);
    for head in 0..shape.heads {
        let mut state = Softmax::new();
        let column = shape.kv_head(head) * dh;
        let mut from = first;
        while from <= position {
            let count = TILE.min(position + 1 - from);
            let at = from * stride + column;
            let tile = KvTile { keys: &k[at..], values: &v[at..], count, stride, step: kw };
            state.absorb(tile, &q[head * dh..], &mut out[head * dh..], qw, dh, tangents, shape.score_scale());
            from += count;
        }
        state.finish(&mut out[head * dh..], qw, dh, tangents);
    }
}

/// Attention without tangents over a cache of f16 keys and values (`past + rows` rows of kv_heads·head_dim each, the
/// newest `rows` being those of the queries). `q`, `out`: rows × heads·head_dim.
pub fn attend_cache(
    pool: &Pool,
    shape: Attention,
    past: usize,
    q: &[f32],
    keys: &[f16],
    values: &[f16],
    out: &mut [f32],
) {
    let (dh, qw) = (shape.head_dim, shape.q_width());
    let share = shape.heads / shape.kv_heads;
    for (r, (q, out)) in q.chunks_exact(qw).zip(out.chunks_exact_mut(qw)).enumerate() {
        let seen = past + r + 1;
        let pieces = q.chunks_exact(share * dh).zip(out.chunks_exact_mut(share * dh)).enumerate();
        for_each(pool, pieces, |(kv_head, (q, out))| {
            cached_group(shape, kv_head, seen, q, keys, values, out);
        });
    }
}

#[multiversion(targets("x86_64+avx2+fma+f16c"))]
fn cached_group(
    shape: Attention,
    kv_head: usize,
    seen: usize,
    q: &[f32],
    keys: &[f16],
    values: &[f16],
    out: &mut [f32],
) {
    // Half a tile, so that both copies stay within 2 × 32 × 256 × 4 = 64 KiB of stack for the largest head.
    const ROWS: usize = TILE / 2;
    let (dh, kw) = (shape.head_dim, shape.kv_width());
    let mut k = [0.0f32; ROWS * MAX_HEAD];
    let mut v = [0.0f32; ROWS * MAX_HEAD];
    let heads = q.len() / dh;
    let mut states = [const { Softmax::new() }; 64];
    out.fill(0.0);
    for from in (0..seen).step_by(ROWS) {
        let count = ROWS.min(seen - from);
        for j in 0..count {
            let at = (from + j) * kw + kv_head * dh;
            widen(&keys[at..at + dh], &mut k[j * dh..(j + 1) * dh]);
            widen(&values[at..at + dh], &mut v[j * dh..(j + 1) * dh]);
        }
        let tile = KvTile { keys: &k, values: &v, count, stride: dh, step: 0 };
        for h in 0..heads {
            states[h].absorb(tile, &q[h * dh..], &mut out[h * dh..], 0, dh, 0, shape.score_scale());
        }
    }
    for h in 0..heads {
        states[h].finish(&mut out[h * dh..], 0, dh, 0);
    }
}

#[inline(always)]
fn widen(from: &[f16], to: &mut [f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = from.to_f32();
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

    /// Takes in one tile. `q` and `out` start at the head's value; their tangent k is `(k+1)·width` further on.
    #[inline(always)]
    fn absorb(
        &mut self,
        tile: KvTile<'_>,
        q: &[f32],
        out: &mut [f32],
        width: usize,
        dh: usize,
        tangents: usize,
        score_scale: f32,
    ) {
        let mut e = [0.0f32; TILE];
        let mut top = self.max;
        for j in 0..tile.count {
            e[j] = dot(&q[..dh], &tile.keys[j * tile.stride..][..dh]) * score_scale;
            top = top.max(e[j]);
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
        for j in 0..tile.count {
            self.z += e[j];
            axpy(e[j], &tile.values[j * tile.stride..][..dh], &mut out[..dh]);
        }
        for k in 0..tangents {
            let dq = &q[(k + 1) * width..][..dh];
            let n = &mut out[(k + 1) * width..][..dh];
            for j in 0..tile.count {
                let (key, value) = (&tile.keys[j * tile.stride..], &tile.values[j * tile.stride..]);
                let at = (k + 1) * tile.step;
                let slope = (dot(dq, &key[..dh]) + dot(&q[..dh], &key[at..][..dh])) * score_scale;
                let pull = e[j] * slope;
                self.u[k] += pull;
                let (value, moved) = (&value[..dh], &value[at..][..dh]);
                for i in 0..dh {
                    n[i] += pull * value[i] + e[j] * moved[i];
                }
            }
        }
    }

    #[inline(always)]
    fn finish(&self, out: &mut [f32], width: usize, dh: usize, tangents: usize) {
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
