//! What is learnt, from which records, by which adapter and along which directions: the same for one device and for a
//! fleet, whether it was written as flags or as keys of a settings file. Every value has a type that reads it and holds its
//! limits, so there is nothing left to check but whether the model is large enough.

pub mod defaults;
mod length;
mod number;
mod places;
mod preferring;
mod single;
mod way;

pub use length::{HeldBack, Length};
pub use number::{Fraction, LimitError, NotNegative, Positive, Real, Whole};
pub use places::{Layers, LayersError, Targets, TargetsError};
pub use preferring::Preferring;
pub use single::{AdamW, Single};
pub use way::Way;

use crate::data::{LabelStyle, LoadOptions, Task};
use crate::directions::{Family, Sharing, run_key};
use crate::estimator::{AnyEstimator, Differences, Forward, FwdLlm, Method, Reverse};
use crate::objective::{self, Candidates, Choice, LabelLoss, Objective, Preference};
use crate::setting::{Setting, SettingError};
use sprig_engine::adapter::{AdapterSpec, Kind, SpecError};
use sprig_engine::dual::MAX_TANGENTS;
use sprig_engine::model::Geometry;
use std::sync::Arc;

/// Most tokens of an example.
pub type Len = Whole<2, 131_072>;
/// Examples of a step.
pub type Batch = Whole<1, 4096>;
/// K, directions of an example or of a batch.
pub type Tangents = Whole<1, { MAX_TANGENTS as u32 }>;
/// r of an adapter.
pub type Rank = Whole<1, 1024>;
/// Optimiser steps of one device.
pub type Steps = Whole<1, 100_000_000>;
/// Visits to every example.
pub type Epochs = Whole<1, 100_000>;
/// Judgements in a row that may find nothing better.
pub type Patience = Whole<1, 100_000>;
/// Optimiser steps of a device within a round of its fleet.
pub type LocalSteps = Whole<1, 100_000>;

/// What is learnt and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// How records become examples.
    pub records: Records,
    /// What trains.
    pub adapter: AdapterRecipe,
    /// How gradients are got.
    pub estimator: Method,
    /// K.
    pub tangents: Tangents,
    /// Distribution of the directions; if none is given Gaussian for estimators by differences, as published, otherwise
    /// Rademacher for one tangent and Walsh for more.
    pub family: Option<Family>,
    /// Who shares a direction.
    pub directions: Sharing,
    /// How far estimators by differences move the weights; as published if none is given.
    pub difference_step: Option<Positive>,
    /// Most that the estimates of a batch may vary for FwdLLM+ to use them.
    pub variance_limit: Option<Positive>,
    /// Examples of a step.
    pub batch: Batch,
    /// Share of the adapters' inputs that training leaves out.
    pub dropout: Fraction,
    /// What the loss of labels and choices counts.
    pub label_loss: LabelLoss,
    /// What is learnt of pairs of answers, if that is what they are.
    pub preferring: Preferring,
    /// Seed of directions, start values and data order.
    pub seed: u64,
}

/// How records become examples.
#[derive(Clone, Debug, PartialEq)]
pub struct Records {
    /// What is learnt from a record.
    pub task: Task,
    /// Leaves the model's chat template out.
    pub raw: bool,
    /// Words around a text to be labelled.
    pub template: Option<String>,
    /// All labels there are; those of the data if empty.
    pub labels: Vec<String>,
    /// What stands for a label in the answer.
    pub label_style: LabelStyle,
    /// (label, word) pairs: the word to answer with for a label.
    pub label_words: Vec<(String, String)>,
    /// Most tokens of an example.
    pub len: Len,
}

/// The adapter, before its model is known.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterRecipe {
    /// What of the low-rank update trains.
    pub kind: Kind,
    /// r.
    pub rank: Rank,
    /// alpha; the rank if none is given.
    pub alpha: Option<Positive>,
    /// Adapted linear layers.
    pub targets: Targets,
    /// Adapted blocks; if none are given the top quarter for LoRA-XS and for exact gradients, all otherwise.
    pub layers: Option<Layers>,
    /// How gradients are got.
    pub method: Method,
}

impl Recipe {
    /// What is learnt from a record; a preference not yet against anything.
    pub fn objective(&self) -> Arc<dyn Objective> {
        match self.preference() {
            Some(preference) => Arc::new(preference),
            None => objective::of_task(self.records.task, self.label_loss),
        }
    }

