//! From sums to an adapter, in closed form.
//!
//! With φ the whole numbers of an example, each divided by its standard deviation s over all examples, and y = 1 for its
//! class and 0 for the others, the scores wⱼ·φ of the labels are the ridge regression (Σ φφᵀ + λI)·wⱼ = Σ φyⱼ. There is no
//! intercept, for an adapter has none. λ is the one whose scores of the sample, each example left out in its turn, are
//! nearest to y: with hᵢ = φᵢᵀ(Σ φφᵀ + λI)⁻¹φᵢ that score is (w·φᵢ − hᵢyᵢ)/(1 − hᵢ).
//!
//! The adapter adds to the stream, before the final norm, D·(κ·Σⱼ scoreⱼ + τ·scoreⱼ), D the labels' directions
//! ([`outward`](super::outward)): κ lifts all labels above the other words (scores add up to about 1), τ tells them apart.
//! Since the norm divides by the size of all, κ also says how much of the model's own opinion is left. Both are those of
//! the least loss of the sample, over the whole vocabulary, each example left out in its turn.

use super::features::Directions;
use super::judge::Judge;
use super::sample::Sample;
use super::sums::Sums;
use super::symmetric::{Shifted, Tridiagonal, add, dot};
use sprig_budget::Bytes;
use sprig_engine::kernels::Ctx;
use sprig_engine::model::Transformer;

/// λ, as multiples of the mean of the diagonal of Σ φφᵀ: quarters of a decade.
pub(super) const REGULARISATIONS: std::ops::RangeInclusive<i32> = -16..=12;
/// κ, as the size of the step of all labels over the size of the stream. At 32 a thirtieth of the model's own opinion is
/// left, and the stream of SmolLM2's answers, 44 in size, stays 45 times below what f16 holds.
const LIFTS: [f64; 3] = [2.0, 8.0, 32.0];
/// τ/κ.
const CONTRASTS: [f64; 7] = [0.03125, 0.0625, 0.125, 0.25, 0.5, 1.0, 2.0];

/// An update of the last block's down projection, and how it was chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// Labels × inputs of the projection: A of a LoRA pair.
    pub down: Vec<f32>,
    /// Width × labels: B.
    pub up: Vec<f32>,
    /// What was chosen, and how the sample is answered by it.
    pub chosen: Chosen,
}

/// What a fit chose by its sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Chosen {
    /// λ over the mean of the diagonal.
    pub regularisation: f64,
    /// κ, as multiples of the stream's size.
    pub lift: f64,
    /// τ/κ.
    pub contrast: f64,
    /// Mean loss of the sample, each example left out in its turn, over the whole vocabulary.
    pub loss: f64,
    /// Share of the sample answered with a label, likewise.
    pub labelled: f64,
}

/// What is fitted through: the model, its labels' tokens, and their directions in the stream.
#[derive(Clone, Copy)]
pub struct Through<'a> {
    /// The model.
    pub model: &'a Transformer<'a>,
    /// Threads.
    pub ctx: &'a Ctx,
    /// The token of each class.
    pub labels: &'a [u32],
    /// D, labels × width.
    pub outward: &'a [f64],
}

/// Heap bytes of a fit beside the sums, `classes` labels over `kept` directions and a sample of `sample`.
pub(super) fn bytes(kept: usize, classes: usize, sample: usize) -> Bytes {
    let numbers = kept * (2 * classes + sample + 4) + 2 * sample * classes;
    // Two more factorisations at a time: pivots and steps.
    Bytes((Tridiagonal::bytes(kept) + 8 * numbers + 4 * kept) as u64)
}

