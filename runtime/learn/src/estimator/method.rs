//! Estimators by name, and whichever of them was chosen as one value: what a recipe asks for, and what trainers hold
//! unless they are told otherwise. Another estimator is a name, a variant, and a line in each match.

use super::{Estimator, Forward, Needs, Reverse, Scalars, StepInput};
use crate::error::LearnError;
use crate::session::Session;
use sprig_engine::adapter::Adapter;
use sprig_ground::names;

/// How gradients are got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// [`Forward`].
    Forward,
    /// [`Reverse`].
    Reverse,
}

names!(Method, "estimator", [Forward = "forward", Reverse = "reverse"]);

/// An estimator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AnyEstimator {
    /// Derivatives along directions.
    Forward(Forward),
    /// A pass backwards.
    Reverse(Reverse),
}

impl Method {
    /// What such an estimator takes with `tangents` directions an example, of those that take directions.
    pub fn needs(self, tangents: usize) -> Needs {
        match self {
            Self::Forward => Forward::needs_for(tangents),
            Self::Reverse => Reverse.needs(),
        }
    }
}

impl AnyEstimator {
    /// What its estimates depend on beside its name and the run's seed: names and values, for a run's fingerprint.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Forward(forward) => vec![
                ("tangents", forward.tangents.to_string()),
                ("directions", forward.sharing.to_string()),
                ("family", forward.family.to_string()),
            ],
            Self::Reverse(Reverse) => Vec::new(),
        }
    }
}

impl Estimator for AnyEstimator {
    fn needs(&self) -> Needs {
        match self {
            Self::Forward(forward) => forward.needs(),
            Self::Reverse(reverse) => reverse.needs(),
        }
    }

    fn gradient(
        &self,
        session: &mut Session<'_>,
        adapter: &mut Adapter,
        step: StepInput<'_>,
        scalars: &mut Scalars,
        gradient: &mut [f32],
    ) -> Result<(), LearnError> {
        match self {
            Self::Forward(forward) => forward.gradient(session, adapter, step, scalars, gradient),
            Self::Reverse(reverse) => reverse.gradient(session, adapter, step, scalars, gradient),
        }
    }
}
