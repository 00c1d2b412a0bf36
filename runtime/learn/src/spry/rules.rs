//! What all parties of a run must agree on to reach the same bits.

use crate::directions::{Directions, Family, Iteration, Sharing};
use crate::dropout::{Dropout, Masks, PAPER};
use crate::estimator::{AnyEstimator, Forward};
use crate::optimiser::Rule;
use crate::recipe::{Fraction, NotNegative, Positive};
use crate::setting::{Setting, SettingError};
use crate::spry::ServerRule;
use sprig_engine::adapter::{AdapterSpec, Kind, Tensor};
use sprig_engine::dual::MAX_TANGENTS;
use sprig_engine::model::{Geometry, Module};
use sprig_ground::names;
use std::ops::Deref;

/// What decides the result of a fleet's run, assignment and data excepted; every party has the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules(Terms);

/// The same as anybody may write it down. [`Rules::new`] takes those that can be kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    /// What a round is.
    pub exchange: Exchange,
    /// Examples of one iteration of a device.
    pub batch: usize,
    /// How devices estimate gradients.
    pub estimator: AnyEstimator,
    /// What of the adapter's inputs devices leave out.
    pub dropout: Dropout,
    /// Key of start values and data order, and of the estimator's directions.
    pub run_key: [u32; 2],
    /// Whose directions a device takes.
    pub seeds: Seeds,
    /// Optimiser of a device's steps within a round; per iteration there are none.
    pub local: Rule,
    /// Learning rate: of `local`, or per iteration of the one step on the mean gradient.
    pub lr: f32,
    /// Optimiser of the server.
    pub server: ServerRule,
    /// Rounds over which the server's η falls in a straight line; 0 where it stays.
    pub decay: u32,
}

/// When devices and coordinator exchange (specification 3.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// After every batch: the scalars are the gradient.
    #[default]
    PerIteration,
    /// After some optimiser steps on the device.
    PerEpoch,
}

names!(Mode, "mode", [PerIteration = "per-iteration", PerEpoch = "per-epoch"]);

/// What a device does in a round, and what its scalars mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// One batch; the scalars are its gradient.
    PerIteration,
    /// Local optimiser steps from fresh state. The scalars of all of them travel, and the path is replayed; or the weights
    /// they lead to.
    PerEpoch {
        /// Steps, at least 1.
        steps: u32,
    },
}

/// Whose directions a device takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seeds {
    /// Each device its own, so that M̃ holders of a group cut its noise by M̃ (specification 6.3).
    Own,
    /// All devices the same (the paper's).
    Shared,
}

names!(Seeds, "way of seeding", [Own = "own", Shared = "shared"]);

impl Exchange {
    /// Which of the two it is.
    pub fn mode(self) -> Mode {
        match self {
            Self::PerIteration => Mode::PerIteration,
            Self::PerEpoch { .. } => Mode::PerEpoch,
        }
    }
}

/// Most examples of an iteration: a direction names its example by 16 bits, and one number means the whole batch.
const MAX_BATCH: usize = 0xFFFE;

impl Terms {
    /// The paper's algorithm on the server's defaults of its authors' library; `steps` make an epoch. With the adapter
    /// of [`paper_adapter`] and [`Dealing::Cyclic`](super::Dealing::Cyclic).
    pub fn paper(run_key: [u32; 2], steps: u32) -> Self {
        Self {
            exchange: Exchange::PerEpoch { steps },
            batch: 8,
            estimator: AnyEstimator::Forward(Forward {
                family: Family::Gaussian,
                sharing: Sharing::Shared,
                tangents: 1,
                run_key,
            }),
            dropout: Dropout::new(PAPER),
            run_key,
            seeds: Seeds::Shared,
            local: Rule::AdamW { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay: 0.01 },
            lr: 1e-4,
            server: ServerRule::Yogi { eta: 1e-2, beta1: 0.9, beta2: 0.99, tau: 1e-3 },
            decay: 0,
        }
    }
}

impl Deref for Rules {
    type Target = Terms;

    fn deref(&self) -> &Terms {
        &self.0
    }
}

