//! A study: a fleet on the real model in one process, from its settings to its learning curve.

use super::attack::{Attack, Liars};
use super::course::{Course, Dealt, Findings, Follower};
use super::deal::{Skew, deal};
use super::fleet::{Choice, Device, Fleet};
use super::personal::{Shard, split};
use super::wire::{OURS, Wire};
use sprig_budget::{Bytes, Size};
use sprig_coordinator::norms::Norms;
use sprig_coordinator::select::Deal;
use sprig_engine::adapter::{AdapterMeta, AdapterSpec};
use sprig_engine::gguf::Mapped;
use sprig_learn::LearnError;
use sprig_learn::data::{DataSet, Examples, LoadOptions, Overflow};
use sprig_learn::estimator::Estimator;
use sprig_learn::objective::references_bytes;
use sprig_learn::prefix::PrefixCache;
use sprig_learn::spry::{Layout, LocalRound, Rules, Server};
use sprig_learn::workload::{Means, Residency, Workload};
use sprig_protocol::settings::{FleetSettings, Mode, SettingsError};
use sprig_protocol::{FleetError, limits};
use sprig_run::{Base, Data, Engine, Planned};
use std::path::PathBuf;

/// Most bytes on disk for the activations of one data set.
const PREFIX: Bytes = Bytes::mib(1024);

