//! The output head, streamed over tiles of the vocabulary: V logits are never held for all rows.
//!
//! Per wanted row the head keeps row statistics: log-sum-exp, target logit, best rival of the target. Their tangents
//! need no logits at all: with p the softmax of the row, d lse = Σ p_v (W_v·ḣ) = (Σ p_v W_v)·ḣ, so the tiled walk also
//! accumulates O = Σ e_v W_v online (attention with keys = values = W), and every tangent then costs one dot product of
//! length d: two head products in all, whatever K is. The adjoint of the row follows from the same sum, with āₗ, āₜ and āᵣ the
//! adjoints of the three statistics: h̄ = āₗ·O/Z + āₜ·W_target + āᵣ·W_rival; of candidates h̄ = Σ l̄_c·W_c.

use super::keeper::Keeper;
use super::parallel::{for_each, piece_len};
use super::rows::DualRows;
use crate::kernels::elementwise::{axpy, dot, exp, max, scale, sum};
use crate::kernels::{
    Arch, Ctx, Kernel, Matrix, Rows, RowsMut, Write, dequantize, dispatch, matmul, matmul_nn,
};
use std::ops::Range;

/// Vocabulary rows of a tile. One number, by which arenas are cut and streamed weights planned: the running sums are
/// rescaled tile by tile, so another width would round differently, and a run's result must not depend on its budget. A
/// tile of 256 rows of 576 is 576 KiB.
pub const HEAD_TILE: usize = 256;

/// The output head: logits are W·h.
#[derive(Clone, Copy)]
pub struct Head<'a> {
    /// Pool and instruction set.
    pub ctx: &'a Ctx,
    /// W, vocabulary × d.
    pub weight: &'a Matrix<'a>,
    /// Keeps it.
    pub keeper: &'a dyn Keeper,
}

/// Statistics of each wanted row, \[n\], and their tangents, \[n × K\].
pub struct RowStats<'a> {
    /// Log of the sum of exponentials of all logits.
    pub lse: &'a mut [f32],
    /// Logit of the target.
    pub target: &'a mut [f32],
    /// Best logit among all others; the smaller id wins a tie.
    pub rival: &'a mut [f32],
    /// Its token id (an exact integer below 2²⁴).
    pub rival_id: &'a mut [f32],
    /// Tangents of `lse`.
    pub d_lse: &'a mut [f32],
    /// Tangents of `target`.
    pub d_target: &'a mut [f32],
    /// Tangents of `rival`.
    pub d_rival: &'a mut [f32],
}

/// Working memory for `n` wanted rows; lengths in f32 elements.
pub struct HeadScratch<'a> {
    /// n × tile logits; the tile's width is this length over n.
    pub logits: &'a mut [f32],
    /// tile × d dequantised head rows; empty when K = 0 and no adjoint is wanted.
    pub weights: &'a mut [f32],
    /// n × d sums O; empty when K = 0 and no adjoint is wanted. Without tangents O/Z remains in them.
    pub pull: &'a mut [f32],
    /// n running sums Z.
    pub z: &'a mut [f32],
    /// At least 4·threads × d, head rows looked up one by one.
    pub rows: &'a mut [f32],
    /// Weight panels of the large product.
    pub panels: &'a mut [f32],
}

