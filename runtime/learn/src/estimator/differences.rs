//! Central differences along K directions of the batch: sₖ = (f(w + h·vₖ) − f(w − h·vₖ)) / 2h and g = (1/K) Σ sₖ·vₖ, two
//! plain passes a direction and no memory but a copy of what trains. MeZO (Malladi, Gao, Nichani, Damian, Lee, Chen,
//! Arora: Fine-Tuning Language Models with Just Forward Passes, NeurIPS 2023, arXiv 2305.17333) has K = 1 and h = 1e-3;
//! BAFFLE+ (Feng, Pang, Du, Lin: Does Federated Learning Really Need Backpropagation?, arXiv 2301.12195, with both sides
//! of the weights) K = 10 and h = 1e-4. Every k carries the same factor, 1/2hK.

use super::beside::Beside;
use super::{Forward, Iteration, Needs, ScalarEstimator, Scalars, StepInput};
use crate::directions::{Directions, Family, Sharing};
use crate::error::LearnError;
use crate::guard::Guard;
use crate::session::Session;
use sprig_engine::adapter::{Adapter, Tensor};

/// Settings of the estimator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Differences {
    /// Distribution of the directions.
    pub family: Family,
    /// K, pairs of passes a batch.
    pub pairs: usize,
    /// h.
    pub step: f32,
    /// Key of the run.
    pub run_key: [u32; 2],
}

impl Differences {
    /// What it takes with `pairs` directions.
    pub fn needs_for(pairs: usize) -> Needs {
        Needs { plain: 2 * pairs, scalars: pairs, vectors: 1, ..Needs::NOTHING }
    }

    /// The coefficients of the directions, whose derivatives `slope` measures.
    fn weigh(
        &self,
        guard: &mut Guard,
        coefficients: &mut Vec<f32>,
        mut slope: impl FnMut(usize, f32) -> Result<f64, LearnError>,
    ) -> Result<(), LearnError> {
        coefficients.clear();
        for k in 0..self.pairs {
            coefficients.push(guard.admit(slope(k, self.step)? as f32) / self.pairs as f32);
        }
        Ok(())
    }
}

impl ScalarEstimator for Differences {
    fn takes(&self) -> Needs {
        Self::needs_for(self.pairs)
    }

    fn directions<'a>(&self, tensors: &'a [Tensor], at: Iteration) -> Directions<'a> {
        let Self { family, pairs, run_key, .. } = *self;
        Forward { family, sharing: Sharing::Shared, tangents: pairs, run_key }.directions(tensors, at)
    }

    fn scalars(&self, _: usize) -> usize {
        self.pairs
    }

    fn measure(
        &self,
        session: &mut Session<'_>,
        adapter: &mut Adapter,
        step: StepInput<'_>,
        scalars: &mut Scalars,
    ) -> Result<(), LearnError> {
        let directions = self.directions(step.tensors, step.at);
        let mut coefficients = std::mem::take(&mut scalars.coefficients);
        let mut beside = Beside::new(session, adapter, &step, directions, scalars);
        let found = self.weigh(step.guard, &mut coefficients, |k, h| beside.slope(k, h));
        beside.finish();
        scalars.coefficients = coefficients;
        found
    }
}

#[cfg(test)]
mod tests {
    use super::super::accumulate;
    use super::super::beside::central;
    use super::*;
    use crate::directions::run_key;
    use sprig_engine::dual::{Directions as _, TensorId};

    const D: usize = 8;
    /// MeZO's and BAFFLE+'s.
    const PUBLISHED: [(usize, f32); 2] = [(1, 1e-3), (10, 1e-4)];

    /// ½ wᵀHw − bᵀw with a full H whose largest element is of the diagonal.
    fn quadratic(w: &[f32; D]) -> f64 {
        let each = |i: usize| {
            let row: f64 = (0..D).map(|j| f64::from(w[j]) / (1.0 + i.abs_diff(j) as f64)).sum();
            f64::from(w[i]) * (row / 2.0 - slope_of(i))
        };
        (0..D).map(each).sum()
    }

    fn gradient(w: &[f32; D]) -> [f64; D] {
        std::array::from_fn(|i| {
            (0..D).map(|j| f64::from(w[j]) / (1.0 + i.abs_diff(j) as f64)).sum::<f64>() - slope_of(i)
        })
    }

    fn slope_of(i: usize) -> f64 {
        (i as f64 * 0.7).sin()
    }