impl Rules {
    /// Rules of these terms. Everything else here relies on what is found here.
    ///
    /// # Errors
    /// A [`SettingError`] that names the setting and its limits.
    pub fn new(terms: Terms) -> Result<Self, SettingError> {
        let Terms { batch, lr, .. } = terms;
        let along = terms.estimator.scalars();
        if along.is_none() && terms.exchange == Exchange::PerIteration {
            let problem = "use derivatives along directions: what devices send of an iteration are scalars";
            return Err(Setting::Estimator.error("reverse", problem));
        }
        let tangents = terms.estimator.tangents();
        if !(1..=MAX_BATCH).contains(&batch) {
            return Err(Setting::Batch.error(batch, format!("use 1 to {MAX_BATCH}")));
        }
        if along.is_some() && !(1..=MAX_TANGENTS).contains(&tangents) {
            return Err(Setting::Tangents.error(tangents, format!("use 1 to {MAX_TANGENTS}")));
        }
        if let Exchange::PerEpoch { steps } = terms.exchange {
            let most = u32::MAX / batch as u32;
            if !(1..=most).contains(&steps) {
                return Err(Setting::LocalSteps.error(steps, format!("use 1 to {most}, with this batch")));
            }
        }
        if terms.estimator.parts() > 1 && terms.exchange != Exchange::PerIteration {
            let remedy = Setting::Mode.to(Mode::PerIteration);
            let problem =
                format!("the steps of an epoch are taken with one mix, on the device; use {remedy}");
            return Err(Setting::Parts.error(true, problem));
        }
        Positive::given(Setting::Lr, lr)?;
        match terms.local {
            Rule::Sgd { momentum } => drop(Fraction::given(Setting::Momentum, momentum)?),
            Rule::AdamW { beta1, beta2, epsilon, decay } => {
                Fraction::given(Setting::Beta1, beta1)?;
                Fraction::given(Setting::Beta2, beta2)?;
                Positive::given(Setting::Epsilon, epsilon)?;
                NotNegative::given(Setting::WeightDecay, decay)?;
            }
        }
        match terms.server {
            ServerRule::Avg { eta } => drop(Positive::given(Setting::ServerEta, eta)?),
            ServerRule::Adam { eta, beta1, beta2, tau } | ServerRule::Yogi { eta, beta1, beta2, tau } => {
                Positive::given(Setting::ServerEta, eta)?;
                Fraction::given(Setting::ServerBeta1, beta1)?;
                Fraction::given(Setting::ServerBeta2, beta2)?;
                Positive::given(Setting::ServerTau, tau)?;
            }
        }
        Ok(Self(terms))
    }

    /// The server's optimiser in `round`, which counts from 0.
    pub(super) fn server_at(&self, round: u32) -> ServerRule {
        match self.decay {
            0 => self.server,
            rounds => self.server.scaled((rounds - round.min(rounds - 1)) as f32 / rounds as f32),
        }
    }

    /// Most examples a device visits in a round; one with fewer visits each of them once.
    pub fn examples(&self) -> u32 {
        (self.batch as u32).saturating_mul(self.steps())
    }

    /// Iterations of a device that visits `examples` examples.
    pub fn iterations(&self, examples: u32) -> u32 {
        examples.div_ceil(self.batch as u32)
    }

    /// Scalars that an update of `examples` examples travels with: those of every part of the loss, where its parts are weighed
    /// as the round is closed.
    pub fn sent_count(&self, examples: u32) -> usize {
        self.estimator.parts() * self.scalar_count(examples)
    }

    /// Scalars of an update behind which are `examples` examples, as they are applied; none of exact steps.
    pub fn scalar_count(&self, examples: u32) -> usize {
        let Some(along) = self.estimator.scalars() else { return 0 };
        let (batch, examples) = (self.batch, examples as usize);
        let of = |examples: usize| if examples > 0 { along.scalars(examples) } else { 0 };
        examples / batch * of(batch) + of(examples % batch)
    }

    /// The directions of device `number` over the `tensors` of its part; exact steps take none.
    pub fn directions<'a>(
        &self,
        tensors: &'a [Tensor],
        round: u32,
        iteration: u32,
        number: u32,
    ) -> Option<Directions<'a>> {
        Some(self.estimator.scalars()?.directions(tensors, self.at(round, iteration, number)))
    }

    /// The masks of an iteration of device `number`, its own whatever directions it takes: nobody replays them.
    pub(super) fn masks(&self, round: u32, iteration: u32, number: u32) -> Option<Masks> {
        self.dropout.masks(self.run_key, Iteration { round, number: iteration, device: number })
    }

    /// The name of an iteration of device `number`.
    pub(super) fn at(&self, round: u32, iteration: u32, number: u32) -> Iteration {
        Iteration { round, number: iteration, device: if self.seeds == Seeds::Own { number } else { 0 } }
    }

    fn steps(&self) -> u32 {
        match self.exchange {
            Exchange::PerIteration => 1,
            Exchange::PerEpoch { steps } => steps,
        }
    }
}

