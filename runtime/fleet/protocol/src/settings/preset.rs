//! What `[train]` leaves out: values that follow from others, or a whole algorithm by its name.

use super::{Preset, Server, SettingsError, TrainTable, Upload};
use sprig_engine::adapter::Kind;
use sprig_engine::model::Module;
use sprig_learn::directions::{Family, Sharing};
use sprig_learn::dropout::PAPER;
use sprig_learn::estimator::Method;
use sprig_learn::optimiser::Optimiser;
use sprig_learn::recipe::defaults::{self, FLEET};
use sprig_learn::recipe::{
    AdamW, Batch, Fraction, Layers, LocalSteps, NotNegative, Positive, Rank, Tangents, Targets,
};
use sprig_learn::spry::{Dealing, Mode, Seeds, ServerOptimiser};
use toml::{Table, Value};

impl TrainTable {
    /// This table with what it leaves out. `given` is the same as the file has it: what is not in there follows from the
    /// preset, or else from the mode, the local optimiser and the server's rule.
    pub(super) fn completed(&self, given: &Table) -> Result<Self, SettingsError> {
        let base = match self.preset {
            Some(preset) => Self::published(preset),
            None => {
                let Self { mode, estimator, adapter, dealing, seeds, .. } = self.steps(given);
                let chosen = given.get("server").is_some_and(|server| server.get("rule").is_some());
                let rule = if chosen { self.server.rule } else { defaults::server_rule(mode) };
                let secure = self.secure_aggregation;
                let up = match self.flow {
                    Some(_) => Upload::Weights,
                    None if secure && mode == Mode::PerEpoch => Upload::Weights,
                    None => Upload::usual(estimator, mode),
                };
                Self {
                    mode,
                    estimator,
                    adapter,
                    dealing,
                    seeds,
                    tangents: FLEET.tangents(estimator),
                    directions: match self.noise {
                        None if !secure || mode == Mode::PerEpoch => defaults::directions(estimator),
                        _ => Sharing::Shared,
                    },
                    lr: defaults::fleet_lr(mode, self.local_optimizer, estimator, adapter),
                    server: Server::of(rule),
                    up,
                    ..Self::default()
                }
            }
        };
        // Plain fields always have a form in TOML, and what was read once can be read again.
        let problem = |e: &dyn std::fmt::Display| SettingsError::Parse {
            path: "[train]".into(),
            problem: e.to_string().replace('\n', " "),
        };
        let mut table = Table::try_from(&base).map_err(|e| problem(&e))?;
        lay(&mut table, given);
        Ok(Self { preset: None, ..table.try_into().map_err(|e| problem(&e))? })
    }

    /// How devices step, what with and on which part. Under Flow, as far as the file does not say it, in steps of their own by
    /// exact gradients, with one first factor for both adapters, and each on all of them; on all of them too, and per iteration along
    /// the same directions, where what they send is aggregated securely.
    fn steps(&self, given: &Table) -> Self {
        let mut steps = self.clone();
        let free = |key| self.flow.is_some() && !given.contains_key(key);
        if free("mode") {
            steps.mode = Mode::PerEpoch;
        }
        if free("estimator") {
            steps.estimator = Method::Reverse;
        }
        if free("adapter") {
            steps.adapter = Kind::BOnly;
        }
        let adds_up = |key| self.secure_aggregation && !given.contains_key(key);
        if free("dealing") || adds_up("dealing") {
            steps.dealing = Dealing::Unsplit;
        }
        if adds_up("seeds") && steps.mode == Mode::PerIteration {
            steps.seeds = Seeds::Shared;
        }
        steps
    }

