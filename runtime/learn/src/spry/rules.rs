//! What all parties of a run must agree on to reach the same bits.

use crate::directions::{Directions, Family, Sharing};
use crate::error::LearnError;
use crate::estimator::Forward;
use crate::optimiser::Rule;
use crate::spry::ServerRule;
use serde::{Deserialize, Serialize};
use sprig_engine::adapter::{AdapterSpec, Kind, Tensor};
use sprig_engine::model::{Geometry, Module};

/// Settings of a fleet's run that decide its result, assignment and data excepted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// What a round is.
    pub exchange: Exchange,
    /// Examples of one iteration of a device.
    pub batch: usize,
    /// Estimator.
    pub forward: Forward,
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

/// What a device does in a round, and what its scalars mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exchange {
    /// One batch; the scalars are its gradient.
    PerIteration,
    /// Local optimiser steps from fresh state; the scalars of all of them travel, and the path is replayed.
    PerEpoch {
        /// Steps, at least 1.
        steps: u32,
    },
}

/// Whose directions a device takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Seeds {
    /// Each device its own, so that M̃ holders of a group cut its noise by M̃ (specification 6.3).
    Own,
    /// All devices the same (the paper's).
    Shared,
}

/// Most examples of an iteration: a direction names its example by 16 bits, and one number means the whole batch.
const MAX_BATCH: usize = 0xFFFE;
/// Most directions an example.
const MAX_TANGENTS: usize = 0xFFFF;

