//! What a device of a Flow fleet does, and in which order.

use super::gates::{Gates, Patterns};
use crate::directions::{Family, Sharing};
use crate::error::LearnError;
use crate::estimator::{AnyEstimator, Estimator, Forward, Method, Needs, Reverse, Scalars, StepInput};
use crate::optimiser::Rule;
use crate::session::Session;
use sprig_engine::adapter::{Adapter, Group};
use sprig_ground::names;

/// Rules of a device's round, and of whoever derives its state. The paper's names in brackets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FlowRules {
    /// Epochs of the local adapter over its half (K1).
    pub local_epochs: u32,
    /// Epochs of router and global adapter over theirs (K2).
    pub shared_epochs: u32,
    /// Examples a step.
    pub batch: usize,
    /// Weight of the regulariser that holds routers to the global adapter (γ).
    pub gamma: f32,
    /// Which loss the global adapter learns by.
    pub global_loss: GlobalLoss,
    /// How adapters learn: [`Method::Reverse`] or [`Method::Forward`].
    pub adapters: Method,
    /// How routers learn.
    pub router: RouterBy,
    /// Directions an example, of what goes forward.
    pub tangents: usize,
    /// Steps of the local adapter.
    pub local: Descent,
    /// Steps of the global one.
    pub global: Descent,
    /// Steps of the routers: the rate is how far a logit moves at a step of Adam, about, whatever they look at.
    pub routing: Descent,
    /// Key of the run.
    pub run_key: [u32; 2],
}

/// How a group of numbers goes down.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Descent {
    /// Optimiser; its state begins anew with each round.
    pub rule: Rule,
    /// Learning rate.
    pub lr: f32,
}

/// Which loss the global adapter learns by (specification, D1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GlobalLoss {
    /// That of both adapters with the routers' shares, as the paper has it.
    #[default]
    Mixture,
    /// That of the global adapter alone.
    Pure,
    /// Both in turn, a step each.
    Both,
}

names!(GlobalLoss, "loss of the global adapter", [Mixture = "mixture", Pure = "pure", Both = "both"]);

/// How routers learn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RouterBy {
    /// By a pass backwards.
    #[default]
    Reverse,
    /// By moving all logits at once (F2).
    Signs,
    /// By moving one logit at a time (F3).
    OneByOne,
    /// By moving the weights (F1).
    Weights,
}

names!(
    RouterBy,
    "estimator of a router",
    [Reverse = "reverse", Signs = "signs", OneByOne = "one-by-one", Weights = "weights"]
);

/// An estimator of the router's gradient.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RouterEstimator {
    /// That of any other weights.
    Any(AnyEstimator),
    /// By its logits.
    Gates(Gates),
}

impl FlowRules {
    /// The estimator of adapters.
    pub fn adapters(&self) -> AnyEstimator {
        match self.adapters {
            Method::Forward => AnyEstimator::Forward(self.forward()),
            _ => AnyEstimator::Reverse(Reverse),
        }
    }

    /// The estimator of a router of `blocks` blocks.
    pub fn router(&self, blocks: usize) -> RouterEstimator {
        let gates = |patterns, tangents| {
            RouterEstimator::Gates(Gates { patterns, tangents, gamma: self.gamma, run_key: self.run_key })
        };
        match self.router {
            RouterBy::Reverse => RouterEstimator::Any(AnyEstimator::Reverse(Reverse)),
            RouterBy::Weights => RouterEstimator::Any(AnyEstimator::Forward(self.forward())),
            RouterBy::Signs => gates(Patterns::Signs, self.tangents),
            RouterBy::OneByOne => gates(Patterns::OneByOne, blocks),
        }
    }

    /// What both take, in passes that serve either.
    pub fn needs(&self, blocks: usize) -> Needs {
        let (a, b) = (self.adapters().needs(), self.router(blocks).needs());
        Needs {
            tangents: a.tangents.max(b.tangents),
            scalars: a.scalars.max(b.scalars),
            backward: a.backward || b.backward,
            features: b.features,
            ..Needs::NOTHING
        }
    }

    /// Steps of the routers of `adapter`. Adam moves every weight by its rate, and what a router looks at has numbers of about
    /// size 1: a logit moves by the rate times so many. A rate that ignores that is certain of everything after two steps.
    pub fn routing(&self, adapter: &Adapter) -> Descent {
        let tensors = adapter.group_tensors(Group::Router);
        let weights = tensors.first().map_or(1, |tensor| tensor.range.len());
        Descent { lr: self.routing.lr / weights as f32, ..self.routing }
    }

    fn forward(&self) -> Forward {
        Forward {
            family: Family::Rademacher,
            sharing: Sharing::PerExample,
            tangents: self.tangents,
            run_key: self.run_key,
        }
    }
}

impl Estimator for RouterEstimator {
    fn needs(&self) -> Needs {
        match self {
            Self::Any(estimator) => estimator.needs(),
            Self::Gates(estimator) => estimator.needs(),
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
            Self::Any(estimator) => estimator.gradient(session, adapter, step, scalars, gradient),
            Self::Gates(estimator) => estimator.gradient(session, adapter, step, scalars, gradient),
        }
    }
}
