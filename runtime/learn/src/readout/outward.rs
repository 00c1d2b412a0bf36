//! Directions of the stream that move the logits of the labels, and those of all other words as little as can be.
//!
//! With eᵥ a row of the head times the gain of the final norm, a step x of the stream (before the norm divides by its
//! size) moves logit v by eᵥ·x. For label j the step dⱼ is wanted that moves its own logit by 1, those of the other
//! labels by 0, and Σᵥ (eᵥ·dⱼ)² + V·ε·|dⱼ|² least: with M = Σᵥ eᵥeᵥᵀ/V + εI, the columns of X = M⁻¹E_Lᵀ, recombined so that
//! E_L·D = I. M is never formed: a product with it is one walk through the head, and [`WALKS`] steps of conjugate
//! gradients invert it well enough, since ε is the mean of its own eigenvalues. On SmolLM2 a unit of a label then moves
//! the other 49,148 words by 0.05 (root mean square) where the bare rows of the labels move them by 0.17 to 0.30.

use super::symmetric::dot;
use crate::error::LearnError;
use sprig_budget::{Bytes, held_zeros};
use sprig_engine::dual::{HEAD_TILE, Keeper, unpack};
use sprig_engine::kernels::{Ctx, Rows, RowsMut, Write, dequantize, matmul, matmul_nn, matmul_scratch_len};
use sprig_engine::model::{Geometry, Transformer};

/// Steps of conjugate gradients; 12 and 40 give directions that differ by less than 1 %.
const WALKS: usize = 12;

/// The head of a model with room to walk through it.
pub(super) struct Walker<'a> {
    model: &'a Transformer<'a>,
    ctx: &'a Ctx,
    /// tile × width, a tile of the head.
    weights: Vec<f32>,
    /// labels × tile.
    logits: Vec<f32>,
    /// labels × width, twice.
    rows: Vec<f32>,
    panels: Vec<f32>,
}

/// Heap bytes of finding the directions of `labels` labels.
pub(super) fn bytes(g: &Geometry, labels: usize, threads: usize, panel_rows: usize) -> Bytes {
    let (d, tile) = (g.width, HEAD_TILE.min(g.vocabulary));
    let floats = tile * d + labels * tile + 2 * labels * d + matmul_scratch_len(threads, panel_rows, d);
    // Right side, solution, residual, search and its product; the small system.
    Bytes((4 * floats + 8 * (5 * labels * d + labels * labels)) as u64)
}

/// D, labels × width, for the tokens `labels`.
///
/// # Errors
/// [`LearnError::Settings`] for labels whose rows of the head are the same.
pub fn outward(model: &Transformer<'_>, ctx: &Ctx, labels: &[u32]) -> Result<Vec<f64>, LearnError> {
    let d = model.geometry().width;
    let own: Vec<f64> = labels.iter().flat_map(|&label| label_row(model, ctx, label)).collect();
    let mut walker = Walker::new(model, ctx, labels.len());
    let epsilon = walker.mean_square();
    let mut found = vec![0.0; own.len()];
    // One system a label, all of them in the same walks.
    let (mut residual, mut search, mut product) = (own.clone(), own.clone(), vec![0.0; own.len()]);
    let mut left: Vec<f64> = own.chunks_exact(d).map(|r| dot(r, r)).collect();
    let enough: Vec<f64> = left.iter().map(|l| 1e-12 * l).collect();
    for _ in 0..WALKS {
        walker.times(&search, &mut product);
        for j in 0..labels.len() {
            let at = j * d..(j + 1) * d;
            if left[j] <= enough[j] {
                continue;
            }
            let (r, s, p, x) = (
                &mut residual[at.clone()],
                &mut search[at.clone()],
                &mut product[at.clone()],
                &mut found[at],
            );
            (0..d).for_each(|i| p[i] += epsilon * s[i]);
            let step = left[j] / dot(s, p);
            (0..d).for_each(|i| x[i] += step * s[i]);
            (0..d).for_each(|i| r[i] -= step * p[i]);
            let now = dot(r, r);
            (0..d).for_each(|i| s[i] = r[i] + now / left[j] * s[i]);
            left[j] = now;
        }
    }
    recombine(&own, &mut found, d).ok_or_else(|| {
        let problem =
            "two of the label words are one to this model's head; choose other words with --label-tokens";
        LearnError::Settings(problem.to_owned())
    })?;
    Ok(found)
}

/// The row of the head for `label`, times the gain of the final norm.
pub(crate) fn label_row(model: &Transformer<'_>, ctx: &Ctx, label: u32) -> Vec<f64> {
    let mut row = vec![0.0f32; model.geometry().width];
    let at = label as usize..label as usize + 1;
    dequantize(ctx.isa, model.head(), at.clone(), &mut row);
    model.done_with(&model.head().row_slice(at));
    row.iter().zip(model.final_norm()).map(|(w, gain)| f64::from(*w) * f64::from(*gain)).collect()
}