    fn published(preset: Preset) -> Self {
        let paper = Self::paper();
        match preset {
            Preset::Paper => paper,
            Preset::FedFgd => Self { dealing: Dealing::Unsplit, ..paper },
            Preset::FedMezo => paper.by_differences(Method::Mezo),
            Preset::Baffle => paper.by_differences(Method::Baffle),
            Preset::FwdLlm => paper.by_differences(Method::FwdLlm),
            Preset::FedAvg => {
                Self { server: Server::of(ServerOptimiser::Avg), ..paper.exact(Dealing::Unsplit) }
            }
            Preset::FedYogi => paper.exact(Dealing::Unsplit),
            Preset::FedAvgSplit => {
                Self { server: Server::of(ServerOptimiser::Avg), ..paper.exact(Dealing::Cyclic) }
            }
            Preset::FedYogiSplit => paper.exact(Dealing::Cyclic),
            Preset::FedSgd => Self {
                server: Server::of(ServerOptimiser::Avg),
                local_optimizer: Optimiser::Sgd,
                local_steps: LocalSteps::of::<1>(),
                ..paper.exact(Dealing::Unsplit)
            },
        }
    }

    /// The same by exact gradients of what `dealing` gives each device, which sends the weights they lead to.
    fn exact(self, dealing: Dealing) -> Self {
        Self { estimator: Method::Reverse, layers: Some(Layers::all()), dealing, up: Upload::Weights, ..self }
    }

    /// The same along directions of each device's own, which has all groups and steps by plain gradient descent; nothing is
    /// dropped between the sides of a difference.
    fn by_differences(self, estimator: Method) -> Self {
        Self {
            estimator,
            tangents: FLEET.tangents(estimator),
            seeds: Seeds::Own,
            local_optimizer: Optimiser::Sgd,
            dropout: defaults::DROPOUT,
            dealing: Dealing::Unsplit,
            ..self
        }
    }

    fn paper() -> Self {
        Self {
            mode: Mode::PerEpoch,
            batch: Batch::of::<8>(),
            tangents: Tangents::of::<1>(),
            adapter: Kind::Lora,
            rank: Rank::of::<1>(),
            alpha: Some(Positive::of(1.0)),
            targets: Targets::of(&[Module::Q, Module::V]),
            layers: None,
            family: Some(Family::Gaussian),
            directions: Sharing::Shared,
            dropout: PAPER,
            seeds: Seeds::Shared,
            local_optimizer: Optimiser::AdamW,
            adamw: AdamW {
                beta1: Fraction::of(0.9),
                beta2: Fraction::of(0.999),
                epsilon: Positive::of(1e-8),
                decay: NotNegative::of(0.01),
            },
            lr: Positive::of(1e-4),
            server: Server {
                rule: ServerOptimiser::Yogi,
                eta: Positive::of(1e-2),
                beta1: Fraction::of(0.9),
                beta2: Fraction::of(0.99),
                tau: Positive::of(1e-3),
                decay_rounds: 0,
                ..Server::of(ServerOptimiser::Yogi)
            },
            dealing: Dealing::Cyclic,
            up: Upload::Scalars, // replayed to the same weights
            ..Self::default()
        }
    }
}