    /// What `estimator` makes of the quadratic at `w` in iteration `number`, and (1/K) Σ vₖ⟨vₖ, ∇f⟩ along the same
    /// directions.
    fn estimate(estimator: Differences, w: &[f32; D], number: u32) -> ([f32; D], [f64; D]) {
        let tensors = [Tensor { id: TensorId(3), range: 0..D }];
        let directions = estimator.directions(&tensors, Iteration { round: 0, number, device: 0 });
        let (mut coefficients, mut found) = (Vec::new(), [0.0; D]);
        // A new guard clips nothing.
        let slope = |k: usize, h: f32| {
            let (slope, _) = central(h, |by| {
                let mut moved = *w;
                directions.accumulate(k, 0, &tensors[0], by, &mut moved);
                Ok::<_, LearnError>(quadratic(&moved))
            })?;
            Ok(slope)
        };
        estimator.weigh(&mut Guard::default(), &mut coefficients, slope).unwrap();
        accumulate(&directions, &coefficients, &tensors, &mut found);
        let (exact, mut wanted) = (gradient(w), [0.0; D]);
        for k in 0..estimator.pairs {
            let mut v = [0.0; D];
            directions.fill(k, 0, tensors[0].id, &mut v);
            let along: f64 = v.iter().zip(&exact).map(|(v, g)| f64::from(*v) * g).sum();
            wanted.iter_mut().zip(v).for_each(|(w, v)| *w += along * f64::from(v) / estimator.pairs as f64);
        }
        (found, wanted)
    }

    fn error(found: &[f64; D], wanted: &[f64; D]) -> f64 {
        let square = |v: &mut dyn Iterator<Item = f64>| v.map(|v| v * v).sum::<f64>().sqrt();
        square(&mut found.iter().zip(wanted).map(|(a, b)| a - b)) / square(&mut wanted.iter().copied())
    }

    /// T12: on a quadratic, where a central difference is the derivative, estimates are those of the exact derivatives
    /// whatever h and K are, so their expectation is the gradient; along as many orthogonal directions as there are
    /// weights one estimate is the expectation.
    #[test]
    fn on_a_quadratic_the_expectation_is_the_gradient() {
        let w: [f32; D] = std::array::from_fn(|i| (i as f32 * 1.3).cos() / 4.0);
        for (pairs, step) in PUBLISHED {
            let of = Differences { family: Family::Gaussian, pairs, step, run_key: run_key(5) };
            const DRAWS: u32 = 20_000;
            let (mut mean, mut mean_exact) = ([0.0; D], [0.0; D]);
            for number in 0..DRAWS {
                let (found, wanted) = estimate(of, &w, number);
                mean.iter_mut().zip(found).for_each(|(m, v)| *m += f64::from(v) / f64::from(DRAWS));
                mean_exact.iter_mut().zip(wanted).for_each(|(m, v)| *m += v / f64::from(DRAWS));
            }
            let (same, drawn) = (error(&mean, &mean_exact), error(&mean, &gradient(&w)));
            // E|mean − g|² = |g|² (d + 1) / nK.
            let expected = ((D + 1) as f64 / (f64::from(DRAWS) * pairs as f64)).sqrt();
            println!(
                "K = {pairs}: {same:.1e} to the exact derivatives, {drawn:.4} of {expected:.4} to the gradient"
            );
            assert!(same < 1e-3 && drawn < 2.0 * expected, "K = {pairs}: {same}, {drawn}");
            let orthogonal = Differences { family: Family::Walsh, pairs: D, ..of };
            let whole = estimate(orthogonal, &w, 0).0.map(f64::from);
            assert!(error(&whole, &gradient(&w)) < 1e-3, "h = {step}: {whole:?}");
        }
    }

    /// Each of K directions has the same weight.
    #[test]
    fn every_direction_carries_the_same_factor() {
        let of = Differences { family: Family::Gaussian, pairs: 10, step: 1e-4, run_key: [1, 2] };
        let (mut coefficients, mut steps) = (Vec::new(), Vec::new());
        let slope = |k: usize, h: f32| {
            steps.push(h);
            Ok(2.0 + k as f64)
        };
        of.weigh(&mut Guard::default(), &mut coefficients, slope).unwrap();
        assert_eq!(coefficients, (0..10).map(|k| (2.0 + k as f32) / 10.0).collect::<Vec<_>>());
        assert_eq!(steps, [1e-4; 10]);
    }
}