impl<'a> Walker<'a> {
    fn new(model: &'a Transformer<'a>, ctx: &'a Ctx, labels: usize) -> Self {
        let g = model.geometry();
        let (d, tile) = (g.width, HEAD_TILE.min(g.vocabulary));
        let panels = matmul_scratch_len(ctx.pool.threads(), ctx.panel_rows(), d);
        let [weights, logits] = [tile * d, labels * tile].map(held_zeros);
        let [rows, panels] = [2 * labels * d, panels].map(held_zeros);
        Self { model, ctx, weights, logits, rows, panels }
    }

    /// Mean eigenvalue of Σᵥ eᵥeᵥᵀ/V.
    fn mean_square(&mut self) -> f64 {
        let (d, gain) = (self.model.geometry().width, self.model.final_norm());
        let mut sum = 0.0;
        self.walk(|walker, tile| {
            let squares = walker.weights[..tile * d].chunks_exact(d).map(|row| {
                row.iter().zip(gain).map(|(w, g)| f64::from(w * g) * f64::from(w * g)).sum::<f64>()
            });
            sum += squares.sum::<f64>();
        });
        sum / (self.model.head().rows() * d) as f64
    }

    /// out = x·Σᵥ eᵥeᵥᵀ/V, for each row of `x`, labels × width.
    fn times(&mut self, x: &[f64], out: &mut [f64]) {
        let (d, gain) = (self.model.geometry().width, self.model.final_norm());
        let n = x.len() / d;
        let gained = |i: usize| f64::from(gain[i % d]);
        let (rows, sums) = self.rows.split_at_mut(x.len());
        rows.iter_mut().zip(x).enumerate().for_each(|(i, (row, x))| *row = (x * gained(i)) as f32);
        sums.fill(0.0);
        let vocabulary = self.model.head().rows() as f64;
        self.walk(|walker, tile| {
            let (x, sums) = walker.rows.split_at_mut(n * d);
            let weights = Rows::new(&walker.weights[..tile * d], tile, d);
            let logits = &mut walker.logits[..n * tile];
            logits.fill(0.0);
            let packed = sprig_engine::kernels::Matrix::from_f32(tile, d, &walker.weights[..tile * d]);
            let Ok(packed) = packed else { return };
            let y = RowsMut::new(logits, n, tile);
            matmul(walker.ctx, Rows::new(x, n, d), &packed, y, Write::Set, &mut walker.panels);
            let (logits, sums) = (Rows::new(logits, n, tile), RowsMut::new(sums, n, d));
            matmul_nn(walker.ctx, logits, weights, sums, Write::Add { scale: 1.0 });
        });
        let sums = &self.rows[x.len()..];
        out.iter_mut().zip(sums).enumerate().for_each(|(i, (o, s))| {
            *o = f64::from(*s) * gained(i) / vocabulary;
        });
    }

    /// Goes through the head, a tile of so many rows at a time.
    fn walk(&mut self, mut each: impl FnMut(&mut Self, usize)) {
        let (head, d) = (self.model.head(), self.model.geometry().width);
        let tile_at = |from: usize| head.row_slice(from..head.rows().min(from + HEAD_TILE));
        for from in (0..head.rows()).step_by(HEAD_TILE) {
            let next = (from + HEAD_TILE < head.rows()).then(|| tile_at(from + HEAD_TILE));
            let tile = tile_at(from);
            self.model.about_to_use(&tile, next.as_ref());
            unpack(self.ctx, &tile, &mut self.weights[..tile.rows() * d]);
            self.model.done_with(&tile);
            each(self, tile.rows());
        }
    }
}

/// Rows of `found` ← (E·Fᵀ)⁻ᵀ·F: each moves its own row of `own` by 1 and the others by 0. `None` if that cannot be.
fn recombine(own: &[f64], found: &mut [f64], d: usize) -> Option<()> {
    let n = found.len() / d;
    // Gauss and Jordan on (F·Eᵀ | F), whose left side becomes I.
    let mut system: Vec<f64> =
        (0..n * n).map(|at| dot(&found[at / n * d..][..d], &own[at % n * d..][..d])).collect();
    for pivot in 0..n {
        let best = (pivot..n)
            .max_by(|&a, &b| system[a * n + pivot].abs().total_cmp(&system[b * n + pivot].abs()))?;
        let size = (0..n).map(|j| system[best * n + j].abs()).fold(0.0, f64::max);
        if system[best * n + pivot].abs() <= 1e-9 * size || size == 0.0 {
            return None;
        }
        (0..n).for_each(|j| system.swap(pivot * n + j, best * n + j));
        (0..d).for_each(|j| found.swap(pivot * d + j, best * d + j));
        let by = 1.0 / system[pivot * n + pivot];
        system[pivot * n..][..n].iter_mut().for_each(|v| *v *= by);
        found[pivot * d..][..d].iter_mut().for_each(|v| *v *= by);
        for row in (0..n).filter(|&row| row != pivot) {
            let pull = system[row * n + pivot];
            (0..n).for_each(|j| system[row * n + j] -= pull * system[pivot * n + j]);
            (0..d).for_each(|j| found[row * d + j] -= pull * found[pivot * d + j]);
        }
    }
    Some(())
}