/// The paper's adapter: LoRA of rank 1 on the query and value layers of all blocks.
pub fn paper_adapter(geometry: &Geometry) -> AdapterSpec {
    AdapterSpec {
        kind: Kind::Lora,
        rank: 1,
        alpha: 1.0,
        targets: vec![Module::Q, Module::V],
        layers: 0..geometry.blocks,
        kept: Vec::new(),
        routing: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimator::Reverse;

    fn forward(sharing: Sharing, tangents: usize) -> AnyEstimator {
        AnyEstimator::Forward(Forward { family: Family::Gaussian, sharing, tangents, run_key: [1, 2] })
    }

    /// T13: scalars of an update. The frame around them is the transport's to count.
    #[test]
    fn updates_have_the_length_of_the_formula() {
        let mut terms = Terms::paper([1, 2], 25);
        let rules = Rules::new(terms).unwrap();
        assert_eq!((rules.examples(), rules.scalar_count(200), rules.scalar_count(193)), (200, 25, 25));
        assert_eq!(rules.scalar_count(192), 24);
        terms.estimator = forward(Sharing::PerExample, 4);
        let rules = Rules::new(terms).unwrap();
        assert_eq!((rules.scalar_count(200), rules.scalar_count(193)), (800, 772));
        terms.exchange = Exchange::PerIteration;
        let rules = Rules::new(terms).unwrap();
        assert_eq!((rules.examples(), rules.scalar_count(8), rules.scalar_count(5)), (8, 32, 20));
        terms.estimator = forward(Sharing::Shared, 4);
        let rules = Rules::new(terms).unwrap();
        assert_eq!((rules.scalar_count(8), rules.scalar_count(5)), (4, 4));
    }

    #[test]
    fn the_papers_preset_is_the_papers() {
        let smollm2 = Geometry {
            family: sprig_engine::model::Family::LLAMA,
            blocks: 30,
            width: 576,
            ffn: 1536,
            heads: 9,
            kv_heads: 3,
            head_dim: 64,
            rope_dims: 64,
            rope_base: 100_000.0,
            rope_scale: 1.0,
            window: None,
            score_scale: 0.125,
            norm_epsilon: 1e-5,
            vocabulary: 49_152,
            context: 8192,
        };
        let layout = crate::spry::Layout::new(&paper_adapter(&smollm2), &smollm2).unwrap();
        assert_eq!((layout.groups().len(), layout.len()), (60, 57_600));
        Rules::new(Terms::paper([1, 2], 25)).unwrap();
    }

    #[test]
    fn rules_that_make_no_sense_are_refused() {
        let paper = Terms::paper([1, 2], 25);
        let exact = AnyEstimator::Reverse(Reverse);
        Rules::new(Terms { estimator: exact, ..paper }).unwrap();
        let forward = |tangents| forward(Sharing::Shared, tangents);
        let yogi = |beta1: f32, tau: f32| ServerRule::Yogi { eta: 0.1, beta1, beta2: 0.9, tau };
        for (terms, setting) in [
            (Terms { batch: 0, ..paper }, Setting::Batch),
            (Terms { batch: 65_535, ..paper }, Setting::Batch),
            (Terms { exchange: Exchange::PerEpoch { steps: 0 }, ..paper }, Setting::LocalSteps),
            (Terms { exchange: Exchange::PerEpoch { steps: u32::MAX }, ..paper }, Setting::LocalSteps),
            (Terms { estimator: forward(0), ..paper }, Setting::Tangents),
            // What attention over a tile of keys has room for.
            (Terms { estimator: forward(65), ..paper }, Setting::Tangents),
            (Terms { estimator: exact, exchange: Exchange::PerIteration, ..paper }, Setting::Estimator),
            (Terms { lr: f32::NAN, ..paper }, Setting::Lr),
            (Terms { lr: 0.0, ..paper }, Setting::Lr),
            (Terms { local: Rule::Sgd { momentum: 1.0 }, ..paper }, Setting::Momentum),
            (Terms { server: yogi(1.0, 0.1), ..paper }, Setting::ServerBeta1),
            (Terms { server: yogi(0.9, 0.0), ..paper }, Setting::ServerTau),
            (Terms { server: ServerRule::Avg { eta: f32::INFINITY }, ..paper }, Setting::ServerEta),
        ] {
            let error = Rules::new(terms).unwrap_err();
            assert_eq!(error.setting, setting, "{error}");
            assert!(error.problem.starts_with("use "), "{error}");
        }
    }

    #[test]
    fn the_server_steps_shorter_from_round_to_round() {
        let terms = Terms { server: ServerRule::Avg { eta: 2.0 }, decay: 4, ..Terms::paper([1, 2], 1) };
        let rules = Rules::new(terms).unwrap();
        let etas = [0, 1, 3, 4, u32::MAX].map(|round| rules.server_at(round));
        assert_eq!(etas, [2.0, 1.5, 0.5, 0.5, 0.5].map(|eta| ServerRule::Avg { eta }));
        assert_eq!(Rules::new(Terms { decay: 0, ..terms }).unwrap().server_at(9), terms.server);
    }
}
