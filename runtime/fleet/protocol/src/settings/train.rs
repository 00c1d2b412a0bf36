//! The `[train]` table: what every device trains, and how the coordinator puts it together.

use super::beside::Beside;
use super::secure;
use super::unsaid::{is_default, is_none, is_plain, is_usual, is_usual_clip};
use super::{Flow, Head, NoiseTable, Preset, ReadOut, Server, SettingsError, Upload, join};
use serde::{Deserialize, Serialize};
use sprig_engine::adapter::{AdapterSpec, Kind};
use sprig_engine::model::Geometry;
use sprig_learn::data::{LabelStyle, Task};
use sprig_learn::directions::{Family, Sharing};
use sprig_learn::dropout::Dropout;
use sprig_learn::estimator::{AnyEstimator, Bounded, Method, Parted, Projected};
use sprig_learn::guard::Guard;
use sprig_learn::objective::{Aim, Distance, LabelLoss};
use sprig_learn::optimiser::{Optimiser, Rule};
use sprig_learn::readout;
use sprig_learn::recipe::defaults::FLEET;
use sprig_learn::recipe::{
    AdamW, Batch, Fraction, Layers, Len, LocalSteps, NotNegative, Positive, Preferring, Rank, Tangents,
    Targets,
};
use sprig_learn::setting::{Setting, SettingError};
use sprig_learn::spry::{Dealing, Exchange, Mode, Rules, Seeds, Terms};
use std::ops::Deref;
use std::path::{Path, PathBuf};

/// What every device and the coordinator train: the settings they share, which agree with each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "TrainTable", into = "TrainTable")]
pub struct Train {
    table: TrainTable,
    rules: Rules,
}

