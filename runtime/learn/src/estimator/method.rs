//! Estimators by name, and whichever of them was chosen as one value: what a recipe asks for, and what trainers hold
//! unless they are told otherwise. Another estimator is a name, a variant, and a line in each match.

use super::{
    Bounded, Differences, Estimator, Forward, FwdLlm, Needs, Parted, Projected, Reverse, ScalarEstimator,
    Scalars, StepInput,
};
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
    /// [`Differences`] as MeZO has them.
    Mezo,
    /// [`Differences`] as BAFFLE+ has them.
    Baffle,
    /// [`FwdLlm`].
    FwdLlm,
}

names!(
    Method,
    "estimator",
    [Forward = "forward", Reverse = "reverse", Mezo = "mezo", Baffle = "baffle", FwdLlm = "fwdllm"]
);

/// An estimator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AnyEstimator {
    /// Derivatives along directions.
    Forward(Forward),
    /// Derivatives along directions, of which no example has a larger share, with noise.
    Bounded(Bounded),
    /// Derivatives along directions, of each part of the loss.
    Parted(Parted),
    /// A pass backwards.
    Reverse(Reverse),
    /// A pass backwards, and derivatives along directions from it.
    Projected(Projected),
    /// Differences along directions.
    Differences(Differences),
    /// Differences along chosen directions.
    FwdLlm(FwdLlm),
}

impl Method {
    /// What such an estimator takes with `tangents` directions an example, of those that take directions.
    pub fn needs(self, tangents: usize) -> Needs {
        match self {
            Self::Forward => Forward::needs_for(tangents),
            Self::Reverse => Reverse.needs(),
            Self::Mezo | Self::Baffle => Differences::needs_for(tangents),
            Self::FwdLlm => FwdLlm::needs_for(tangents),
        }
    }

    /// Whether it measures by differences, and so has the directions of a batch shared by its examples.
    pub const fn is_by_differences(self) -> bool {
        match self {
            Self::Forward | Self::Reverse => false,
            Self::Mezo | Self::Baffle | Self::FwdLlm => true,
        }
    }
}

impl AnyEstimator {
    /// What its estimates depend on beside its name and the run's seed: names and values, for a run's fingerprint.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Forward(forward)
            | Self::Bounded(Bounded { along: forward })
            | Self::Parted(Parted { along: forward, .. })
            | Self::Projected(Projected { along: forward }) => vec![
                ("tangents", forward.tangents.to_string()),
                ("directions", forward.sharing.to_string()),
                ("family", forward.family.to_string()),
            ],
            Self::Reverse(Reverse) => Vec::new(),
            Self::Differences(differences) => vec![
                ("tangents", differences.pairs.to_string()),
                ("family", differences.family.to_string()),
                ("difference-step", differences.step.to_string()),
            ],
            Self::FwdLlm(fwdllm) => vec![
                ("tangents", fwdllm.pairs.to_string()),
                ("family", fwdllm.family.to_string()),
                ("difference-step", fwdllm.step.to_string()),
                ("variance-limit", fwdllm.variance_limit.unwrap_or(f32::INFINITY).to_string()),
            ],
        }
    }

    /// K, of those that take directions.
    pub fn tangents(&self) -> usize {
        match self {
            Self::Forward(forward)
            | Self::Bounded(Bounded { along: forward })
            | Self::Parted(Parted { along: forward, .. })
            | Self::Projected(Projected { along: forward }) => forward.tangents,
            Self::Differences(differences) => differences.pairs,
            Self::FwdLlm(fwdllm) => fwdllm.pairs,
            Self::Reverse(Reverse) => 0,
        }
    }

    /// Parts of the loss of which it leaves coefficients, to be weighed afterwards; 1 where they are the loss's.
    pub fn parts(&self) -> usize {
        self.scalars().map_or(1, ScalarEstimator::parts)
    }

    /// Whether its passes run at the weights as they are, so that what they find of an example is the model's own.
    pub fn is_in_place(&self) -> bool {
        match self {
            Self::Forward(_) | Self::Bounded(_) | Self::Parted(_) | Self::Reverse(_) | Self::Projected(_) => {
                true
            }
            Self::Differences(_) | Self::FwdLlm(_) => false,
        }
    }

    /// The estimator as one of scalars; none of exact gradients.
    pub fn scalars(&self) -> Option<&dyn ScalarEstimator> {
        match self {
            Self::Forward(forward) => Some(forward),
            Self::Bounded(bounded) => Some(bounded),
            Self::Parted(parted) => Some(parted),
            Self::Projected(projected) => Some(projected),
            Self::Differences(differences) => Some(differences),
            Self::FwdLlm(fwdllm) => Some(fwdllm),
            Self::Reverse(_) => None,
        }
    }

    fn chosen(&self) -> &dyn Estimator {
        match self {
            Self::Forward(forward) => forward,
            Self::Bounded(bounded) => bounded,
            Self::Parted(parted) => parted,
            Self::Projected(projected) => projected,
            Self::Differences(differences) => differences,
            Self::FwdLlm(fwdllm) => fwdllm,
            Self::Reverse(reverse) => reverse,
        }
    }
}

impl Estimator for AnyEstimator {
    fn needs(&self) -> Needs {
        self.chosen().needs()
    }

    fn gradient(
        &self,
        session: &mut Session<'_>,
        adapter: &mut Adapter,
        step: StepInput<'_>,
        scalars: &mut Scalars,
        gradient: &mut [f32],
    ) -> Result<(), LearnError> {
        self.chosen().gradient(session, adapter, step, scalars, gradient)
    }
}