/// Puts `over` on top of `table`, tables within it key by key.
fn lay(table: &mut Table, over: &Table) {
    for (key, value) in over {
        match (table.get_mut(key), value) {
            (Some(Value::Table(under)), Value::Table(over)) => lay(under, over),
            _ => drop(table.insert(key.clone(), value.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{JobSettings, Train};
    use sprig_engine::model::Geometry;
    use sprig_learn::directions::run_key;
    use sprig_learn::dropout::Dropout;
    use sprig_learn::estimator::{AnyEstimator, Differences, Reverse};
    use sprig_learn::optimiser::Rule;
    use sprig_learn::spry::{Exchange, Rules, ServerRule, Terms, paper_adapter};

    /// The `[train]` table of a file, as a coordinator takes it.
    fn train(text: &str) -> Train {
        let table: Table = format!("task = \"lm\"\n{text}").parse().unwrap();
        let train =
            Train::new(table.clone().try_into::<TrainTable>().unwrap().completed(&table).unwrap()).unwrap();
        // What travels says the same, with nothing left to the reader.
        let job = JobSettings::new("ab".repeat(32), train.clone());
        assert_eq!(JobSettings::from_text(&job.to_text()).unwrap().train, train);
        assert!(job.to_text().contains("\nlr = ") && job.to_text().contains("\neta = "), "{}", job.to_text());
        train
    }

    const SMOLLM2: Geometry = Geometry {
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

    #[test]
    fn the_preset_is_the_papers_algorithm() {
        let paper = train("preset = \"paper\"\nlocal_steps = 25\nseed = 7");
        assert_eq!(*paper.rules(), Terms::paper(run_key(7), 25));
        assert_eq!(paper.adapter(&SMOLLM2).unwrap(), paper_adapter(&SMOLLM2));
        assert_eq!(paper.dealing, Dealing::Cyclic);
    }

    /// The baselines differ from the paper's algorithm in what their names say.
    #[test]
    fn the_baselines_are_the_papers_but_for_their_estimator_and_split() {
        let paper = train("preset = \"paper\"\nseed = 7");
        let fedfgd = train("preset = \"fedfgd\"\nseed = 7");
        assert_eq!((fedfgd.rules(), fedfgd.dealing), (paper.rules(), Dealing::Unsplit));
        let of = |family, pairs, step| Differences { family, pairs, step, run_key: run_key(7) };
        let mezo = AnyEstimator::Differences(of(Family::Gaussian, 1, 1e-3));
        let baffle = AnyEstimator::Differences(of(Family::Gaussian, 10, 1e-4));
        for (name, estimator) in [("fedmezo", mezo), ("baffle", baffle)] {
            let found = train(&format!("preset = \"{name}\"\nseed = 7"));
            let (seeds, local) = (Seeds::Own, Rule::Sgd { momentum: 0.0 });
            let dropout = Dropout::NONE;
            assert_eq!(
                *found.rules(),
                Terms { estimator, seeds, local, dropout, ..*paper.rules() },
                "{name}"
            );
            assert_eq!(
                (found.dealing, found.adapter(&SMOLLM2).unwrap()),
                (Dealing::Unsplit, paper_adapter(&SMOLLM2))
            );
        }
        let fwdllm = train("preset = \"fwdllm\"\nvariance_limit = 5.5").rules();
        assert!(
            matches!(fwdllm.estimator, AnyEstimator::FwdLlm(found) if (found.pairs, found.step) == (10, 1e-2)
            && found.variance_limit == Some(5.5))
        );
        assert_eq!((fwdllm.dropout, paper.rules().dropout.p()), (Dropout::NONE, 6554.0 / 65536.0));
    }

    /// The baselines with exact gradients: the paper's, all blocks, by what their names say.
    #[test]
    fn the_exact_baselines_are_the_papers_but_for_gradients_and_split() {
        let paper = *train("preset = \"paper\"\nseed = 7").rules();
        let (avg, exact) = (ServerRule::Avg { eta: 1.0 }, AnyEstimator::Reverse(Reverse));
        for (name, server, dealing) in [
            ("fedavg", avg, Dealing::Unsplit),
            ("fedyogi", paper.server, Dealing::Unsplit),
            ("fedavg-split", avg, Dealing::Cyclic),
            ("fedyogi-split", paper.server, Dealing::Cyclic),
        ] {
            let found = train(&format!("preset = \"{name}\"\nseed = 7"));
            assert_eq!(*found.rules(), Terms { estimator: exact, server, ..paper }, "{name}");
            assert_eq!((found.dealing, found.up), (dealing, Upload::Weights));
            assert_eq!(found.adapter(&SMOLLM2).unwrap(), paper_adapter(&SMOLLM2));
        }
        let sgd = train("preset = \"fedsgd\"\nlr = 0.5\nseed = 7").rules();
        let (exchange, local) = (Exchange::PerEpoch { steps: 1 }, Rule::Sgd { momentum: 0.0 });
        assert_eq!(*sgd, Terms { estimator: exact, exchange, local, lr: 0.5, server: avg, ..paper });
    }

    #[test]
    fn keys_beside_a_preset_replace_single_values() {
        let text = "preset = \"paper\"\nlocal_steps = 25\nlr = 1e-3\nrank = 4\nserver = { eta = 0.5 }";
        let (found, paper) = (train(text), Terms::paper(run_key(0), 25));
        let ServerRule::Yogi { beta1, beta2, tau, .. } = paper.server else { panic!() };
        let server = ServerRule::Yogi { eta: 0.5, beta1, beta2, tau };
        assert_eq!(*found.rules(), Terms { lr: 1e-3, server, ..paper });
        assert_eq!(found.adapter(&SMOLLM2).unwrap().rank, 4);
        assert_eq!(found.adapter(&SMOLLM2).unwrap().alpha, 1.0);
    }

    #[test]
    fn what_is_left_out_follows_from_the_mode_and_the_rules() {
        let rules = |text: &str| -> Rules { train(text).rules() };
        let adam = ServerRule::Adam { eta: 0.05, beta1: 0.9, beta2: 0.99, tau: 1e-3 };
        let found = rules("");
        assert_eq!((found.exchange, found.lr, found.server), (Exchange::PerIteration, 1.0, adam));
        let found = rules("mode = \"per-epoch\"");
        assert_eq!((found.lr, found.server), (0.02, ServerRule::Avg { eta: 1.0 }));
        let found = rules("mode = \"per-epoch\"\nlocal_optimizer = \"sgd\"\nserver = { rule = \"adam\" }");
        assert_eq!((found.lr, found.local, found.server), (0.3, Rule::Sgd { momentum: 0.0 }, adam));
        let found = rules("mode = \"per-epoch\"\nlr = 0.5\nserver = { eta = 0.25 }\nadamw = { beta2 = 0.5 }");
        assert_eq!((found.lr, found.server), (0.5, ServerRule::Avg { eta: 0.25 }));
        assert!(matches!(found.local, Rule::AdamW { beta1: 0.9, beta2: 0.5, .. }));
        let exact = train("mode = \"per-epoch\"\nestimator = \"reverse\"\nadapter = \"lora\"");
        assert_eq!((exact.lr.get(), exact.up), (0.003, Upload::Weights));
        assert_eq!(train("estimator = \"reverse\"").up, Upload::Scalars);
        assert_eq!(rules("server = { rule = \"avg\" }").server, ServerRule::Avg { eta: 1.0 });
    }

    /// The table of Flow alone is a fleet that can run; what the file says beside it counts.
    #[test]
    fn flow_has_steps_that_it_can_take() {
        let found = train("[flow]");
        assert_eq!(
            (found.mode, found.estimator, found.adapter),
            (Mode::PerEpoch, Method::Reverse, Kind::BOnly)
        );
        assert_eq!((found.dealing, found.up), (Dealing::Unsplit, Upload::Weights));
        assert_eq!(found.rules().server, ServerRule::Avg { eta: 1.0 });
        let found = train("estimator = \"forward\"\nadapter = \"lora\"\n[flow]");
        assert_eq!(
            (found.estimator, found.adapter, found.up),
            (Method::Forward, Kind::Lora, Upload::Weights)
        );
    }

    /// A ledger refuses to go on under other settings, which it holds as this text. These are of the first release.
    #[test]
    fn the_text_of_a_job_stays_what_it_was() {
        for (name, file, job) in [
            ("plain", include_str!("golden/plain.toml"), include_str!("golden/plain.job.toml")),
            ("written", include_str!("golden/written.toml"), include_str!("golden/written.job.toml")),
            ("all", include_str!("golden/all.toml"), include_str!("golden/all.job.toml")),
            ("paper", include_str!("golden/paper.toml"), include_str!("golden/paper.job.toml")),
        ] {
            let table: Table = file.parse().unwrap();
            let completed = table.clone().try_into::<TrainTable>().unwrap().completed(&table).unwrap();
            let settings = JobSettings::new("ab".repeat(32), Train::new(completed).unwrap());
            assert_eq!(settings.to_text(), job, "{name}");
            assert_eq!(JobSettings::from_text(job).unwrap(), settings, "{name}");
        }
    }
}