/// The `[train]` table, in which each value is within its own limits. What follows from other values is there only after
/// it was completed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainTable {
    /// An algorithm by its name, whose values are those of all keys that are not given.
    #[serde(skip_serializing)]
    pub preset: Option<Preset>,
    /// What is learnt from a record: the next token, its label, which of its choices is right, or which of two answers is
    /// better.
    pub task: Task,
    /// Leave the model's chat template out.
    pub raw: bool,
    /// Words around a text to be labelled; `{text}` and `{options}` are filled in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// All labels of the fleet, whether or not a device has each; at least two for the task `label`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// What stands for a label in the answer.
    pub label_style: LabelStyle,
    /// What the loss of labels and choices counts: `labels` = the answer among the labels, `full` = among all tokens, so that the
    /// model answers with a label by itself; `labels` if absent.
    #[serde(skip_serializing_if = "is_default")]
    pub label_loss: LabelLoss,
    /// Most tokens of an example.
    pub len: Len,
    /// Examples of a step.
    pub batch: Batch,
    /// How devices get gradients: from derivatives along directions; exactly, from a pass backwards (reverse); or from
    /// differences along directions as published. Per epoch, reverse has exact local steps, whose weights travel; with
    /// up = "scalars", and per iteration, its derivatives along the directions, which need no pass of their own.
    #[serde(skip_serializing_if = "is_usual")] // so that the text of a job stays what it was
    #[serde(deserialize_with = "super::readout::estimator")]
    pub estimator: Method,
    /// K, directions of each example, or of each batch if they are shared. If absent 4; 1 for mezo, 10 for baffle and fwdllm.
    pub tangents: Tangents,
    /// What of the low-rank update trains.
    pub adapter: Kind,
    /// r.
    pub rank: Rank,
    /// The update is scaled by alpha / rank; the rank if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpha: Option<Positive>,
    /// Adapted linear layers.
    pub targets: Targets,
    /// Adapted blocks, TO not included; the top quarter for lora-xs and for reverse, all otherwise, if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers: Option<Layers>,
    /// What trains of an output head of the task's own: none, for models here answer through their own frozen head; exact and
    /// jvp are refused.
    #[serde(skip_serializing_if = "is_plain")]
    pub head: Head,
    /// Distribution of directions; if absent rademacher for one tangent, walsh for more, and gaussian for estimators by
    /// differences.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family: Option<Family>,
    /// One direction an example, or one for its whole batch; if absent the first, and the second for estimators by
    /// differences, which have no other.
    pub directions: Sharing,
    /// How far estimators by differences move the weights; if absent 0.001 for mezo, 0.0001 for baffle, 0.01 for fwdllm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference_step: Option<Positive>,
    /// Drop batches whose estimates vary more than that (fwdllm); none are if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variance_limit: Option<Positive>,
    /// Derivatives larger than that many running medians of their sizes are cut down to it, and sent as they are applied; 0
    /// where none are. What is no number is left out and counted in any case.
    #[serde(skip_serializing_if = "is_usual_clip")]
    pub clip: NotNegative,
    /// Share of the adapters' inputs that training leaves out, drawn anew for each step, example and token; 0 if absent.
    #[serde(skip_serializing_if = "is_none")]
    pub dropout: Fraction,
    /// Own directions on every device, or the same (the paper's).
    pub seeds: Seeds,
    /// An adapter (GGUF) of the same model, layers and rank that the run goes on from; a new one if absent. The coordinator reads
    /// it, and sends devices its numbers.
    #[serde(skip_serializing)] // a place on the coordinator
    pub init: Option<PathBuf>,
    /// Seed of directions, start values, assignment and data order.
    pub seed: u64,
    /// When devices and coordinator exchange: after every batch, or after `local_steps` optimiser steps.
    pub mode: Mode,
    /// Optimiser steps on the device in per-epoch mode.
    pub local_steps: LocalSteps,
    /// Optimiser on the device in per-epoch mode.
    pub local_optimizer: Optimiser,
    /// Constants of `adamw`.
    pub adamw: AdamW,
    /// Learning rate: of the local optimiser in per-epoch mode, of the averaged gradient in per-iteration mode. If absent
    /// 1 per iteration; per epoch 0.02 for adamw, 0.003 with exact gradients of lora and b-only, and 0.3 for sgd.
    pub lr: Positive,
    /// What steps the global weights.
    pub server: Server,
    /// How groups are dealt to devices.
    pub dealing: Dealing,
    /// What devices send: scalars that everybody replays, or the weights of their share, per epoch only; auto = whichever is
    /// fewer bytes. If absent scalars; weights for reverse per epoch.
    pub up: Upload,
    /// What is learnt of pairs of answers, given as such (task `pair`), or made of labels and choices: the right answer
    /// against the one of the wrong ones that the untouched model finds likeliest. If absent dpo for task `pair`, and the
    /// right answer alone for others. Pairs and texts stay on their devices, as does what they are measured against: the
    /// untouched model, by each device for its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objective: Option<Aim>,
    /// Temperature of dpo; 0.1 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta: Option<Positive>,
    /// Weight of what calibrates beside the preference: of catto, dpo-bce, cal-dpo and penalty; 0.1 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lam: Option<NotNegative>,
    /// Weight of the chosen answer's cross-entropy beside the preference; 0 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sft_weight: Option<NotNegative>,
    /// How often a preference is the wrong way round: label smoothing of dpo; 0 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smoothing: Option<Fraction>,
    /// Slope of catto's target over the margin of the answer's token; 1 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kappa: Option<NotNegative>,
    /// How far a confidence is from catto's target; l1 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cal_form: Option<Distance>,
    /// Whether the target is turned about on the answer that is not preferred; true if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invert: Option<bool>,
    /// Hold catto's target while the confidence moves.
    #[serde(skip_serializing_if = "is_plain")]
    pub stopgrad_z: bool,
    /// Whether tokens that both answers begin or end with are left out of what calibrates; true if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask_shared: Option<bool>,
    /// Devices send the derivatives of the loss's parts one by one, the preference, what calibrates and the chosen answer's
    /// cross-entropy, and the coordinator weighs them as it closes a round: by `lam` and `sft_weight` of its own, if it has
    /// them, or by these here. Per iteration and with the estimator forward.
    #[serde(skip_serializing_if = "is_plain")]
    pub parts: bool,
    /// What devices send of steps is aggregated securely: of each round the coordinator learns the sum, and of no device its own; 3
    /// to 512 devices a round, two in three of which have to stay to its end, and all of which have all groups. Of weights
    /// (`per-epoch`), or of scalars along directions that a batch and all devices share. Nothing then holds a single device to
    /// a limit. False if absent.
    #[serde(skip_serializing_if = "is_plain")]
    pub secure_aggregation: bool,
    /// Labels in closed form, in one round, instead of steps; steps if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readout: Option<ReadOut>,
    /// Noise on every device's scalars; none if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise: Option<NoiseTable>,
    /// A local adapter on each device beside the fleet's, and routers that choose for each text; one adapter if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flow: Option<Flow>,
}

impl Train {
    /// The training of a completed table.
    ///
    /// # Errors
    /// Two settings contradict each other.
    pub fn new(table: TrainTable) -> Result<Self, SettingError> {
        if table.task == Task::Label && table.labels.len() < 2 {
            let found = table.labels.concat();
            let problem = "name all labels of the fleet, at least two: a single device need not have each";
            return Err(Setting::Labels.error(found, problem));
        }
        let other_tables = table.flow.is_some() || table.readout.is_some();
        table.preferring().check_of_fleet(table.task, other_tables)?;
        if table.up == Upload::Weights && table.mode == Mode::PerIteration {
            let remedy = Setting::Mode.to(Mode::PerEpoch);
            return Err(Setting::Up.error(table.up, format!("an iteration has scalars alone; use {remedy}")));
        }
        table.head.check()?;
        ReadOut::check(table.readout, table.task)?;
        table.noise.map_or(Ok(()), |noise| noise.check(table.beside()))?;
        secure::check(table.beside())?;
        let rules = Rules::new(table.terms()?)?;
        Ok(Self { table, rules })
    }

