//! A study: a fleet on the real model in one process, from its settings to its learning curve.

use super::deal::{Skew, deal};
use super::fleet::{Choice, Device, Fleet, Turn};
use super::wire::Wire;
use crate::error::FleetError;
use crate::settings::{FleetSettings, Mode, Upload};
use serde::Serialize;
use sprig_budget::{Bytes, Plan};
use sprig_engine::adapter::AdapterSpec;
use sprig_engine::gguf::Mapped;
use sprig_engine::tokenizer::Tokenizer;
use sprig_learn::base::{Base, Data, Engine, Planned};
use sprig_learn::data::{DataSet, Examples};
use sprig_learn::evaluate::Evaluation;
use sprig_learn::optimiser::Rule;
use sprig_learn::planner::{Residency, Workload};
use sprig_learn::prefix::{Origin, PrefixCache};
use sprig_learn::spry::{Layout, LocalRound, Rules, Server};
use std::path::PathBuf;
use std::time::Instant;

/// Regions of the plan that a real device does not have.
pub(super) const OURS: [&str; 3] = ["messages of a round", "devices", "window of held-out activations"];

/// Most bytes on disk for the activations of one data set.
const PREFIX: Bytes = Bytes::mib(1024);

/// What is to be found out.
#[derive(Clone, Debug)]
pub struct Study {
    /// The fleet's settings; of `[rounds]`, the count, the devices of a round, the rounds between evaluations and what
    /// carries results down are looked at. Connection and ledger are not.
    pub settings: FleetSettings,
    /// Whether a local AdamW has the paper's constants.
    pub paper: bool,
    /// Devices.
    pub devices: u32,
    /// How the data are dealt; by labels with a Dirichlet parameter of 1 where there are labels, evenly elsewhere.
    pub skew: Option<Skew>,
    /// Records that are dealt to the devices.
    pub data: PathBuf,
    /// Records that the server's model is judged by.
    pub held_out: PathBuf,
    /// Folder for activations below the adapter; studies of the same data and lowest block share them.
    pub cache: PathBuf,
    /// Where the adapter goes in the end (GGUF LoRA).
    pub out: Option<PathBuf>,
}

/// Who looks on.
pub trait Follower {
    /// Whether to stop.
    fn stop(&self) -> bool;
    /// What is planned, before it is taken.
    fn planned(&mut self, plan: &Plan) -> Result<(), FleetError>;
    /// How the data were dealt.
    fn dealt(&mut self, dealt: &Dealt);
    /// Examples judged so far, of how many.
    fn judging(&mut self, done: usize, of: usize);
    /// A round is over, or an evaluation.
    fn point(&mut self, point: &Point);
}

/// How the data were dealt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Dealt {
    /// Devices that have examples, and take part.
    pub devices: u32,
    /// Devices left out, for there was nothing left for them.
    pub excluded: u32,
    /// Examples of the device that has the fewest.
    pub fewest: usize,
    /// Examples of the device that has the most.
    pub most: usize,
}

/// Where a study stands.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    /// Rounds done.
    pub round: u32,
    /// Tangents an example has had carried for it on a device that took part in every round: iterations times K.
    pub passes: u64,
    /// The server's model on the held-out data; none at the end of a round that is not evaluated.
    #[serde(flatten)]
    pub found: Option<Evaluation>,
    /// Mean loss in training: in this round, or at an evaluation since the last one.
    pub train_loss: Option<f64>,
    /// Bytes that a device sends in a round, on average so far.
    pub bytes_up_per_device_round: f64,
    /// Bytes that a device receives in a round, on average so far.
    pub bytes_down_per_device_round: f64,
    /// Seconds since the first round began, evaluations included.
    pub seconds: f64,
}

/// What was found out.
#[derive(Clone, Debug, Serialize)]
pub struct Findings {
    /// Devices that took part.
    pub devices: u32,
    /// Rounds done.
    pub rounds: u32,
    /// Whether somebody asked the study to stop before its last round.
    #[serde(skip)]
    pub stopped: bool,
    /// `per-iteration` or `per-epoch`.
    pub mode: Mode,
    /// Evaluation of the untouched model.
    pub before: Option<Evaluation>,
    /// The last evaluation.
    pub after: Option<Evaluation>,
    /// Seconds of rounds and evaluations.
    pub seconds: f64,
    /// SHA-256 of the adapter's weights, as a coordinator states it.
    pub adapter_digest: String,
    /// The budget.
    pub budget_bytes: Bytes,
}

/// What a study takes, planned.
pub(super) struct Opened {
    pub spec: AdapterSpec,
    pub rules: Rules,
    pub layout: Layout,
    pub planned: Planned,
}

