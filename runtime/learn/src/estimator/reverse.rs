//! The exact gradient, by a checkpointed pass backwards: one forward pass that keeps the inputs of the adapted blocks, and
//! one through the transposed rules, block by block. No directions and nothing random. algorithm.md 3.5 and 3.9.
//!
//! Each example contributes its weight times the gradient of its own loss, in the order of the batch, and the sum is divided
//! by all weights at the end: no pass needs to know of another, and no bit depends on how the
//! batch is cut.

use super::{Cut, Estimator, Needs, Scalars, StepInput};
use crate::error::LearnError;
use crate::guard::Guard;
use crate::minibatch::Minibatch;
use crate::outcome::Outcome;
use crate::session::Session;
use sprig_engine::adapter::{Adapter, Tensor};
use sprig_engine::dual::{Gradient, TensorId};

/// The estimator; it has no settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reverse;

impl Estimator for Reverse {
    fn needs(&self) -> Needs {
        Needs { backward: true, ..Needs::NOTHING }
    }

    fn gradient(
        &self,
        session: &mut Session<'_>,
        adapter: &mut Adapter,
        step: StepInput<'_>,
        scalars: &mut Scalars,
        gradient: &mut [f32],
    ) -> Result<(), LearnError> {
        let StepInput { batch, cut, tensors, guard, .. } = step;
        exact(session, adapter, (batch, cut), tensors, scalars, gradient)?;
        judge(guard, gradient);
        Ok(())
    }
}

/// The gradient of the mean loss of a batch, cut as it says, over `tensors`; the losses go to `scalars`.
///
/// # Errors
/// As [`Session::run`].
pub(super) fn exact(
    session: &mut Session<'_>,
    adapter: &Adapter,
    (batch, cut): (Minibatch<'_>, Cut),
    tensors: &[Tensor],
    scalars: &mut Scalars,
    gradient: &mut [f32],
) -> Result<(), LearnError> {
    scalars.outcomes.resize(batch.len(), Outcome::default());
    gradient.fill(0.0);
    let mut sums = Sums { tensors, values: gradient };
    for (first, part) in batch.passes(cut.examples) {
        let outcomes = &mut scalars.outcomes[first..first + part.len()];
        session.differentiate(adapter, part, outcomes, &mut sums)?;
    }
    let weights: f32 = scalars.outcomes.iter().map(Outcome::weight).sum();
    gradient.iter_mut().for_each(|g| *g /= weights);
    Ok(())
}

/// The slices of a gradient by the names of its tensors, whose ranges follow one another.
struct Sums<'a> {
    tensors: &'a [Tensor],
    values: &'a mut [f32],
}

impl Gradient for Sums<'_> {
    fn of(&mut self, tensor: TensorId) -> Option<&mut [f32]> {
        let place = self.tensors.binary_search_by_key(&tensor, |t| t.id).ok()?;
        Some(&mut self.values[self.tensors[place].range.clone()])
    }
}

/// What the guard does to scalars, by the gradient's length: one that is no number is dropped, a huge one cut down.
fn judge(guard: &mut Guard, gradient: &mut [f32]) {
    let square: f64 = gradient.iter().map(|g| f64::from(*g) * f64::from(*g)).sum();
    let length = square.sqrt() as f32;
    let admitted = guard.admit(length);
    if !length.is_finite() {
        gradient.fill(0.0);
    } else if admitted < length {
        gradient.iter_mut().for_each(|g| *g *= admitted / length);
    }
}
