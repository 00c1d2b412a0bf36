//! Central differences: losses at weights that are moved along a seeded direction, on both sides of where they are,
//! (f(w + h·v) − f(w − h·v)) / 2h. What the estimators without derivatives share.
//!
//! The weights are put back from a copy after each pass: taking a step back by subtracting it would leave rounding behind.
//! All examples of a pass see the same moved weights, so a direction is always one for the whole batch.

use super::{Cut, Scalars, StepInput};
use crate::directions::Directions;
use crate::error::LearnError;
use crate::minibatch::Minibatch;
use crate::outcome::{Outcome, mean_loss};
use crate::session::Session;
use sprig_engine::adapter::Adapter;

/// Losses of a batch beside an adapter's weights.
pub(super) struct Beside<'a, 'm> {
    session: &'a mut Session<'m>,
    adapter: &'a mut Adapter,
    batch: Minibatch<'a>,
    cut: Cut,
    directions: Directions<'a>,
    /// The weights of the directions' tensors as they are.
    kept: &'a mut [f32],
    outcomes: &'a mut [Outcome],
    /// Sum and number of the losses half way between two sides.
    middle: (f64, u32),
}

impl<'a, 'm> Beside<'a, 'm> {
    /// The batch of `step` along `directions`; a vector as long as what trains is taken from `scalars`.
    pub(super) fn new(
        session: &'a mut Session<'m>,
        adapter: &'a mut Adapter,
        step: &StepInput<'a>,
        directions: Directions<'a>,
        scalars: &'a mut Scalars,
    ) -> Self {
        let (batch, cut) = (step.batch, step.cut);
        scalars.outcomes.resize(batch.len(), Outcome::default());
        let kept = &mut scalars.vectors;
        adapter.each_mut(directions.tensors, |tensor, values| {
            kept[tensor.range.clone()].copy_from_slice(values);
        });
        let outcomes = &mut scalars.outcomes;
        Self { session, adapter, batch, cut, directions, kept, outcomes, middle: (0.0, 0) }
    }

    /// The derivative of the batch's mean loss along direction `k`, by steps of `h` either way.
    ///
    /// # Errors
    /// As [`Session::run`]; the weights are back then, too.
    pub(super) fn slope(&mut self, k: usize, h: f32) -> Result<f64, LearnError> {
        let (slope, middle) = central(h, |by| self.loss(k, by))?;
        self.middle = (self.middle.0 + middle, self.middle.1 + 1);
        Ok(slope)
    }

    /// Has the outcomes' mean loss be the one half way between the sides of all directions, which is the one at the
    /// weights themselves but for terms in h². No pass is spent on that.
    pub(super) fn finish(self) {
        let (sum, pairs) = self.middle;
        let by = sum / f64::from(pairs) - mean_loss(self.outcomes);
        self.outcomes.iter_mut().for_each(|o| o.loss += by);
    }

    /// The batch's mean loss at the weights plus `by` times direction `k`.
    fn loss(&mut self, k: usize, by: f32) -> Result<f64, LearnError> {
        let Self { session, adapter, batch, cut, directions, kept, outcomes, .. } = self;
        adapter.each_mut(directions.tensors, |tensor, values| {
            directions.accumulate(k, 0, tensor, by, values);
        });
        let mut passes = batch.passes(cut.examples);
        let run = passes.try_for_each(|(first, part)| {
            session.judge(adapter, part, &mut outcomes[first..first + part.len()])
        });
        adapter.each_mut(directions.tensors, |tensor, values| {
            values.copy_from_slice(&kept[tensor.range.clone()]);
        });
        run.map(|()| mean_loss(outcomes))
    }
}

/// (slope, value half way) of a function of one number around 0, by central differences of step `h`.
pub(super) fn central<E>(h: f32, mut at: impl FnMut(f32) -> Result<f64, E>) -> Result<(f64, f64), E> {
    let (above, below) = (at(h)?, at(-h)?);
    Ok(((above - below) / (2.0 * f64::from(h)), (above + below) / 2.0))
}