impl Study {
    /// Carries it out.
    ///
    /// # Errors
    /// What a coordinator or a device of such a fleet would refuse as well, by who must act.
    pub fn run(&self, follow: &mut dyn Follower) -> Result<Findings, FleetError> {
        let model = &self.settings.model;
        let map = Mapped::open(&model.path).map_err(|e| FleetError::model(&model.path, e))?;
        let base = Base::open(&map)?;
        let train = &self.settings.train;
        base.check_length(train.len)?;
        let data = base.data(&self.data, Some(&self.held_out), train.load_options()?)?;
        let mut shards = deal(&data.train, self.devices as usize, self.skew, train.seed)?;
        shards.retain(|ids| !ids.is_empty());
        let opened = self.open(&base, &data, shards.len())?;
        follow.planned(&opened.planned.plan)?;
        follow.dealt(&Dealt {
            devices: shards.len() as u32,
            excluded: self.devices - shards.len() as u32,
            fewest: shards.iter().map(Vec::len).min().unwrap_or(0),
            most: shards.iter().map(Vec::len).max().unwrap_or(0),
        });
        let digest = map.digest_hex().map_err(|e| FleetError::model(&model.path, e))?;
        let engine = base.engine(&opened.planned)?;
        let devices = shards.iter().map(|ids| Device::new(Examples::some(&data.train, ids))).collect();
        let mut fleet = self.fleet(&base, &engine, &opened, &data, devices, &digest)?;
        let findings = self.rounds(&mut fleet, opened.planned.plan.budget, follow)?;
        if let Some(out) = &self.out {
            fleet.adapter.values_mut().copy_from_slice(fleet.server.values());
            fleet.adapter.write(out, "llama", &digest).map_err(|e| FleetError::model(out, e))?;
        }
        Ok(findings)
    }

    /// Plans a fleet of `devices` devices within the budget.
    pub(super) fn open(&self, base: &Base<'_>, data: &Data, devices: usize) -> Result<Opened, FleetError> {
        let FleetSettings { train, model, rounds, .. } = &self.settings;
        let (spec, rules) = (train.adapter(&base.geometry)?, self.rules()?);
        rules.check()?;
        let layout = Layout::new(&spec, &base.geometry)?;
        let per_round = (rounds.devices as usize).min(devices);
        let weights = if train.up == Upload::Weights { layout.len() } else { 0 };
        // An update, its message, its part of the round's record; an adapter on its way twice.
        let update = 3 * size_of::<f32>() * (rules.scalar_count(rules.examples()) + weights);
        let messages = per_round * update + 3 * size_of::<f32>() * 3 * layout.len();
        let mut work = data.measure(Workload {
            batch: train.batch,
            length: 0,
            tangents: train.tangents,
            adapter: Some(spec.clone()),
            frozen_rank: 0,
            frozen_bytes: Bytes::ZERO,
            rule: None,
            beside: vec![
                ("the fleet's adapter", Server::heap_bytes(&layout, &rules)),
                ("the round under way", LocalRound::heap_bytes(&layout, &rules)),
                (OURS[0], Bytes(messages as u64)),
                (OURS[1], Device::heap_bytes(devices, data.train.len())),
            ],
            candidates: None,
            threads: model.threads(),
            data: Bytes::ZERO,
            prefix: spec.layers.start > 0,
            residency: Residency::Auto,
            loading: Bytes(Tokenizer::load_bytes(&base.gguf)),
        });
        if work.prefix {
            let positions = work.batch * work.length;
            let window = PrefixCache::heap_bytes(work.length, base.geometry.width, positions, work.batch);
            work.beside.push((OURS[2], window));
        }
        let planned = base.plan(work, model.budget()?)?;
        Ok(Opened { spec, rules, layout, planned })
    }

