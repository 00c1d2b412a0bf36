//! [`Forward`] over directions that a batch shares, of which no example moves more than any other, with noise: what leaves a
//! device that spends an ε of differential privacy. [`privacy`](crate::privacy) says what is claimed.
//!
//! Every example counts alike, whatever its weight and its rows: a weight would be told with it.

use super::{Forward, Iteration, Needs, ScalarEstimator, Scalars, StepInput};
use crate::directions::Directions;
use crate::error::LearnError;
use crate::privacy::{UNIT, bound};
use crate::session::Session;
use sprig_engine::adapter::{Adapter, Tensor};
use sprig_ground::PathError;
use std::path::Path;

/// The estimator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounded {
    /// The directions, which all examples of a batch share.
    pub along: Forward,
}

impl ScalarEstimator for Bounded {
    fn takes(&self) -> Needs {
        self.along.takes()
    }

    fn directions<'a>(&self, tensors: &'a [Tensor], at: Iteration) -> Directions<'a> {
        self.along.directions(tensors, at)
    }

    fn scalars(&self, _examples: usize) -> usize {
        self.along.tangents
    }

    /// Leaves K coefficients: the noisy sum of the batch's bounded derivatives, by its size and K.
    fn measure(
        &self,
        session: &mut Session<'_>,
        adapter: &mut Adapter,
        step: StepInput<'_>,
        scalars: &mut Scalars,
    ) -> Result<(), LearnError> {
        let (n, k) = (step.batch.len(), self.along.tangents);
        scalars.coefficients.resize(n * k, 0.0);
        self.along.passes(session, adapter, &step, scalars, |coefficients, at, found, _| {
            coefficients[at..at + found.len()].copy_from_slice(found);
        })?;
        let Some(noise) = step.noise else {
            return Err(LearnError::Settings(
                "derivatives that are to get noise, and nothing draws it".into(),
            ));
        };
        let sums = &mut scalars.sums;
        sums.clear();
        sums.resize(k, 0);
        scalars.coefficients.chunks_exact(k).for_each(|row| bound(row, sums));
        noise.add(sums).map_err(PathError::at("draw random numbers from", Path::new("the system")))?;
        let all = f64::from(UNIT) * n as f64 * k as f64;
        scalars.coefficients.clear();
        scalars.coefficients.extend(sums.iter().map(|&sum| (sum as f64 / all) as f32));
        Ok(())
    }
}
