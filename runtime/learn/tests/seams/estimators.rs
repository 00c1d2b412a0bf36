//! Zeroth order: s = (f(w + h·v) − f(w − h·v)) / 2h, along the forward estimator's directions, an example at a time.

use sprig_engine::adapter::{Adapter, Tensor};
use sprig_engine::dual::Directions as _;
use sprig_learn::LearnError;
use sprig_learn::directions::{Directions, Sharing};
use sprig_learn::estimator::{
    Estimator, Forward, Iteration, Needs, ScalarEstimator, Scalars, StepInput, gradient_of,
};
use sprig_learn::minibatch::Minibatch;
use sprig_learn::outcome::Outcome;
use sprig_learn::session::Session;

pub struct CentralDifferences {
    /// Whose directions.
    pub along: Forward,
    pub h: f32,
}

impl Estimator for CentralDifferences {
    fn needs(&self) -> Needs {
        // A copy of the weights, to put back.
        Needs { scalars: self.along.tangents, vectors: 1, ..Needs::NOTHING }
    }

    fn gradient(
        &self,
        session: &mut Session<'_>,
        adapter: &mut Adapter,
        step: StepInput<'_>,
        scalars: &mut Scalars,
        gradient: &mut [f32],
    ) -> Result<(), LearnError> {
        gradient_of(self, session, adapter, step, scalars, gradient)
    }
}

impl ScalarEstimator for CentralDifferences {
    fn directions<'a>(&self, tensors: &'a [Tensor], at: Iteration) -> Directions<'a> {
        self.along.directions(tensors, at)
    }

    fn measure(
        &self,
        session: &mut Session<'_>,
        adapter: &mut Adapter,
        step: StepInput<'_>,
        scalars: &mut Scalars,
    ) -> Result<(), LearnError> {
        let StepInput { batch, cut, tensors, at, guard } = step;
        let (k, directions) = (self.along.tangents, self.directions(tensors, at));
        scalars.outcomes.resize(batch.len(), Outcome::default());
        scalars.coefficients.clear();
        scalars.coefficients.resize(batch.len() * k, 0.0);
        for (first, part) in batch.passes(cut.examples) {
            let outcomes = &mut scalars.outcomes[first..first + part.len()];
            session.run(Some(adapter), None, part, outcomes, &mut [])?;
        }
        scalars.vectors.copy_from_slice(adapter.values());
        let rows: f32 = scalars.outcomes.iter().map(|o| o.rows as f32).sum();
        for (e, id) in batch.ids.iter().enumerate() {
            for t in 0..k {
                let mut at = |step: f32| {
                    for tensor in tensors {
                        let values = &mut adapter.values_mut()[tensor.range.clone()];
                        let mut v = vec![0.0; values.len()];
                        directions.fill(t, e, tensor.id, &mut v);
                        values.iter_mut().zip(v).for_each(|(w, v)| *w += step * v);
                    }
                    let mut outcome = [Outcome::default()];
                    let one = Minibatch::new(batch.data, std::slice::from_ref(id));
                    session.run(Some(adapter), None, one, &mut outcome, &mut [])?;
                    adapter.values_mut().copy_from_slice(&scalars.vectors);
                    Ok::<f64, LearnError>(outcome[0].loss)
                };
                let slope = (at(self.h)? - at(-self.h)?) / (2.0 * f64::from(self.h));
                let weight = scalars.outcomes[e].rows as f32 / rows;
                scalars.coefficients[e * k + t] = guard.admit(slope as f32) * weight / k as f32;
            }
        }
        if self.along.sharing == Sharing::Shared {
            for t in 0..k {
                scalars.coefficients[t] = (0..batch.len()).map(|e| scalars.coefficients[e * k + t]).sum();
            }
            scalars.coefficients.truncate(k);
        }
        Ok(())
    }
}