    /// Makes the adapter's place relative to `folder`.
    pub(super) fn resolve(&mut self, folder: &Path) {
        self.table.init.iter_mut().for_each(|path| join(folder, path));
    }

    /// The judge of a device's derivatives.
    pub fn guard(&self) -> Guard {
        Guard::new(self.clip.get())
    }

    /// What the parts of the loss weigh where they are weighed as a round is closed: by `lam` and `sft_weight`, where they are
    /// given, instead of the training's own. Nothing where devices weigh them.
    pub fn weights(&self, lam: Option<NotNegative>, sft_weight: Option<NotNegative>) -> Vec<f64> {
        let own = self.preferring();
        let told = Preferring { lam: lam.or(own.lam), sft_weight: sft_weight.or(own.sft_weight), ..own };
        if self.parts { told.weights(self.task) } else { Vec::new() }
    }

    /// How a round's updates are made and put together.
    pub fn rules(&self) -> Rules {
        self.rules
    }

    /// What devices of a model train: its adapter, and under Flow a second one beside it and their routers.
    ///
    /// # Errors
    /// As [`adapter`](Self::adapter).
    pub fn trained(&self, g: &Geometry) -> Result<AdapterSpec, SettingsError> {
        let routing = self.flow.map(|flow| flow.routing(self.task));
        Ok(AdapterSpec { routing, ..self.adapter(g)? })
    }

    /// The adapter of a model that all share.
    ///
    /// # Errors
    /// The model has fewer blocks or smaller layers than that.
    pub fn adapter(&self, g: &Geometry) -> Result<AdapterSpec, SettingsError> {
        match self.readout {
            None => Ok(self.recipe().adapter.fit(g)?),
            Some(_) if self.flow.is_some() => {
                let problem = "[train.readout] learns in closed form and [train.flow] in steps; leave one of the tables out";
                Err(SettingsError::value("train", "flow", "a table", problem))
            }
            Some(_) => {
                readout::check(g)
                    .map_err(|e| SettingsError::value("train", "readout", "on", e.to_string()))?;
                Ok(readout::spec(g, self.labels.len()))
            }
        }
    }
}

impl TrainTable {
    fn beside(&self) -> Beside {
        let Self { parts, up, mode, estimator, directions, dealing, seeds, .. } = *self;
        Beside {
            readout: self.readout.is_some(),
            flow: self.flow.is_some(),
            secure: self.secure_aggregation,
            robust: self.server.robust,
            parts,
            up,
            mode,
            estimator,
            directions,
            dealing,
            seeds,
        }
    }

    fn terms(&self) -> Result<Terms, SettingError> {
        let recipe = self.recipe();
        Ok(Terms {
            exchange: match self.mode {
                Mode::PerIteration => Exchange::PerIteration,
                Mode::PerEpoch => Exchange::PerEpoch { steps: self.local_steps.get() },
            },
            batch: self.batch.as_usize(),
            estimator: match recipe.estimator()? {
                AnyEstimator::Forward(along) if self.noise.is_some() => {
                    AnyEstimator::Bounded(Bounded { along })
                }
                AnyEstimator::Forward(along) if self.parts => {
                    let parts = self.preferring().weights(self.task).len();
                    if parts == 0 {
                        let problem = format!("one loss has one part; name {}", Setting::Objective);
                        return Err(Setting::Parts.error(true, problem));
                    }
                    AnyEstimator::Parted(Parted { along, parts })
                }
                _ if self.parts => {
                    let remedy = Setting::Estimator.to(Method::Forward);
                    return Err(
                        Setting::Parts.error(true, format!("tangents tell parts apart; use {remedy}"))
                    );
                }
                AnyEstimator::Reverse(_) if self.up == Upload::Scalars || self.mode == Mode::PerIteration => {
                    AnyEstimator::Projected(Projected { along: recipe.forward() })
                }
                other => other,
            },
            dropout: Dropout::new(self.dropout),
            run_key: recipe.run_key(),
            seeds: self.seeds,
            local: match self.local_optimizer {
                Optimiser::AdamW => self.adamw.rule(),
                Optimiser::Sgd => Rule::Sgd { momentum: FLEET.momentum.get() },
            },
            lr: self.lr.get(),
            server: self.server.rule(),
            decay: self.server.decay_rounds,
        })
    }
}

impl Deref for Train {
    type Target = TrainTable;

    fn deref(&self) -> &TrainTable {
        &self.table
    }
}

impl TryFrom<TrainTable> for Train {
    type Error = SettingError;

    fn try_from(table: TrainTable) -> Result<Self, SettingError> {
        Self::new(table)
    }
}

impl From<Train> for TrainTable {
    fn from(train: Train) -> Self {
        train.table
    }
}

#[cfg(test)]
#[path = "train_tests.rs"]
mod tests;