/// Fits an update to `sums`, of which nothing is left, through `through`; `tick` gets the rows of them that are still to be
/// reduced.
pub fn fit(mut sums: Sums, sample: &Sample, through: Through<'_>, tick: impl FnMut(usize)) -> Fit {
    let scales = standardise(&mut sums);
    let (m, directions, classes) = (sums.directions.kept, sums.directions, sums.counts.len());
    let products: &mut [f64] = bytemuck::cast_slice_mut(&mut sums.products);
    let diagonal: f64 = (0..m).map(|i| products[super::symmetric::packed_len(i + 1) - 1]).sum();
    let mean = (diagonal / m as f64).max(f64::MIN_POSITIVE);
    let reduced = Tridiagonal::reduce(products, m, tick);
    let mut right: Vec<f64> =
        sums.classes.iter().enumerate().map(|(at, &sum)| sum as f64 / scales[at % m]).collect();
    right.chunks_exact_mut(m).for_each(|r| reduced.to_basis(r));
    let rotated = rotated(sample, directions, &scales, &reduced);
    let (_, regularisation, scores) = REGULARISATIONS
        .map(|quarter| {
            let regularisation = libm::pow(10.0, f64::from(quarter) / 4.0);
            let shifted = reduced.shifted(mean * regularisation);
            let scores = left_out(&shifted, &right, &rotated, sample.answers());
            let error = scores.iter().enumerate().map(|(at, score)| {
                let hit = f64::from(u8::from(sample.answers()[at / classes] == at % classes));
                (score - hit) * (score - hit)
            });
            (error.sum::<f64>(), regularisation, scores)
        })
        .reduce(|best, next| if next.0 < best.0 { next } else { best })
        .unwrap_or_default();
    drop(rotated);
    let (chosen, mut up) = aim(sample, &through, &scores);
    let shifted = reduced.shifted(mean * regularisation);
    let mut down = vec![0.0f32; classes * directions.inputs];
    for (weights, row) in right.chunks_exact_mut(m).zip(down.chunks_exact_mut(directions.inputs)) {
        shifted.solve(weights);
        reduced.out_of_basis(weights);
        weights.iter_mut().zip(&scales).for_each(|(w, scale)| *w /= scale);
        directions.unfold(weights, row);
    }
    balance(&mut down, &mut up);
    Fit { down, up, chosen: Chosen { regularisation, ..chosen } }
}

/// Makes both factors of one size, as those that train on are used to.
pub(super) fn balance(down: &mut [f32], up: &mut [f32]) {
    let size =
        |v: &[f32]| (v.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>() / v.len() as f64).sqrt();
    let by = (size(up) / size(down)).sqrt();
    if by.is_finite() && by > 0.0 {
        down.iter_mut().for_each(|v| *v = (f64::from(*v) * by) as f32);
        up.iter_mut().for_each(|v| *v = (f64::from(*v) / by) as f32);
    }
}

/// B of an update of κ and τ/κ; `all` is the sum of the labels' directions.
pub(super) fn upward(outward: &[f64], all: &[f64], kappa: f64, contrast: f64) -> Vec<f32> {
    let (d, classes) = (all.len(), outward.len() / all.len());
    let mut up = vec![0.0f32; d * classes];
    for (i, row) in up.chunks_exact_mut(classes).enumerate() {
        for (class, up) in row.iter_mut().enumerate() {
            *up = (kappa * (all[i] + contrast * outward[class * d + i])) as f32;
        }
    }
    up
}

/// Turns whole numbers into Σ φφᵀ of standardised ones, in place, as bits of f64; returns the deviations.
pub(super) fn standardise(sums: &mut Sums) -> Vec<f64> {
    let (m, n) = (sums.directions.kept, sums.examples().max(1) as f64);
    let mut scales = vec![0.0; m];
    for (i, scale) in scales.iter_mut().enumerate() {
        let sum: i64 = sums.classes.iter().skip(i).step_by(m).sum();
        let (mean, square) =
            (sum as f64 / n, sums.products[super::symmetric::packed_len(i + 1) - 1] as f64 / n);
        *scale = (square - mean * mean).max(0.0).sqrt();
    }
    // A direction that hardly moves says nothing; it is not to be blown up to the size of the others.
    let floor = 1e-3 * (dot(&scales, &scales) / m as f64).sqrt();
    scales.iter_mut().for_each(|scale| *scale = scale.max(floor).max(1.0));
    let mut at = sums.products.iter_mut();
    for i in 0..m {
        for (product, scale) in at.by_ref().take(i + 1).zip(&scales) {
            *product = (*product as f64 / (scale * scales[i])).to_bits() as i64;
        }
    }
    scales
}

/// The sample's φ in the basis of the reduction, sample × directions.
fn rotated(sample: &Sample, directions: Directions, scales: &[f64], reduced: &Tridiagonal<'_>) -> Vec<f64> {
    let m = directions.kept;
    let (mut whole, mut rotated) = (vec![0i32; m], vec![0.0f64; sample.len() * m]);
    for (i, row) in rotated.chunks_exact_mut(m).enumerate() {
        directions.quantise(sample.gated(i), &mut whole);
        row.iter_mut().zip(&whole).zip(scales).for_each(|((r, &w), scale)| *r = f64::from(w) / scale);
        reduced.to_basis(row);
    }
    rotated
}

/// Scores of the sample, examples × classes, by fits of all examples but the one that is scored.
fn left_out(shifted: &Shifted, right: &[f64], rotated: &[f64], answers: &[usize]) -> Vec<f64> {
    let m = rotated.len() / answers.len();
    let classes = right.len() / m;
    let mut scores = Vec::with_capacity(answers.len() * classes);
    let mut solved = vec![0.0; m];
    for (row, &answer) in rotated.chunks_exact(m).zip(answers) {
        solved.copy_from_slice(row);
        shifted.solve(&mut solved);
        let lever = dot(row, &solved).min(1.0 - 1e-9);
        scores.extend(right.chunks_exact(m).enumerate().map(|(class, right)| {
            let hit = f64::from(u8::from(class == answer));
            (dot(right, &solved) - lever * hit) / (1.0 - lever)
        }));
    }
    scores
}

