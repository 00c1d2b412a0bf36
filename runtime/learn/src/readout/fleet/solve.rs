//! From a fleet's total to an adapter, in closed form.
//!
//! As [`fit`](super::super::fit()), but with nothing to choose by except the sums. λ has the least generalised
//! cross-validation (Golub, Heath, Wahba 1979): (RSS/n)/(1 − tr H/n)², where H = Φ(ΦᵀΦ + λI)⁻¹Φᵀ, so that
//! tr H = m − λ·tr (ΦᵀΦ + λI)⁻¹, and the residual of a class of nⱼ examples is nⱼ − wⱼ·rⱼ − λ|wⱼ|², rⱼ = Σ φyⱼ. The labels
//! are lifted by [`LIFT`]. How far they are told apart is Bayes' rule for scores that spread alike around their means: by
//! (mean score of an example's own label − that of another)/(variance of a score) nats a unit of score.

use super::super::fit::{REGULARISATIONS, Through, balance, standardise, upward};
use super::super::outward;
use super::super::symmetric::{Tridiagonal, add, dot, packed_len};
use super::sums::{FleetSums, RATIO_STEPS, Shape, unfold};
use crate::error::LearnError;
use sprig_budget::Bytes;
use sprig_engine::adapter::Adapter;
use sprig_engine::kernels::Ctx;
use sprig_engine::model::{Geometry, Transformer};

/// κ, as the size of the step of all labels over the size of the stream: the largest that one device tries, where a thirtieth
/// of the model's own opinion is left. A total has no sample to choose a smaller one by.
const LIFT: f64 = 32.0;
/// Bounds of the nats that a unit of score counts: few examples say little of their own spread.
const SHARPEST: f64 = 64.0;
const BLUNTEST: f64 = 1.0;

/// An update of the last block's down projection, and how it was chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Solved {
    /// Labels × inputs of the projection: A of a LoRA pair.
    pub down: Vec<f32>,
    /// Width × labels: B.
    pub up: Vec<f32>,
    /// λ over the mean of the diagonal.
    pub regularisation: f64,
    /// Squared error of an example that was not learnt from, as cross-validation has it; 1 of scores that are all 0.
    pub error: f64,
    /// Nats that a unit of score counts.
    pub sharpness: f64,
}

/// What solving takes beside the passes of a session, for a model of shape `g`.
pub fn solving_needs(g: &Geometry, shape: Shape, threads: usize) -> Vec<(&'static str, Bytes)> {
    let Shape { inputs, kept, classes } = shape;
    let numbers = 2 * kept * (2 * classes + 4) + 2 * inputs + 8 * classes * g.width;
    let fit = Bytes((Tridiagonal::bytes(kept) + 8 * numbers + 8 * classes * (inputs + g.width)) as u64);
    vec![
        ("the fleet's sums", shape.bytes() + Bytes(3 * 4 * shape.values() as u64)),
        ("read-out's fit", fit + outward::bytes(g, classes, threads, Ctx::PANEL_ROWS)),
    ]
}

/// Makes `adapter` the read-out of a fleet's total, given as [`FleetSums::values`] of `shape` for the tokens `labels`. The
/// same model, instruction set and total give the same bits.
///
/// # Errors
/// [`LearnError::Settings`] for values that are no such total, or one from which nothing can be learnt yet.
pub fn adapt(
    adapter: &mut Adapter,
    (values, shape): (&[f32], Shape),
    labels: &[u32],
    model: &Transformer<'_>,
    ctx: &Ctx,
) -> Result<(), LearnError> {
    let wrong = |flaw| LearnError::Settings(format!("the fleet's sums: {flaw}; use the settings of the run"));
    let sums = FleetSums::from_values(shape, values).map_err(wrong)?;
    let outward = outward::outward(model, ctx, labels)?;
    let Solved { down, up, .. } = solve(sums, Through { model, ctx, labels, outward: &outward })?;
    let (a, b) = adapter.values_mut().split_at_mut(down.len());
    a.copy_from_slice(&down);
    b.copy_from_slice(&up);
    Ok(())
}