    /// The same, where it is learnt of pairs of answers.
    pub fn preference(&self) -> Option<Preference> {
        self.preferring.objective(self.records.task, self.label_loss)
    }

    /// What it is judged by on records that it does not learn from: of a preference, which has nothing there to be measured
    /// against, the answers' probabilities. It asks for no more of an example than the objective does.
    pub fn judged(&self) -> Arc<dyn Objective> {
        match (self.preference(), self.records.task) {
            (None, _) => self.objective(),
            (Some(_), Task::Pair) => Arc::new(Candidates::new(2)),
            (Some(_), _) => Arc::new(Choice),
        }
    }

    /// The estimator.
    ///
    /// # Errors
    /// A direction an example, for one that moves the weights.
    pub fn estimator(&self) -> Result<AnyEstimator, SettingError> {
        let (pairs, run_key) = (self.tangents.as_usize(), self.run_key());
        let family = self.family.unwrap_or(Family::Gaussian);
        let step = self.difference_step.unwrap_or(defaults::difference_step(self.estimator)).get();
        if self.estimator.is_by_differences() && self.directions == Sharing::PerExample {
            let remedy = Setting::Directions.to(Sharing::Shared);
            let problem = format!("{} moves the weights of a whole batch; use {remedy}", self.estimator);
            return Err(Setting::Directions.error(self.directions, problem));
        }
        Ok(match self.estimator {
            Method::Forward => AnyEstimator::Forward(self.forward()),
            Method::Reverse => AnyEstimator::Reverse(Reverse),
            Method::Mezo | Method::Baffle => {
                AnyEstimator::Differences(Differences { family, pairs, step, run_key })
            }
            Method::FwdLlm => {
                let variance_limit = self.variance_limit.map(Positive::get);
                AnyEstimator::FwdLlm(FwdLlm { family, pairs, step, variance_limit, run_key })
            }
        })
    }

    /// The key of directions and start values.
    pub fn run_key(&self) -> [u32; 2] {
        run_key(self.seed)
    }

    /// Derivatives along its directions.
    pub fn forward(&self) -> Forward {
        let usual = if self.tangents.get() > 1 { Family::Walsh } else { Family::Rademacher };
        Forward {
            family: self.family.unwrap_or(usual),
            sharing: self.directions,
            tangents: self.tangents.as_usize(),
            run_key: self.run_key(),
        }
    }
}

impl Records {
    /// `task` on examples of `len` tokens, all else as it is by default.
    pub fn new(task: Task, len: Len) -> Self {
        Self {
            task,
            raw: false,
            template: None,
            labels: Vec::new(),
            label_style: LabelStyle::default(),
            label_words: Vec::new(),
            len,
        }
    }

    /// The same, for reading a file.
    pub fn load_options(&self) -> LoadOptions {
        LoadOptions {
            raw: self.raw,
            template: self.template.clone(),
            label_style: self.label_style,
            label_words: self.label_words.clone(),
            label_names: self.labels.clone(),
            ..LoadOptions::new(self.task, self.len.as_usize())
        }
    }
}

impl AdapterRecipe {
    /// The adapter of a model.
    ///
    /// # Errors
    /// The model has fewer blocks or smaller layers than that; which setting is beyond it, and its limit.
    pub fn fit(&self, g: &Geometry) -> Result<AdapterSpec, SettingError> {
        let layers = match &self.layers {
            Some(layers) => layers.of(g.blocks),
            None => defaults::layers(self.method, self.kind, g.blocks),
        };
        let spec = AdapterSpec {
            kind: self.kind,
            rank: self.rank.as_usize(),
            alpha: self.alpha.map_or(self.rank.get() as f32, Positive::get),
            targets: self.targets.modules().to_vec(),
            layers,
            kept: Vec::new(),
            routing: None,
        };
        match spec.check(g) {
            Ok(()) => Ok(spec),
            Err(SpecError::Rank { rank, limit, module }) => {
                let problem = format!("use 1 to {limit}, the smaller side of {module} in this model");
                Err(Setting::Rank.error(rank, problem))
            }
            Err(SpecError::Layers { from, to, blocks }) => {
                let problem = format!("this model has the blocks 0..{blocks}; use some of these");
                Err(Setting::Layers.error(format_args!("{from}..{to}"), problem))
            }
            Err(other @ (SpecError::NoTargets | SpecError::Alpha(_))) => {
                Err(Setting::Adapter.error(self.kind, other.to_string()))
            }
        }
    }
}
