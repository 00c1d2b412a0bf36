//! Steps of one group of an adapter's numbers, with an optimiser of its own: the others do not move, and their state is
//! nobody else's.

use super::rules::Descent;
use crate::error::LearnError;
use crate::estimator::{Cut, Estimator, Iteration, Scalars, StepInput};
use crate::guard::Guard;
use crate::minibatch::Minibatch;
use crate::session::Session;
use sprig_budget::held_zeros;
use sprig_engine::adapter::{Adapter, Group, Policy, Tensor};
use std::ops::Range;

/// A group under way.
#[derive(Debug)]
pub struct Stepper {
    group: Group,
    tensors: Vec<Tensor>,
    range: Range<usize>,
    gradient: Vec<f32>,
    moments: Vec<f32>,
    descent: Descent,
    steps: u64,
}

/// What a step is made of.
pub struct Batch<'b> {
    /// The examples.
    pub examples: Minibatch<'b>,
    /// How they are cut into passes.
    pub cut: Cut,
    /// Which iteration this is.
    pub at: Iteration,
    /// Which adapter answers.
    pub policy: Policy,
}

impl Stepper {
    /// Of `group` of `adapter`.
    pub fn new(adapter: &Adapter, group: Group, descent: Descent) -> Self {
        let range = adapter.range(group);
        Self {
            group,
            tensors: adapter.group_tensors(group),
            gradient: held_zeros(range.len()),
            moments: held_zeros(range.len() * descent.rule.moments()),
            range,
            descent,
            steps: 0,
        }
    }

    /// One step; the mean loss of the batch before it, nats. `pull` adds to the gradient what does not come from the
    /// examples, of the group's numbers as they stand.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn step(
        &mut self,
        estimator: &impl Estimator,
        (session, adapter): (&mut Session<'_>, &mut Adapter),
        batch: Batch<'_>,
        (scalars, guard): (&mut Scalars, &mut Guard),
        pull: impl FnOnce(&[f32], &mut [f32]),
    ) -> Result<f64, LearnError> {
        let Batch { examples, cut, at, policy } = batch;
        adapter.follow(policy);
        adapter.train(self.group);
        let step =
            StepInput { batch: examples, cut, tensors: &self.tensors, at, last: &[], guard, noise: None };
        estimator.gradient(session, adapter, step, scalars, &mut self.gradient)?;
        self.steps += 1;
        let values = &mut adapter.values_mut()[self.range.clone()];
        pull(values, &mut self.gradient);
        let Descent { rule, lr } = self.descent;
        rule.step(values, &self.gradient, &mut self.moments, lr, self.steps);
        Ok(scalars.loss())
    }
}
