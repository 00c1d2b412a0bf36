//! Causal attention over a cache of keys and values, without tangents: for decoding.

use super::{Attention, KvTile, Lanes, MAX_HEAD, STATES, Softmax, TILE};
use crate::dual::parallel::{for_each, piece_len};
use crate::kernels::half_floats::Widen;
use crate::kernels::{Arch, Ctx, Kernel, dispatch};
use half::f16;

/// Keys and values in f16 of a text under way, the newest rows being those of the queries.
#[derive(Clone, Copy)]
pub struct Cached<'a> {
    /// Positions before the queries'.
    pub past: usize,
    /// \[past + positions\] × kv_heads·head_dim.
    pub keys: &'a [f16],
    /// As `keys`.
    pub values: &'a [f16],
}

/// Attention without tangents over a cache. q, out: positions × heads·head_dim.
pub fn attend_cache(ctx: &Ctx, shape: Attention, cached: Cached<'_>, q: &[f32], out: &mut [f32]) {
    let (dh, qw) = (shape.head_dim, shape.q_width());
    let share = shape.share();
    if q.len() == qw {
        let pieces = q.chunks_exact(share * dh).zip(out.chunks_exact_mut(share * dh)).enumerate();
        for_each(&ctx.pool, pieces, |(kv_head, (q, out))| {
            let seen = cached.past + 1;
            dispatch(ctx.isa, CachedRows { shape, kv_head, q, width: 0, seen, cached, out });
        });
        return;
    }
    // Rows that share a head's keys and values widen them once.
    let together = (STATES / share).max(1);
    let piece = piece_len(&ctx.pool, q.len() / qw);
    let pieces = q.chunks(piece * qw).zip(out.chunks_mut(piece * qw)).enumerate();
    for_each(&ctx.pool, pieces, |(p, (q, out))| {
        let rows = q.chunks(together * qw).zip(out.chunks_mut(together * qw)).enumerate();
        for (r, (q, out)) in rows {
            let seen = cached.past + p * piece + r * together + 1;
            for kv_head in 0..shape.kv_heads {
                let at = kv_head * share * dh;
                let (q, out) = (&q[at..], &mut out[at..]);
                dispatch(ctx.isa, CachedRows { shape, kv_head, q, width: qw, seen, cached, out });
            }
        }
    });
}

/// Queries of one key-value head in rows `width` apart (0: a single row); the first row sees `seen` positions, each
/// further row one more; of these the last ones of a window.
struct CachedRows<'a> {
    shape: Attention,
    kv_head: usize,
    q: &'a [f32],
    width: usize,
    seen: usize,
    cached: Cached<'a>,
    out: &'a mut [f32],
}

impl Kernel for CachedRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arch>(self, arch: A) {
        let Self { shape, kv_head, q, width, seen, cached: Cached { keys, values, .. }, out } = self;
        // Half a tile, so that both copies stay within 2 × 32 × 256 × 4 = 64 KiB of stack for the largest head.
        const ROWS: usize = TILE / 2;
        let (dh, kw, share) = (shape.head_dim, shape.kv_width(), shape.share());
        let rows = q.len().div_ceil(width.max(share * dh));
        let lanes = Lanes { head_dim: dh, width: 0, tangents: 0, score_scale: shape.score_scale };
        let mut k = [0.0f32; ROWS * MAX_HEAD];
        let mut v = [0.0f32; ROWS * MAX_HEAD];
        let mut states = [const { Softmax::new() }; STATES];
        let place = |r: usize, h: usize| r * width + h * dh;
        for (r, h) in (0..rows).flat_map(|r| (0..share).map(move |h| (r, h))) {
            out[place(r, h)..][..dh].fill(0.0);
        }
        let (last, hidden) = (seen + rows - 1, seen.saturating_sub(shape.window));
        for from in (hidden / ROWS * ROWS..last).step_by(ROWS) {
            let count = ROWS.min(last - from);
            for j in 0..count {
                let at = (from + j) * kw + kv_head * dh;
                Widen { from: &keys[at..at + dh], to: &mut k[j * dh..(j + 1) * dh] }.run(arch);
                Widen { from: &values[at..at + dh], to: &mut v[j * dh..(j + 1) * dh] }.run(arch);
            }
            for r in 0..rows {
                let visible = (seen + r).saturating_sub(shape.window).max(from)..(from + count).min(seen + r);
                if visible.is_empty() {
                    continue;
                }
                let (at, count) = ((visible.start - from) * dh, visible.len());
                let tile = KvTile { keys: &k[at..], values: &v[at..], count, stride: dh, step: 0 };
                for h in 0..share {
                    let at = place(r, h);
                    let state = &mut states[r * share + h];
                    state.absorb(arch, tile, lanes, &q[at..], &mut out[at..]);
                }
            }
        }
        for (r, h) in (0..rows).flat_map(|r| (0..share).map(move |h| (r, h))) {
            states[r * share + h].finish(lanes, &mut out[place(r, h)..]);
        }
    }
}