impl Head<'_> {
    /// Fills `stats` for rows `hidden`, \[n × (1+K)\] × d, and their `targets`, \[n\], none beyond the vocabulary.
    pub fn statistics(
        &self,
        hidden: DualRows<'_>,
        targets: &[u32],
        stats: &mut RowStats<'_>,
        scratch: &mut HeadScratch<'_>,
    ) {
        let Self { ctx, weight: head, keeper } = *self;
        let (n, d, trains) = (targets.len(), head.cols(), !scratch.pull.is_empty());
        let tile = scratch.logits.len() / n;
        stats.lse[..n].fill(f32::NEG_INFINITY);
        stats.rival[..n].fill(f32::NEG_INFINITY);
        // Rows that are not numbers have no rival: theirs is the first token.
        stats.rival_id[..n].fill(0.0);
        scratch.z[..n].fill(0.0);
        scratch.pull.fill(0.0);
        for from in (0..head.rows()).step_by(tile) {
            let tile_at = |from: usize| head.row_slice(from..head.rows().min(from + tile));
            let (weights, next) = (tile_at(from), (from + tile < head.rows()).then(|| tile_at(from + tile)));
            keeper.about_to_use(&weights, next.as_ref());
            let width = weights.rows();
            let logits = RowsMut::new(&mut scratch.logits[..n * width], n, width);
            matmul(ctx, hidden.values(n), &weights, logits, Write::Set, scratch.panels);
            self.absorb_tile(from..from + width, targets, stats, scratch);
            if trains {
                let w = &mut scratch.weights[..width * d];
                unpack(ctx, &weights, w);
                let pull = RowsMut::new(&mut scratch.pull[..n * d], n, d);
                let e = Rows::new(&scratch.logits[..n * width], n, width);
                matmul_nn(ctx, e, Rows::new(w, width, d), pull, Write::Add { scale: 1.0 });
            }
            keeper.done_with(&weights);
        }
        for i in 0..n {
            stats.lse[i] += libm::logf(scratch.z[i]);
        }
        if hidden.stack().tangents > 0 {
            self.row_tangents(hidden, targets, stats, scratch);
        } else if trains {
            for (pull, z) in scratch.pull.chunks_exact_mut(d).zip(&scratch.z[..n]) {
                scale(pull, 1.0 / z);
            }
        }
    }

    /// Makes of `pull`, \[n\] × d, the rows O/Z that [`statistics`](Self::statistics) left, the adjoints of the hidden rows.
    /// slopes: adjoints of each row's log-sum-exp, target and rival, \[n × 3\]. rows: at least 4·threads × d of scratch.
    pub fn statistics_adjoint(
        &self,
        targets: &[u32],
        rival_ids: &[f32],
        slopes: &[f32],
        pull: &mut [f32],
        rows: &mut [f32],
    ) {
        let d = self.weight.cols();
        let piece = piece_len(&self.ctx.pool, targets.len());
        let ids = targets.chunks(piece).zip(rival_ids.chunks(piece));
        let pieces =
            ids.zip(slopes.chunks(3 * piece).zip(pull.chunks_mut(piece * d))).zip(rows.chunks_mut(d));
        for_each(&self.ctx.pool, pieces, |(((targets, rivals), (slopes, pull)), row)| {
            let each = targets.iter().zip(rivals).zip(slopes.chunks_exact(3).zip(pull.chunks_exact_mut(d)));
            for ((&target, &rival), (slopes, pull)) in each {
                scale(pull, slopes[0]);
                for (id, slope) in [(target, slopes[1]), (rival as u32, slopes[2])] {
                    self.add_row(id, slope, row, pull);
                }
            }
        });
    }

    /// Adds to `hidden`, d long, the adjoint of one position of whose logits `candidates` have the adjoints `slopes`. `row`: d
    /// of scratch.
    pub fn candidates_adjoint(
        &self,
        candidates: &[u32],
        slopes: &[f32],
        hidden: &mut [f32],
        row: &mut [f32],
    ) {
        for (&candidate, &slope) in candidates.iter().zip(slopes) {
            self.add_row(candidate, slope, row, hidden);
        }
    }

    /// to += slope · W_id.
    fn add_row(&self, id: u32, slope: f32, row: &mut [f32], to: &mut [f32]) {
        if slope != 0.0 {
            self.row(id, row);
            axpy(slope, row, to);
        }
    }

    /// Takes the tile of the logits of tokens `tile` into the running maximum (kept in `lse`), sum, target and rival;
    /// leaves e = exp(l − max) in place of the logits.
    fn absorb_tile(
        &self,
        tile: Range<usize>,
        targets: &[u32],
        stats: &mut RowStats<'_>,
        scratch: &mut HeadScratch<'_>,
    ) {
        let (ctx, n, from, width) = (self.ctx, targets.len(), tile.start, tile.len());
        // O has no columns where there are no tangents.
        let d = scratch.pull.len() / n;
        let piece = piece_len(&ctx.pool, n);
        let mut pull_rest = &mut scratch.pull[..n * d];
        let pieces = scratch.logits[..n * width]
            .chunks_mut(piece * width)
            .zip(targets.chunks(piece))
            .zip(stats.lse[..n].chunks_mut(piece).zip(stats.target[..n].chunks_mut(piece)))
            .zip(stats.rival[..n].chunks_mut(piece).zip(stats.rival_id[..n].chunks_mut(piece)))
            .zip(scratch.z[..n].chunks_mut(piece))
            .map(|piece| {
                let take = piece.0.0.0.1.len() * d;
                let (mine, rest) = std::mem::take(&mut pull_rest).split_at_mut(take);
                pull_rest = rest;
                (piece, mine)
            });
        for_each(
            &ctx.pool,
            pieces,
            |(((((logits, targets), (max, target)), (rival, rival_id)), z), pull)| {
                for i in 0..targets.len() {
                    let row = &mut logits[i * width..(i + 1) * width];
                    let own = (targets[i] as usize).wrapping_sub(from);
                    if own < width {
                        target[i] = row[own];
                        row[own] = f32::NEG_INFINITY;
                    }
                    let best = dispatch(ctx.isa, Maximum(row));
                    if best > rival[i] {
                        rival[i] = best;
                        rival_id[i] = (from + row.iter().position(|&l| l == best).unwrap_or(0)) as f32;
                    }
                    let mut top = best;
                    if own < width {
                        row[own] = target[i];
                        top = top.max(target[i]);
                    }
                    if top > max[i] {
                        let shrink = exp(max[i] - top);
                        z[i] *= shrink;
                        scale(&mut pull[i * d..(i + 1) * d], shrink);
                        max[i] = top;
                    }
                    z[i] += dispatch(ctx.isa, Exponentiate { row, max: max[i] });
                }
            },
        );
    }

    fn row_tangents(
        &self,
        hidden: DualRows<'_>,
        targets: &[u32],
        stats: &mut RowStats<'_>,
        scratch: &mut HeadScratch<'_>,
    ) {
        let (isa, tangents, group) = (self.ctx.isa, hidden.stack().tangents, hidden.group());
        let (n, d) = (targets.len(), self.weight.cols());
        let piece = piece_len(&self.ctx.pool, n);
        let (k, nk) = (piece * tangents, n * tangents);
        let pieces = hidden
            .data()
            .chunks(piece * group)
            .zip(targets.chunks(piece).zip(stats.rival_id[..n].chunks(piece)))
            .zip(scratch.pull[..n * d].chunks(piece * d).zip(scratch.z[..n].chunks(piece)))
            .zip(
                stats.d_lse[..nk]
                    .chunks_mut(k)
                    .zip(stats.d_target[..nk].chunks_mut(k))
                    .zip(stats.d_rival[..nk].chunks_mut(k)),
            )
            .zip(scratch.rows.chunks_mut(d));
        for_each(
            &self.ctx.pool,
            pieces,
            |((((hidden, (targets, rivals)), (pull, z)), ((d_lse, d_target), d_rival)), row)| {
                for i in 0..targets.len() {
                    let moved = &hidden[i * group + d..(i + 1) * group];
                    let at = i * tangents..(i + 1) * tangents;
                    let weight = &pull[i * d..(i + 1) * d];
                    let out = &mut d_lse[at.clone()];
                    dispatch(isa, Dots { weight, rows: moved, scale: 1.0 / z[i], out });
                    self.row(targets[i], row);
                    let out = &mut d_target[at.clone()];
                    dispatch(isa, Dots { weight: row, rows: moved, scale: 1.0, out });
                    self.row(rivals[i] as u32, row);
                    dispatch(isa, Dots { weight: row, rows: moved, scale: 1.0, out: &mut d_rival[at] });
                }
            },
        );
    }

    /// Logits of a few named candidates of one position, none beyond the vocabulary, with tangents: out: \[candidates ×
    /// (1+K)\], each value before its tangents. Only the candidates' rows of the head are read. hidden: (1+K) × d; `row`:
    /// d of scratch.
    pub fn candidates(&self, hidden: &[f32], candidates: &[u32], out: &mut [f32], row: &mut [f32]) {
        let row = &mut row[..self.weight.cols()];
        let group = hidden.len() / row.len();
        for (&candidate, out) in candidates.iter().zip(out.chunks_exact_mut(group)) {
            self.row(candidate, row);
            dispatch(self.ctx.isa, Dots { weight: row, rows: hidden, scale: 1.0, out });
        }
    }

    fn row(&self, id: u32, row: &mut [f32]) {
        let at = id as usize..id as usize + 1;
        dequantize(self.ctx.isa, self.weight, at.clone(), row);
        self.keeper.done_with(&self.weight.row_slice(at));
    }
}

