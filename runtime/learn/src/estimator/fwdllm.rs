//! FwdLLM+ (Xu, Cai, Wu, Li, Wang: FwdLLM: Efficient Federated Finetuning of Large Language Models with Perturbed
//! Inferences, USENIX ATC 2024, arXiv 2308.13894, with both sides of the weights): central differences along K directions,
//! each the one of ten candidates whose cosine with the last update is the largest. Before the first update there is
//! nothing to choose by, and the first candidate is taken.
//!
//! **It is biased.** E\[v vᵀ\] = I holds of a candidate and not of the chosen one, which leans towards the last update: the
//! mean of its estimates is the gradient stretched along that.
//!
//! A batch whose K estimates scatter too much can be dropped, by a limit to their sample variance
//! Σₖ |sₖvₖ − g|² / (K − 1). The authors choose it between 5 and 100, by data set, so there is none unless it is given.

use super::beside::Beside;
use super::{Forward, Iteration, Needs, ScalarEstimator, Scalars, StepInput, accumulate};
use crate::directions::{Directions, Family, Sharing};
use crate::error::LearnError;
use crate::session::Session;
use sprig_engine::adapter::{Adapter, Tensor};
use sprig_engine::dual::Directions as _;

/// Candidates for a direction.
const CANDIDATES: usize = 10;

/// Settings of the estimator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FwdLlm {
    /// Distribution of the candidates.
    pub family: Family,
    /// K, pairs of passes a batch.
    pub pairs: usize,
    /// h.
    pub step: f32,
    /// Most that the estimates of a batch may vary.
    pub variance_limit: Option<f32>,
    /// Key of the run.
    pub run_key: [u32; 2],
}

impl FwdLlm {
    /// What it takes with `pairs` directions. A scalar a candidate: those of candidates that were not chosen are 0.
    pub fn needs_for(pairs: usize) -> Needs {
        let scalars = pairs * CANDIDATES;
        Needs { plain: 2 * pairs, scalars, vectors: 1, last: true, ..Needs::NOTHING }
    }
}

impl ScalarEstimator for FwdLlm {
    fn takes(&self) -> Needs {
        Self::needs_for(self.pairs)
    }

    /// One a candidate.
    fn directions<'a>(&self, tensors: &'a [Tensor], at: Iteration) -> Directions<'a> {
        let Self { family, pairs, run_key, .. } = *self;
        let tangents = pairs * CANDIDATES;
        Forward { family, sharing: Sharing::Shared, tangents, run_key }.directions(tensors, at)
    }

    fn scalars(&self, _: usize) -> usize {
        self.pairs * CANDIDATES
    }

    fn measure(
        &self,
        session: &mut Session<'_>,
        adapter: &mut Adapter,
        step: StepInput<'_>,
        scalars: &mut Scalars,
    ) -> Result<(), LearnError> {
        let all = self.directions(step.tensors, step.at);
        let mut coefficients = std::mem::take(&mut scalars.coefficients);
        coefficients.clear();
        coefficients.resize(all.tangents, 0.0);
        for used in 0..self.pairs {
            coefficients[choose(&all, used, step.last, &mut scalars.vectors)] = 1.0;
        }
        let mut beside = Beside::new(session, adapter, &step, all, scalars);
        let mut chosen = coefficients.iter_mut().enumerate().filter(|(_, c)| **c != 0.0);
        let found = chosen.try_for_each(|(k, c)| {
            *c = step.guard.admit(beside.slope(k, self.step)? as f32) / self.pairs as f32;
            Ok(())
        });
        beside.finish();
        if self
            .variance_limit
            .is_some_and(|limit| variance(&all, &coefficients, &mut scalars.vectors) > f64::from(limit))
        {
            step.guard.skipped += self.pairs as u64;
            coefficients.fill(0.0);
        }
        scalars.coefficients = coefficients;
        found
    }
}

/// The candidate for direction `used` that is most alike `last`; `scratch` is as long as all that trains.
fn choose(all: &Directions<'_>, used: usize, last: &[f32], scratch: &mut [f32]) -> usize {
    let candidates = used * CANDIDATES..(used + 1) * CANDIDATES;
    let mut best = (candidates.start, f64::NEG_INFINITY);
    if last.iter().all(|v| *v == 0.0) {
        return best.0;
    }
    for k in candidates {
        draw(all, k, scratch);
        let cosine = dot(scratch, last) / dot(scratch, scratch).sqrt();
        if cosine > best.1 {
            best = (k, cosine);
        }
    }
    best.0
}

