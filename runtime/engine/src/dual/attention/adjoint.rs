//! The adjoint of causal attention. Probabilities are never held: they come back from the scores and the log-sum-exp that
//! was kept of each row and head. With s_rj = q_r·k_j/√d, and ō the adjoint of the output o,
//! p_rj = exp(s_rj − lse_r), D_r = ō_r·o_r, s̄_rj = p_rj·(ō_r·v_j − D_r)/√d;
//! q̄_r = Σ_j s̄_rj·k_j, k̄_j = Σ_r s̄_rj·q_r, v̄_j = Σ_r p_rj·ō_r.
//!
//! Two walks over runs of positions: one over queries for q̄, one over keys for k̄ and v̄. Scores and ō·v are computed in
//! both, which is two of seven products; for that each row belongs to one thread and is summed in one order.

use super::{Attention, KvTile, Qkv, STATES, Seen, TILE};
use crate::dual::batch::Batch;
use crate::dual::parallel::{for_each, piece_len};
use crate::dual::rows::{DualRows, DualRowsMut};
use crate::kernels::elementwise::{axpy, axpy4, dot, exp};
use crate::kernels::{Arch, Ctx, Kernel, dispatch};
use std::ops::Range;

/// What attention took and gave, without tangents, and the adjoint of what it gave.
#[derive(Clone, Copy)]
pub struct Attended<'a> {
    /// Queries, keys and values.
    pub qkv: Qkv<'a>,
    /// positions × heads·head_dim: the output o.
    pub out: DualRows<'a>,
    /// positions × heads: log of the sum of exponentials of the scores, as [`attend_batch`](super::attend_batch) leaves it.
    pub lse: &'a [f32],
    /// As `out`: ō.
    pub out_adjoint: DualRows<'a>,
}

/// Queries that share what is read of a tile of rows: as many as [`axpy4`] takes.
const TOGETHER: usize = 4;

/// The adjoints of queries, keys and values, of the shapes of `attended.qkv`.
pub fn attend_adjoint(
    ctx: &Ctx,
    shape: Attention,
    batch: &Batch<'_>,
    attended: Attended<'_>,
    [mut q, mut k, mut v]: [DualRowsMut<'_>; 3],
) {
    let stack = attended.qkv.q.stack();
    assert!(stack.tangents == 0 && stack == attended.out_adjoint.stack(), "adjoints go with values alone");
    let (piece, qw, kw) = (piece_len(&ctx.pool, stack.positions), shape.q_width(), shape.kv_width());
    let together = (STATES / shape.share()).max(1);
    for_each(&ctx.pool, q.data().chunks_mut(piece * qw).enumerate(), |(c, out)| {
        for_runs(
            c * piece,
            out.len() / qw,
            together,
            |at| batch.sequence_at(at).end,
            |from, n| {
                let out = &mut out[(from - c * piece) * qw..][..n * qw];
                let (first, window) = (batch.sequence_at(from).start, shape.window);
                let seen = Seen { trunk: batch.trunk_at(from), first, from, window };
                dispatch(ctx.isa, QueryRun { shape, attended, seen, out });
            },
        );
    });
    let pieces = k.data().chunks_mut(piece * kw).zip(v.data().chunks_mut(piece * kw));
    for_each(&ctx.pool, pieces.enumerate(), |(c, (k, v))| {
        for_runs(
            c * piece,
            k.len() / kw,
            TILE,
            |at| batch.alike_until(at),
            |from, n| {
                let at = (from - c * piece) * kw..(from + n - c * piece) * kw;
                let end = batch.sequence_at(from).end.min((from + n - 1).saturating_add(shape.window));
                let seen_by = [from..end, batch.branches_at(from)];
                let (k, v) = (&mut k[at.clone()], &mut v[at]);
                dispatch(ctx.isa, KeyRun { shape, attended, batch, from, seen_by, k, v });
            },
        );
    });
}

/// Calls `run(first position, positions)` for the positions `from..from + n`, at most `most` at a time, and none each time
/// beyond where those that are like the first end.
fn for_runs(
    mut from: usize,
    n: usize,
    most: usize,
    alike_until: impl Fn(usize) -> usize,
    mut run: impl FnMut(usize, usize),
) {
    let end = from + n;
    while from < end {
        let to = end.min(alike_until(from)).min(from + most);
        run(from, to - from);
        from = to;
    }
}

/// q̄ of the positions that see `seen`, as many as `out` holds.
struct QueryRun<'a> {
    shape: Attention,
    attended: Attended<'a>,
    seen: Seen,
    out: &'a mut [f32],
}

/// k̄ and v̄ of the positions from `from` on, at most [`TILE`], as many as `k` and `v` hold; each is seen by the positions
/// `seen_by` that are not before it.
struct KeyRun<'a> {
    shape: Attention,
    attended: Attended<'a>,
    batch: &'a Batch<'a>,
    from: usize,
    seen_by: [Range<usize>; 2],
    k: &'a mut [f32],
    v: &'a mut [f32],
}