/// Dequantises all of `weights` into `out`, over the pool.
pub fn unpack(ctx: &Ctx, weights: &Matrix<'_>, out: &mut [f32]) {
    let piece = piece_len(&ctx.pool, weights.rows());
    for_each(&ctx.pool, out.chunks_mut(piece * weights.cols()).enumerate(), |(i, out)| {
        let from = i * piece;
        dequantize(ctx.isa, weights, from..weights.rows().min(from + piece), out);
    });
}

struct Maximum<'a>(&'a [f32]);

impl Kernel for Maximum<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<A: Arch>(self, _: A) -> f32 {
        max(self.0)
    }
}

/// row ← exp(row − max); returns the sum, in a fixed order.
struct Exponentiate<'a> {
    row: &'a mut [f32],
    max: f32,
}

impl Kernel for Exponentiate<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<A: Arch>(self, _: A) -> f32 {
        for l in &mut *self.row {
            *l = exp(*l - self.max);
        }
        sum(self.row)
    }
}

/// out_k = scale · weight·rows_k.
struct Dots<'a> {
    weight: &'a [f32],
    rows: &'a [f32],
    scale: f32,
    out: &'a mut [f32],
}

impl Kernel for Dots<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arch>(self, arch: A) {
        for (row, out) in self.rows.chunks_exact(self.weight.len()).zip(self.out) {
            *out = self.scale * dot(arch, self.weight, row);
        }
    }
}
