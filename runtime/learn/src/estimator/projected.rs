//! Exact derivatives along directions, without a tangent: the gradient by one pass backwards, and then its inner products
//! sᵢ = ⟨∇f, vᵢ⟩ with as many directions as [`Forward`] would have measured. No direction costs a pass, and all of a batch
//! see the gradient of the whole batch: g = mean over them of sᵢ·vᵢ. algorithm.md 3.4 and 6.4; what a fleet sends and
//! replays is what it sends and replays of [`Forward`].

use super::reverse::exact;
use super::{Forward, Iteration, Needs, ScalarEstimator, Scalars, StepInput};
use crate::directions::Directions;
use crate::error::LearnError;
use crate::session::Session;
use sprig_engine::adapter::{Adapter, Tensor};

/// The estimator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Projected {
    /// The directions, and who shares them: with one an example they are only more.
    pub along: Forward,
}

impl ScalarEstimator for Projected {
    fn takes(&self) -> Needs {
        Needs { backward: true, scalars: self.along.tangents, vectors: 1, ..Needs::NOTHING }
    }

    fn directions<'a>(&self, tensors: &'a [Tensor], at: Iteration) -> Directions<'a> {
        self.along.directions(tensors, at)
    }

    fn scalars(&self, examples: usize) -> usize {
        self.along.scalars(examples)
    }

    fn measure(
        &self,
        session: &mut Session<'_>,
        adapter: &mut Adapter,
        step: StepInput<'_>,
        scalars: &mut Scalars,
    ) -> Result<(), LearnError> {
        let StepInput { batch, cut, tensors, at, guard, .. } = step;
        let mut gradient = std::mem::take(&mut scalars.vectors);
        let found = exact(session, adapter, (batch, cut), tensors, scalars, &mut gradient);
        let (directions, k) = (self.directions(tensors, at), self.along.tangents);
        let count = self.scalars(batch.len());
        scalars.coefficients.clear();
        for i in 0..count {
            let along = |t: &Tensor| directions.project(i % k, i / k, t.id, &mut gradient[t.range.clone()]);
            let slope: f64 = tensors.iter().map(along).sum();
            scalars.coefficients.push(guard.admit(slope as f32) / count as f32);
        }
        scalars.vectors = gradient;
        found
    }
}
