//! What passes over a batch gave, and how coefficients become a gradient.

use super::parted::mix;
use super::{Estimator, Needs, ScalarEstimator, Scalars, StepInput};
use crate::directions::Directions;
use crate::error::LearnError;
use crate::session::Session;
use sprig_engine::adapter::{Adapter, Tensor};
use sprig_engine::dual::for_each;

impl<E: ScalarEstimator + ?Sized> Estimator for E {
    fn needs(&self) -> Needs {
        self.takes()
    }

    /// Measures, and sums the directions up.
    fn gradient(
        &self,
        session: &mut Session<'_>,
        adapter: &mut Adapter,
        step: StepInput<'_>,
        scalars: &mut Scalars,
        gradient: &mut [f32],
    ) -> Result<(), LearnError> {
        let tensors = step.tensors;
        let directions = self.directions(tensors, step.at);
        self.measure(session, adapter, step, scalars)?;
        if self.parts() > 1 {
            scalars.coefficients = mix(&scalars.coefficients, session.objective().weights());
        }
        gradient.fill(0.0);
        let pool = &session.ctx().pool;
        let mut rest = gradient;
        let per_piece = tensors.len().div_ceil((4 * pool.threads()).min(64)).max(1);
        let pieces = tensors.chunks(per_piece).map(|tensors| {
            let len = tensors.iter().map(|t| t.range.len()).sum();
            let (mine, tail) = std::mem::take(&mut rest).split_at_mut(len);
            rest = tail;
            (tensors, mine)
        });
        for_each(pool, pieces, |(tensors, gradient)| {
            accumulate(&directions, &scalars.coefficients, tensors, gradient);
        });
        Ok(())
    }
}

/// Adds the `coefficients` of an iteration (K an example, or K in all) times their directions to `gradient`, the slice of
/// `tensors`, which follow one another. Ascending (example, k) for every element: the order of a replay (algorithm.md 6.9).
pub fn accumulate(
    directions: &Directions<'_>,
    coefficients: &[f32],
    tensors: &[Tensor],
    mut gradient: &mut [f32],
) {
    let k = directions.tangents;
    for tensor in tensors {
        let (mine, tail) = gradient.split_at_mut(tensor.range.len());
        gradient = tail;
        for (i, &c) in coefficients.iter().enumerate().filter(|(_, c)| **c != 0.0) {
            directions.accumulate(i % k, i / k, tensor, c, mine);
        }
    }
}