/// What is to be found out.
#[derive(Clone, Debug)]
pub struct Study {
    /// The fleet's settings; of `[rounds]`, the count, the devices of a round, the rounds between evaluations and what
    /// carries results down are looked at. Connection and ledger are not.
    pub settings: FleetSettings,
    /// Devices.
    pub devices: u32,
    /// How the data are dealt; by labels with a Dirichlet parameter of 1 where there are labels, evenly elsewhere.
    pub skew: Option<Skew>,
    /// Records that are dealt to the devices.
    pub data: PathBuf,
    /// Records that the server's model is evaluated on.
    pub held_out: PathBuf,
    /// Whether a fifth of each device's data is set aside to evaluate the server's model and the devices' own on; per epoch
    /// only, for an iteration leaves a device no model of its own.
    pub personal: bool,
    /// Folder for activations below the adapter, which studies of the same data and lowest block share, and for examples that
    /// are more than memory should hold.
    pub cache: PathBuf,
    /// How many devices lie, and how.
    pub liars: Option<(u32, Attack)>,
    /// Where the adapter goes in the end (GGUF LoRA).
    pub out: Option<PathBuf>,
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
        let map = Mapped::open(&model.path)?;
        let base = Base::open(&map)?;
        let train = &self.settings.train;
        if self.personal && train.mode == Mode::PerIteration {
            let problem =
                "an iteration leaves a device no model of its own to evaluate; use mode = \"per-epoch\"";
            return Err(LearnError::Settings(problem.to_owned()).into());
        }
        let budget = sprig_run::budget(model.budget, None)?;
        let data = base.data(&[&self.data], &[&self.held_out], self.options(), budget)?;
        let mut dealt = deal(&data.train, self.devices as usize, self.skew, train.seed)?;
        dealt.retain(|ids| !ids.is_empty());
        let shard = |mut ids: Vec<usize>| {
            let test = if self.personal { split(&mut ids, train.seed) } else { Vec::new() };
            Shard { train: ids, test }
        };
        let shards: Vec<Shard> = dealt.into_iter().map(shard).collect();
        if let Some(sums) = train.readout.zip(train.sums(&base.geometry)) {
            return self.read_out((&base, &map), sums, &data, shards, follow);
        }
        let sizes = || shards.iter().map(|shard| shard.train.len());
        let opened = self.open(&base, &data, shards.len())?;
        follow.planned(&opened.planned.plan)?;
        follow.dealt(&Dealt {
            devices: shards.len() as u32,
            excluded: self.devices - shards.len() as u32,
            fewest: sizes().min().unwrap_or(0),
            most: sizes().max().unwrap_or(0),
        });
        let digest = map.digest_hex()?;
        let engine = base.engine(&opened.planned)?;
        let (set, rules) = (&data.train, train.rules());
        let devices = shards.iter().map(|s| {
            let device = Device::new(Examples::some(set, &s.train), train.guard()).tested(s.test(set));
            let noise = train.noise.map(|set| set.visits(set.dp, s.train.len(), &rules)).transpose()?;
            Ok(device.noised(noise))
        });
        let devices = devices.collect::<Result<Vec<_>, FleetError>>()?;
        let mut fleet = self.fleet(&engine, &opened, &data, devices, &digest)?;
        let course = Course::new(&mut fleet, follow, self.personal);
        let findings = course.run(&self.settings.rounds, train.mode, opened.planned.plan.budget)?;
        if let Some(out) = &self.out {
            fleet.adapter.values_mut().copy_from_slice(fleet.server.values());
            let asking = Some(train.recipe().records.load_options().asking(data.train.labels()));
            let meta = AdapterMeta { asking, ..AdapterMeta::of(&base.geometry, &digest) };
            fleet.adapter.write(out, &meta)?;
        }
        Ok(findings)
    }

    /// How the data are read: as a device reads its own, and what memory should not hold goes beside the activations.
    pub(super) fn options(&self) -> LoadOptions {
        let overflow = Some(Overflow::into(&self.cache));
        LoadOptions { overflow, ..self.settings.train.recipe().records.load_options() }
    }

    /// Plans a fleet of `devices` devices within the budget.
    pub(super) fn open(&self, base: &Base<'_>, data: &Data, devices: usize) -> Result<Opened, FleetError> {
        let FleetSettings { train, model, rounds, .. } = &self.settings;
        if train.flow.is_some() {
            let problem = "Flow is simulated where it is asked for; use --flow, or leave the table out";
            return Err(SettingsError::value("train", "flow", "a table", problem).into());
        }
        let (spec, rules) = (train.adapter(&base.geometry)?, train.rules());
        let layout = Layout::new(&spec, &base.geometry)?;
        limits::check(train, &layout)?;
        let per_round = (rounds.devices.as_usize()).min(devices);
        let weights = if train.up.takes_weights(&rules) { layout.len() } else { 0 };
        // An update, its message, its part of the round's record; an adapter on its way twice.
        let update = 3 * size_of::<f32>() * (rules.sent_count(rules.examples()) + weights);
        // With teams, what each device of one changes, of the largest share that there is: of everything, at most.
        let teams =
            if train.server.robust.has_teams() { per_round * layout.len() * size_of::<f32>() } else { 0 };
        // The best adapter so far, and once more as it comes back.
        let best = if rounds.gate { 2 * size_of::<f32>() * 3 * layout.len() } else { 0 };
        let messages = per_round * update + 3 * size_of::<f32>() * 3 * layout.len() + teams + best;
        let mut held_elsewhere = vec![
            ("the fleet's adapter", Server::heap_bytes(&layout, &rules)),
            ("the round under way", LocalRound::heap_bytes(&layout, &rules)),
            (OURS[0], Bytes(messages as u64)),
            (OURS[1], Device::heap_bytes(devices, data.train.len(), layout.groups().len())),
        ];
        let means = Means { threads: model.threads(), residency: Residency::Auto };
        let objective = train.recipe().objective();
        let (batch, needs) = (train.batch.as_usize(), rules.estimator.needs());
        if train.recipe().preference().is_some() {
            let losses = batch * needs.tangents.max(1);
            let bytes = references_bytes(data.train.len(), losses, data.candidates());
            held_elsewhere.push(("what preferences are measured against", bytes));
        }
        let work =
            Workload::training(objective, spec.clone(), batch, needs, None, means).under(rules.dropout);
        let mut work = data.measure(Workload { held_elsewhere, ..work });
        if work.prefix {
            let positions = work.batch * work.length;
            let window = PrefixCache::heap_bytes(work.length, base.geometry.width, positions, work.batch);
            work.held_elsewhere.push((OURS[2], window));
        }
        let planned = base.plan(work, sprig_run::budget(model.budget, None)?, None)?;
        Ok(Opened { spec, rules, layout, planned })
    }

    /// The fleet before its first round. `digest` is the model file's.
    pub(super) fn fleet<'m>(
        &self,
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
            let path = self.cache.join(format!("{name}-{blocks}.prefix"));
            engine.prefix(&path, Size::Bytes(PREFIX), digest, data, planned)
        };
        let start = layout.initial(spec, engine.model.geometry(), rules.run_key);
        let settings = &self.settings;
        let robust = settings.train.server.robust;
        let count = devices.len() as u32;
        let liars = self.liars.map(|(n, attack)| Liars::new(attack, n, count, settings.train.seed));
        Ok(Fleet {
            norms: Norms::default(),
            liars,
            session: engine.session(planned, prefix("train", &data.train))?,
            adapter: engine.adapter(spec, rules.run_key)?,
            server: Server::new(layout.clone(), *rules, start)?,
            cut: planned.tuning.cut,
            devices,
            held_out,
            held_out_prefix: prefix("held-out", held_out),
            preference: settings.train.recipe().preference(),
            judged: settings.train.recipe().judged(),
            choice: Choice {
                per_round: settings.rounds.devices.as_usize(),
                deal: Deal {
                    dealing: settings.train.dealing,
                    groups: layout.groups().len(),
                    team: if robust.has_teams() { settings.train.server.holders.as_usize() } else { 1 },
                    seed: settings.train.seed,
                },
                robust,
                up: settings.train.up,
                secure: settings.train.is_secure(),
            },
            weights: settings.train.weights(settings.coordinator.lam, settings.coordinator.sft_weight),
            wire: Wire::new(&settings.fleet.name, settings.rounds.down, &planned.plan)?,
        })
    }
}