/// Sample variance of the estimates that the `coefficients` of a batch are the mean of, over all that trains.
fn variance(all: &Directions<'_>, coefficients: &[f32], scratch: &mut [f32]) -> f64 {
    let pairs = (coefficients.len() / CANDIDATES) as f64;
    let mut sum = 0.0;
    for (k, &c) in coefficients.iter().enumerate().filter(|(_, c)| **c != 0.0) {
        draw(all, k, scratch);
        sum += (pairs * f64::from(c)).powi(2) * dot(scratch, scratch);
    }
    scratch.fill(0.0);
    accumulate(all, coefficients, all.tensors, scratch);
    (sum - pairs * dot(scratch, scratch)) / (pairs - 1.0).max(1.0)
}

/// Direction `k` over all that trains.
fn draw(all: &Directions<'_>, k: usize, v: &mut [f32]) {
    all.tensors.iter().for_each(|tensor| all.fill(k, 0, tensor.id, &mut v[tensor.range.clone()]));
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directions::run_key;
    use sprig_engine::dual::TensorId;

    const D: usize = 40;

    fn estimator() -> FwdLlm {
        FwdLlm { family: Family::Gaussian, pairs: 3, step: 1e-2, variance_limit: None, run_key: run_key(8) }
    }

    /// Two tensors, so that a direction is put together of parts.
    fn tensors() -> [Tensor; 2] {
        [Tensor { id: TensorId(0), range: 0..24 }, Tensor { id: TensorId(5), range: 24..D }]
    }

    #[test]
    fn the_candidate_most_alike_the_last_update_is_chosen() {
        let (of, tensors, mut scratch) = (estimator(), tensors(), [0.0; D]);
        let all = of.directions(&tensors, Iteration::of_step(4));
        let last: [f32; D] = std::array::from_fn(|i| (i as f32 * 0.9).sin());
        let mut chosen = Vec::new();
        for used in 0..of.pairs {
            let best = choose(&all, used, &last, &mut scratch);
            let cosines = (used * CANDIDATES..(used + 1) * CANDIDATES).map(|k| {
                let mut v = [0.0f32; D];
                all.fill(k, 0, TensorId(0), &mut v[..24]);
                all.fill(k, 0, TensorId(5), &mut v[24..]);
                let size = v.iter().map(|v| v * v).sum::<f32>().sqrt();
                (v.iter().zip(&last).map(|(a, b)| a * b).sum::<f32>() / size, k)
            });
            assert_eq!(best, cosines.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap().1);
            chosen.push(best - used * CANDIDATES);
            for none in [&[][..], &[0.0; D]] {
                assert_eq!(choose(&all, used, none, &mut scratch), used * CANDIDATES, "nothing to choose by");
            }
        }
        assert!(chosen.iter().any(|place| *place > 0), "{chosen:?}");
    }

    /// Choosing stretches the expectation along the last update: it is no longer the gradient.
    #[test]
    fn choosing_by_the_last_update_biases() {
        let (of, tensors, mut scratch) = (estimator(), tensors(), [0.0; D]);
        let mut last = [0.0f32; D];
        last[7] = 1.0;
        // The gradient is that direction too, so that s = v[7] and the estimate's part along it v[7]².
        let mut along = 0.0;
        for step in 0..300 {
            let all = of.directions(&tensors, Iteration::of_step(step));
            for used in 0..of.pairs {
                let k = choose(&all, used, &last, &mut scratch);
                draw(&all, k, &mut scratch);
                along += f64::from(scratch[7]).powi(2) / (300.0 * of.pairs as f64);
            }
        }
        // 1 without a choice; the mean square of the largest of ten normal numbers is 2.71.
        assert!((2.2..3.2).contains(&along), "{along}");
    }

    #[test]
    fn the_variance_is_that_of_the_estimates() {
        let (of, tensors, mut scratch) = (estimator(), tensors(), [0.0; D]);
        let all = of.directions(&tensors, Iteration::of_step(1));
        let mut coefficients = [0.0f32; 3 * CANDIDATES];
        (coefficients[2], coefficients[11], coefficients[29]) = (0.5, -0.25, 1.0);
        let estimates: Vec<Vec<f64>> = [2, 11, 29]
            .iter()
            .map(|&k| {
                draw(&all, k, &mut scratch);
                scratch.iter().map(|v| 3.0 * f64::from(coefficients[k]) * f64::from(*v)).collect()
            })
            .collect();
        let mean = |i: usize| estimates.iter().map(|e| e[i]).sum::<f64>() / 3.0;
        let spread = |e: &Vec<f64>| (0..D).map(|i| (e[i] - mean(i)).powi(2)).sum::<f64>();
        let wanted = estimates.iter().map(spread).sum::<f64>() / 2.0;
        let found = variance(&all, &coefficients, &mut scratch);
        assert!((found / wanted - 1.0).abs() < 1e-5, "{found} and {wanted}");
    }
}