impl<'a> Attended<'a> {
    /// Keys and values of `count` positions from `key` on, of the head at `at`; and the same two changed about.
    fn tiles(&self, key: usize, count: usize, at: usize) -> [KvTile<'a>; 2] {
        let stride = self.qkv.k.width();
        let [keys, values] = [self.qkv.k, self.qkv.v].map(|rows| &rows.data()[key * stride + at..]);
        [(keys, values), (values, keys)].map(|(keys, values)| KvTile { keys, values, count, stride, step: 0 })
    }

    /// Of position `row` and query head `head`: p and s̄ for each key of a tile, in the first `count` places.
    #[inline(always)]
    fn pull<A: Arch>(
        &self,
        arch: A,
        shape: Attention,
        (row, head): (usize, usize),
        [tile, turned]: [KvTile<'_>; 2],
    ) -> [[f32; TILE]; 2] {
        let (dh, score_scale) = (shape.head_dim, shape.score_scale);
        let at = row * shape.q_width() + head * dh;
        let [q, out, adjoint] = [self.qkv.q, self.out, self.out_adjoint].map(|rows| &rows.data()[at..][..dh]);
        let (lse, d) = (self.lse[row * shape.heads + head], dot(arch, adjoint, out));
        let (mut p, mut s) = ([0.0f32; TILE], [0.0f32; TILE]);
        tile.scores(arch, q, 0, &mut p);
        turned.scores(arch, adjoint, 0, &mut s);
        for j in 0..tile.count {
            p[j] = exp(p[j] * score_scale - lse);
            s[j] = p[j] * (s[j] - d) * score_scale;
        }
        [p, s]
    }
}

impl Kernel for QueryRun<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arch>(self, arch: A) {
        let Self { shape, attended, seen, out } = self;
        let (dh, qw, share) = (shape.head_dim, shape.q_width(), shape.share());
        let rows = out.len() / qw;
        out.fill(0.0);
        for kv_head in 0..shape.kv_heads {
            for key in seen.tiles(rows) {
                for r in 0..rows {
                    let keys = seen.keys(key, r);
                    if keys.is_empty() {
                        continue;
                    }
                    let tiles = attended.tiles(keys.start, keys.len(), kv_head * dh);
                    for head in kv_head * share..(kv_head + 1) * share {
                        let [_, s] = attended.pull(arch, shape, (seen.from + r, head), tiles);
                        tiles[1].mix(&s, 0, &mut out[r * qw + head * dh..][..dh]);
                    }
                }
            }
        }
    }
}

impl Kernel for KeyRun<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arch>(self, arch: A) {
        let Self { shape, attended, batch, from, seen_by, k, v } = self;
        let (dh, qw, kw, share) = (shape.head_dim, shape.q_width(), shape.kv_width(), shape.share());
        let keys = k.len() / kw;
        k.fill(0.0);
        v.fill(0.0);
        for head in 0..shape.heads {
            let at = head / share * dh;
            let runs = seen_by.iter().flat_map(|run| run.clone().step_by(TOGETHER).map(|row| (row, run.end)));
            for (row, end) in runs {
                let rows = TOGETHER.min(end - row);
                let mut p = [[0.0f32; TILE]; TOGETHER];
                let mut s = p;
                for r in 0..rows {
                    // A query sees no key behind it, nor before its window: those have a share of 0.
                    let hidden = hidden(batch, shape.window, (row + r, from));
                    let seen = hidden..keys.min(row + r + 1 - from);
                    if !seen.is_empty() {
                        let tiles = attended.tiles(from + hidden, seen.len(), at);
                        let found = attended.pull(arch, shape, (row + r, head), tiles);
                        for (to, from) in [&mut p[r], &mut s[r]].into_iter().zip(&found) {
                            to[seen.clone()].copy_from_slice(&from[..seen.len()]);
                        }
                    }
                }
                let (q, adjoint) = (attended.qkv.q.data(), attended.out_adjoint.data());
                let place = |r: usize| (row + r) * qw + head * dh;
                for j in 0..keys {
                    let (k, v) = (&mut k[j * kw + at..][..dh], &mut v[j * kw + at..][..dh]);
                    let column = |of: &[[f32; TILE]; TOGETHER]| [of[0][j], of[1][j], of[2][j], of[3][j]];
                    add_rows(column(&s), rows, |r| &q[place(r)..][..dh], k);
                    add_rows(column(&p), rows, |r| &adjoint[place(r)..][..dh], v);
                }
            }
        }
    }
}

/// How many keys from `from` on are too far before position `row` for it to see them, or more.
fn hidden(batch: &Batch<'_>, window: usize, (row, from): (usize, usize)) -> usize {
    match window {
        Attention::ALL => 0,
        _ => (batch.place(row) + 1).saturating_sub(window).saturating_sub(batch.place(from)),
    }
}

/// y += Σ aᵣ·xᵣ over the first `rows` of them, in their order.
#[inline(always)]
fn add_rows<'x>(a: [f32; TOGETHER], rows: usize, x: impl Fn(usize) -> &'x [f32], y: &mut [f32]) {
    if rows == TOGETHER {
        axpy4(a, [x(0), x(1), x(2), x(3)], y);
    } else {
        for r in 0..rows {
            axpy(a[r], x(r), y);
        }
    }
}