/// Fits an update to `sums`, of which nothing is left.
///
/// # Errors
/// [`LearnError::Settings`] where fewer than two classes have examples: nothing can be told apart.
pub fn solve(sums: FleetSums, through: Through<'_>) -> Result<Solved, LearnError> {
    if sums.counts().iter().filter(|&&n| n > 0).count() < 2 {
        let problem = "the sums so far are of one answer or none; a read-out needs examples of two or more (noise for \
                       privacy hides few: use more examples or a larger dp)";
        return Err(LearnError::Settings(problem.to_owned()));
    }
    let (counts, n) = (sums.counts().to_vec(), sums.examples() as f64);
    let ratio = sums.ratio as f64 / RATIO_STEPS / n;
    let mut sums = sums.sums;
    let scales = standardise(&mut sums);
    let (m, directions) = (sums.directions.kept, sums.directions);
    let products: &mut [f64] = bytemuck::cast_slice_mut(&mut sums.products);
    let diagonal: f64 = (0..m).map(|i| products[packed_len(i + 1) - 1]).sum();
    let mean = (diagonal / m as f64).max(f64::MIN_POSITIVE);
    let reduced = Tridiagonal::reduce(products, m, |_| {});
    let mut right: Vec<f64> =
        sums.classes.iter().enumerate().map(|(at, &sum)| sum as f64 / scales[at % m]).collect();
    right.chunks_exact_mut(m).for_each(|r| reduced.to_basis(r));
    let judged = REGULARISATIONS.map(|quarter| {
        let regularisation = libm::pow(10.0, f64::from(quarter) / 4.0);
        (judge(&reduced, &right, &counts, mean * regularisation), regularisation)
    });
    let best = judged.reduce(|best, next| if next.0.error < best.0.error { next } else { best });
    let (verdict, regularisation) = best.unwrap_or_default();
    let shifted = reduced.shifted(mean * regularisation);
    let mut down = vec![0.0f32; counts.len() * directions.inputs];
    for (weights, row) in right.chunks_exact_mut(m).zip(down.chunks_exact_mut(directions.inputs)) {
        shifted.solve(weights);
        reduced.out_of_basis(weights);
        weights.iter_mut().zip(&scales).for_each(|(w, scale)| *w /= scale);
        unfold(directions, weights, row);
    }
    let d = through.model.geometry().width;
    let mut all = vec![0.0; d];
    through.outward.chunks_exact(d).for_each(|row| add(&mut all, 1.0, row));
    // A step of the stream of this size, all of it along `all`, has the logit 1/unit for every label.
    let unit = (dot(&all, &all) / d as f64).sqrt();
    let sharpness = verdict.sharpness(counts.len());
    let mut up = upward(through.outward, &all, ratio * LIFT / unit, sharpness * unit);
    balance(&mut down, &mut up);
    Ok(Solved { down, up, regularisation, error: verdict.error, sharpness })
}

/// What the sums say of examples as if they had not been learnt from.
#[derive(Clone, Copy, Debug, Default)]
struct Verdict {
    /// Mean squared error of the scores, over all classes.
    error: f64,
    /// Mean score of an example's own class.
    own: f64,
}

impl Verdict {
    fn sharpness(&self, classes: usize) -> f64 {
        // Scores add up to about 1.
        let others = (classes - 1) as f64;
        let other = (1.0 - self.own) / others;
        let bias = (1.0 - self.own) * (1.0 - self.own) + others * other * other;
        let variance = (self.error - bias) / classes as f64;
        let nats = (self.own - other) / variance.max(1e-6);
        nats.clamp(BLUNTEST, SHARPEST)
    }
}

/// How a fit of λ would do; `counts` are the examples of each class.
fn judge(reduced: &Tridiagonal<'_>, right: &[f64], counts: &[u64], lambda: f64) -> Verdict {
    let (m, n) = (reduced.order(), counts.iter().sum::<u64>() as f64);
    let shifted = reduced.shifted(lambda);
    let (mut residual, mut own) = (0.0, 0.0);
    let mut solved = vec![0.0; m];
    for (right, &count) in right.chunks_exact(m).zip(counts) {
        solved.copy_from_slice(right);
        shifted.solve(&mut solved);
        let told = dot(right, &solved);
        residual += count as f64 - told - lambda * dot(&solved, &solved);
        own += told / n;
    }
    // The mean leverage of an example.
    let lever = ((m as f64 - lambda * reduced.trace_of_inverse(lambda)) / n).min(1.0 - 1e-9);
    let left = 1.0 - lever;
    Verdict { error: residual.max(0.0) / n / (left * left), own: (own - lever) / left }
}
