//! Estimators of a gradient: how derivatives are got out of passes. One is a file that implements [`Estimator`]; neither
//! the trainer, nor the session it measures with, nor the planner knows which.
//!
//! Where the estimate is a sum of a few coefficients times directions that are functions of a seed, it is a
//! [`ScalarEstimator`] as well: those coefficients are all that a fleet has to send, and everybody replays the rest
//! (algorithm.md 6.9).

mod beside;
mod bounded;
pub(crate) mod buffers;
mod differences;
mod forward;
mod fwdllm;
mod method;
mod parted;
mod projected;
mod reverse;
mod scalars;

pub use crate::directions::Iteration;
pub use crate::workload::Cut;
pub use bounded::Bounded;
pub use buffers::{Needs, Scalars};
pub use differences::Differences;
pub use forward::Forward;
pub use fwdllm::FwdLlm;
pub use method::{AnyEstimator, Method};
pub use parted::{Parted, mix};
pub use projected::Projected;
pub use reverse::Reverse;
pub use scalars::accumulate;

use crate::directions::Directions;
use crate::error::LearnError;
use crate::guard::Guard;
use crate::minibatch::Minibatch;
use crate::privacy::Noise;
use crate::session::Session;
use sprig_engine::adapter::{Adapter, Tensor};

/// Estimates gradients of a minibatch's mean loss.
pub trait Estimator {
    /// Its share of the plan.
    fn needs(&self) -> Needs;

    /// Leaves in `gradient`, one number a weight of `step.tensors`, an estimate of the gradient of the mean loss at
    /// `adapter`'s weights, and in `scalars` the losses. The adapter is as it was afterwards, bit for bit. For every
    /// [`Cut`] the result has the same bits.
    ///
    /// # Errors
    /// As [`Session::run`].
    fn gradient(
        &self,
        session: &mut Session<'_>,
        adapter: &mut Adapter,
        step: StepInput<'_>,
        scalars: &mut Scalars,
        gradient: &mut [f32],
    ) -> Result<(), LearnError>;
}

/// An [`Estimator`] whose gradient is a sum of coefficients times directions.
pub trait ScalarEstimator {
    /// Its share of the plan.
    fn takes(&self) -> Needs;

    /// The directions of iteration `at` over `tensors`, whose ranges follow one another.
    fn directions<'a>(&self, tensors: &'a [Tensor], at: Iteration) -> Directions<'a>;

    /// Coefficients of an iteration over `examples` examples.
    fn scalars(&self, examples: usize) -> usize;

    /// Parts of the loss whose coefficients are left one part after another, to be [mixed](mix); 1 where they are the loss's.
    fn parts(&self) -> usize {
        1
    }

    /// Leaves in `scalars` the losses and the coefficients.
    ///
    /// # Errors
    /// As [`Session::run`].
    fn measure(
        &self,
        session: &mut Session<'_>,
        adapter: &mut Adapter,
        step: StepInput<'_>,
        scalars: &mut Scalars,
    ) -> Result<(), LearnError>;
}

/// What an estimate is made from.
pub struct StepInput<'a> {
    /// The examples.
    pub batch: Minibatch<'a>,
    /// How they are cut into passes.
    pub cut: Cut,
    /// What trains.
    pub tensors: &'a [Tensor],
    /// Which iteration this is.
    pub at: Iteration,
    /// The last update of what trains, or the estimate it was made from, up to a factor; all 0 before the first, and empty
    /// where the estimator does not look at it ([`Needs::last`]).
    pub last: &'a [f32],
    /// Judge of the scalars.
    pub guard: &'a mut Guard,
    /// What the scalars get before they leave the device, of estimators that ask for it.
    pub noise: Option<&'a mut Noise>,
}