impl Rules {
    /// The paper's algorithm on the server's defaults of its authors' library; `steps` make an epoch. With the adapter
    /// of [`paper_adapter`] and [`Dealing::Cyclic`](super::Dealing::Cyclic).
    pub fn paper(run_key: [u32; 2], steps: u32) -> Self {
        Self {
            exchange: Exchange::PerEpoch { steps },
            batch: 8,
            forward: Forward { family: Family::Gaussian, sharing: Sharing::Shared, tangents: 1, run_key },
            seeds: Seeds::Shared,
            local: Rule::AdamW { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay: 0.01 },
            lr: 1e-4,
            server: ServerRule::Yogi { eta: 1e-2, beta1: 0.9, beta2: 0.99, tau: 1e-3 },
            decay: 0,
        }
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

    /// Scalars of an update behind which are `examples` examples.
    pub fn scalar_count(&self, examples: u32) -> usize {
        let lists = match self.forward.sharing {
            Sharing::PerExample => examples,
            Sharing::Shared => self.iterations(examples),
        };
        lists as usize * self.forward.tangents
    }

    /// Scalars of one full iteration.
    pub(super) fn scalars_per_iteration(&self) -> usize {
        match self.forward.sharing {
            Sharing::PerExample => self.batch * self.forward.tangents,
            Sharing::Shared => self.forward.tangents,
        }
    }

    /// The directions of device `number` over the `tensors` of its part.
    pub fn directions<'a>(
        &self,
        tensors: &'a [Tensor],
        round: u32,
        iteration: u32,
        number: u32,
    ) -> Directions<'a> {
        let device = if self.seeds == Seeds::Own { number } else { 0 };
        self.forward.directions_of(tensors, round, iteration, device)
    }

    /// Whether these rules make sense. Everything else here relies on it.
    ///
    /// # Errors
    /// [`LearnError::Settings`], naming the setting and its limits.
    pub fn check(&self) -> Result<(), LearnError> {
        let decay = |beta: f32| (0.0..1.0).contains(&beta);
        let positive = |v: f32| v.is_finite() && v > 0.0;
        let local = match self.local {
            Rule::Sgd { momentum } => decay(momentum),
            Rule::AdamW { beta1, beta2, epsilon, decay: weight } => {
                decay(beta1) && decay(beta2) && positive(epsilon) && weight.is_finite() && weight >= 0.0
            }
        };
        let server = match self.server {
            ServerRule::Avg { eta } => positive(eta),
            ServerRule::Adam { eta, beta1, beta2, tau } | ServerRule::Yogi { eta, beta1, beta2, tau } => {
                positive(eta) && decay(beta1) && decay(beta2) && positive(tau)
            }
        };
        let limits = [
            ((1..=MAX_BATCH).contains(&self.batch), "batch", "1 to 65534"),
            ((1..=MAX_TANGENTS).contains(&self.forward.tangents), "tangents", "1 to 65535"),
            (self.steps() > 0, "steps", "at least 1"),
            (
                self.batch as u64 * u64::from(self.steps()) <= u64::from(u32::MAX),
                "steps",
                "fewer examples a round",
            ),
            (positive(self.lr), "lr", "a positive number"),
            (local, "local", "decays from 0 to below 1, a positive epsilon, a weight decay of 0 or more"),
            (server, "server", "decays from 0 to below 1, a positive eta and tau"),
        ];
        match limits.iter().find(|(right, ..)| !right) {
            None => Ok(()),
            Some((_, name, limit)) => {
                Err(LearnError::Settings(format!("rules of the fleet: {name} must be {limit}")))
            }
        }
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T13: scalars of an update. The frame around them is the transport's to count.
    #[test]
    fn updates_have_the_length_of_the_formula() {
        let mut rules = Rules::paper([1, 2], 25);
        assert_eq!((rules.examples(), rules.scalar_count(200), rules.scalar_count(193)), (200, 25, 25));
        assert_eq!(rules.scalar_count(192), 24);
        (rules.forward.sharing, rules.forward.tangents) = (Sharing::PerExample, 4);
        assert_eq!((rules.scalar_count(200), rules.scalar_count(193)), (800, 772));
        rules.exchange = Exchange::PerIteration;
        assert_eq!((rules.examples(), rules.scalar_count(8), rules.scalar_count(5)), (8, 32, 20));
        rules.forward.sharing = Sharing::Shared;
        assert_eq!((rules.scalar_count(8), rules.scalar_count(5)), (4, 4));
    }

    #[test]
    fn the_papers_preset_is_the_papers() {
        let smollm2 = Geometry {
            blocks: 30,
            width: 576,
            ffn: 1536,
            heads: 9,
            kv_heads: 3,
            head_dim: 64,
            rope_dims: 64,
            rope_base: 100_000.0,
            rope_scale: 1.0,
            norm_epsilon: 1e-5,
            vocabulary: 49_152,
            context: 8192,
        };
        let layout = crate::spry::Layout::new(&paper_adapter(&smollm2), &smollm2).unwrap();
        assert_eq!((layout.groups().len(), layout.len()), (60, 57_600));
        Rules::paper([1, 2], 25).check().unwrap();
    }

    #[test]
    fn rules_that_make_no_sense_are_refused() {
        let paper = Rules::paper([1, 2], 25);
        let forward = |tangents: usize| Forward { tangents, ..paper.forward };
        let yogi = |beta1: f32, tau: f32| ServerRule::Yogi { eta: 0.1, beta1, beta2: 0.9, tau };
        for (rules, name) in [
            (Rules { batch: 0, ..paper }, "batch"),
            (Rules { batch: 65_535, ..paper }, "batch"),
            (Rules { exchange: Exchange::PerEpoch { steps: 0 }, ..paper }, "steps"),
            (Rules { exchange: Exchange::PerEpoch { steps: u32::MAX }, ..paper }, "steps"),
            (Rules { forward: forward(0), ..paper }, "tangents"),
            (Rules { forward: forward(1 << 16), ..paper }, "tangents"),
            (Rules { lr: f32::NAN, ..paper }, "lr"),
            (Rules { lr: 0.0, ..paper }, "lr"),
            (Rules { local: Rule::Sgd { momentum: 1.0 }, ..paper }, "local"),
            (Rules { server: yogi(1.0, 0.1), ..paper }, "server"),
            (Rules { server: yogi(0.9, 0.0), ..paper }, "server"),
            (Rules { server: ServerRule::Avg { eta: f32::INFINITY }, ..paper }, "server"),
        ] {
            let error = rules.check().unwrap_err().to_string();
            assert!(error.contains(&format!(": {name} must be")), "{error}");
        }
    }

    #[test]
    fn the_server_steps_shorter_from_round_to_round() {
        let rules = Rules { server: ServerRule::Avg { eta: 2.0 }, decay: 4, ..Rules::paper([1, 2], 1) };
        let etas = [0, 1, 3, 4, u32::MAX].map(|round| rules.server_at(round));
        assert_eq!(etas, [2.0, 1.5, 0.5, 0.5, 0.5].map(|eta| ServerRule::Avg { eta }));
        assert_eq!(Rules { decay: 0, ..rules }.server_at(9), rules.server);
    }
}