    /// The fleet before its first round. `digest` is the model file's.
    pub(super) fn fleet<'m>(
        &self,
        base: &Base<'_>,
        engine: &'m Engine<'m>,
        opened: &'m Opened,
        data: &'m Data,
        devices: Vec<Device<'m>>,
        digest: &str,
    ) -> Result<Fleet<'m>, FleetError> {
        let Opened { spec, rules, layout, planned } = opened;
        let Some(held_out) = &data.held_out else {
            return Err(FleetError::Bug("a study without held-out data".to_owned()));
        };
        let blocks = spec.layers.start;
        let prefix = |name: &str, data: &DataSet| {
            let origin = Origin {
                model: digest,
                data: data.digest(),
                blocks,
                width: base.geometry.width,
                isa: engine.ctx.isa.name(),
            };
            let path = self.cache.join(format!("{name}-{blocks}.prefix"));
            (blocks > 0).then(|| PrefixCache::open(&path, PREFIX, &origin, planned.work.length))
        };
        let start = layout.initial(spec, &base.geometry, rules.forward.run_key);
        let settings = &self.settings;
        Ok(Fleet {
            session: engine.session(planned, prefix("train", &data.train))?,
            adapter: engine.adapter(spec, rules.forward.run_key)?,
            server: Server::new(layout.clone(), *rules, start)?,
            cut: planned.tuning.cut,
            devices,
            held_out,
            held_out_prefix: prefix("held-out", held_out),
            choice: Choice {
                per_round: settings.rounds.devices as usize,
                dealing: settings.train.dealing()?,
                seed: settings.train.seed,
                dense: settings.train.up == Upload::Weights,
            },
            wire: Wire::new(&settings.fleet.name, settings.rounds.down, &planned.plan)?,
        })
    }

    /// How updates are made and put together.
    fn rules(&self) -> Result<Rules, FleetError> {
        let rules = self.settings.train.rules()?;
        let paper = Rules::paper(rules.forward.run_key, 1).local;
        let adamw = matches!(rules.local, Rule::AdamW { .. });
        Ok(Rules { local: if self.paper && adamw { paper } else { rules.local }, ..rules })
    }

    fn rounds(
        &self,
        fleet: &mut Fleet<'_>,
        budget: Bytes,
        follow: &mut dyn Follower,
    ) -> Result<Findings, FleetError> {
        let (count, every) = (self.settings.rounds.count, self.settings.rounds.evaluate_every);
        let mut tracker = Tracker::new(fleet);
        let before = evaluate(fleet, follow)?;
        if before.is_some() {
            follow.point(&tracker.point(fleet, before));
        }
        let (mut after, mut stopped) = (before, before.is_none());
        while !stopped && tracker.round < count {
            let Some(turn) = fleet.round(tracker.round, &|| follow.stop())? else {
                stopped = true;
                break;
            };
            tracker.add(turn);
            follow.point(&tracker.point(fleet, None));
            let due = every > 0 && tracker.round.is_multiple_of(every) || tracker.round == count;
            if due {
                let found = evaluate(fleet, follow)?;
                stopped = found.is_none();
                if found.is_some() {
                    follow.point(&tracker.point(fleet, found));
                    (after, tracker.losses) = (found, (0.0, 0));
                }
            }
        }
        Ok(Findings {
            devices: fleet.devices.len() as u32,
            rounds: tracker.round,
            stopped,
            mode: self.settings.train.mode,
            before,
            after,
            seconds: tracker.began.elapsed().as_secs_f64(),
            adapter_digest: sprig_transport::messages::Digest(fleet.server.digest()).to_string(),
            budget_bytes: budget,
        })
    }
}

/// What adds up over rounds.
struct Tracker {
    round: u32,
    passes: u64,
    tangents: u64,
    /// Loss of the last round.
    loss: Option<f64>,
    /// Sum and number of the rounds' losses since the last evaluation.
    losses: (f64, u32),
    began: Instant,
}

impl Tracker {
    fn new(fleet: &Fleet<'_>) -> Self {
        let tangents = fleet.server.rules().forward.tangents as u64;
        Self { round: 0, passes: 0, tangents, loss: None, losses: (0.0, 0), began: Instant::now() }
    }

    fn add(&mut self, turn: Turn) {
        self.round += 1;
        self.passes += u64::from(turn.iterations) * self.tangents;
        self.loss = Some(turn.loss);
        self.losses = (self.losses.0 + turn.loss, self.losses.1 + 1);
    }

    fn point(&self, fleet: &Fleet<'_>, found: Option<Evaluation>) -> Point {
        let (sum, n) = self.losses;
        let mean = (n > 0).then(|| sum / f64::from(n));
        let (up, down) = fleet.wire.per_device_round();
        Point {
            round: self.round,
            passes: self.passes,
            found,
            train_loss: if found.is_some() { mean } else { self.loss },
            bytes_up_per_device_round: up,
            bytes_down_per_device_round: down,
            seconds: self.began.elapsed().as_secs_f64(),
        }
    }
}

fn evaluate(fleet: &mut Fleet<'_>, follow: &mut dyn Follower) -> Result<Option<Evaluation>, FleetError> {
    let of = fleet.held_out.len();
    fleet.evaluate(&mut |done| {
        follow.judging(done, of);
        !follow.stop()
    })
}