/// κ and τ by the sample's loss, and the B that they make of the directions.
fn aim(sample: &Sample, through: &Through<'_>, scores: &[f64]) -> (Chosen, Vec<f32>) {
    let Through { model, ctx, labels, outward } = *through;
    let (classes, d) = (labels.len(), model.geometry().width);
    let rms = |row: &[f32]| {
        (row.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>() / row.len() as f64).sqrt()
    };
    let sizes: Vec<f64> = (0..sample.len()).map(|i| rms(sample.gated(i))).collect();
    // How large the stream is for a row of size 1.
    let ratio = (0..sample.len()).map(|i| rms(sample.stream(i)) / sizes[i].max(f64::MIN_POSITIVE));
    let ratio = ratio.sum::<f64>() / sample.len() as f64;
    let mut all = vec![0.0; d];
    outward.chunks_exact(d).for_each(|row| add(&mut all, 1.0, row));
    let unit = (dot(&all, &all) / d as f64).sqrt();
    let mut judge = Judge::new(model, ctx, sample, labels);
    let mut best: Option<Chosen> = None;
    for lift in LIFTS {
        for contrast in CONTRASTS {
            let kappa = lift / unit;
            let verdict = judge.verdict(sample, labels, |i, stream| {
                let own = &scores[i * classes..][..classes];
                let sum: f64 = own.iter().sum();
                for (score, row) in own.iter().zip(outward.chunks_exact(d)) {
                    add(stream, ratio * sizes[i] * kappa * (sum + contrast * score), row);
                }
            });
            let now = Chosen {
                regularisation: 0.0,
                lift,
                contrast,
                loss: verdict.loss,
                labelled: verdict.labelled,
            };
            if best.is_none_or(|best| now.loss < best.loss) {
                best = Some(now);
            }
        }
    }
    let nothing = Chosen { regularisation: 0.0, lift: 0.0, contrast: 0.0, loss: f64::NAN, labelled: 0.0 };
    let chosen = best.unwrap_or(nothing);
    (chosen, upward(outward, &all, ratio * chosen.lift / unit, chosen.contrast))
}

#[cfg(test)]
mod tests {
    use super::super::symmetric::packed_len;
    use super::*;
    use sprig_ground::random::SplitMix64;

    /// Scores of every example, by fits to all others that never saw it, are those of the formula.
    #[test]
    fn left_out_scores_are_those_of_fits_without_the_example() {
        let (n, m, classes, lambda) = (9, 5, 3, 0.7);
        let mut random = SplitMix64::new(3);
        let rows: Vec<f64> = (0..n * m).map(|_| random.below(201) as f64 / 100.0 - 1.0).collect();
        let answers: Vec<usize> = (0..n).map(|i| i % classes).collect();
        let row = |i: usize| &rows[i * m..][..m];
        // (Σ φφᵀ, Σ φ of each class), of all examples but `without`.
        let sums = |without: Option<usize>| {
            let (mut packed, mut right) = (vec![0.0; packed_len(m)], vec![0.0; classes * m]);
            for i in (0..n).filter(|&i| Some(i) != without) {
                for a in 0..m {
                    add(&mut packed[packed_len(a)..packed_len(a + 1)], row(i)[a], &row(i)[..=a]);
                }
                add(&mut right[answers[i] * m..][..m], 1.0, row(i));
            }
            (packed, right)
        };
        let (mut packed, mut right) = sums(None);
        let reduced = Tridiagonal::reduce(&mut packed, m, |_| {});
        right.chunks_exact_mut(m).for_each(|r| reduced.to_basis(r));
        let mut rotated = rows.clone();
        rotated.chunks_exact_mut(m).for_each(|r| reduced.to_basis(r));
        let found = left_out(&reduced.shifted(lambda), &right, &rotated, &answers);
        for i in 0..n {
            let (mut packed, mut right) = sums(Some(i));
            let reduced = Tridiagonal::reduce(&mut packed, m, |_| {});
            let shifted = reduced.shifted(lambda);
            for (class, weights) in right.chunks_exact_mut(m).enumerate() {
                reduced.to_basis(weights);
                shifted.solve(weights);
                reduced.out_of_basis(weights);
                let (got, want) = (found[i * classes + class], dot(weights, row(i)));
                assert!((got - want).abs() < 1e-10, "example {i}, class {class}: {got} for {want}");
            }
        }
    }
}
