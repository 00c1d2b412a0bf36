//! A study of a read-out: every device sends its sums once, and what their total makes of the model is evaluated.

use super::course::{Dealt, Findings, Follower, Point};
use super::personal::Shard;
use super::rows::{KeptRows, Origin};
use super::study::Study;
use super::wire::{OURS, Sent, Wire};
use sprig_budget::{Bytes, alloc};
use sprig_coordinator::{DeviceNumber, RoundId, select, total};
use sprig_engine::adapter::Adapter;
use sprig_engine::gguf::Mapped;
use sprig_ground::random::mix;
use sprig_learn::LearnError;
use sprig_learn::data::DataSet;
use sprig_learn::evaluate::{Evaluation, evaluate};
use sprig_learn::minibatch::Minibatch;
use sprig_learn::privacy::{Epsilon, Foreseeable};
use sprig_learn::readout::fleet::privacy::{REFERENCE, Reference, settle};
use sprig_learn::readout::fleet::{FleetSums, Gatherer, Shape, gathering_needs, solving_needs};
use sprig_learn::session::Session;
use sprig_learn::spry::Robust;
use sprig_learn::workload::{Adapted, Means, Residency, Workload};
use sprig_protocol::FleetError;
use sprig_protocol::export::Export;
use sprig_protocol::settings::{ReadOut, fewest_members};
use sprig_run::{Base, Data, Engine, Planned};
use sprig_transport::messages::{Body, Digest, GroupSet, Update};
use std::io;
use std::time::Instant;

/// What every device of a read-out sums up.
#[derive(Clone, Copy)]
struct Sums<'a> {
    shape: Shape,
    /// What noise is for, and the example that asks about [`REFERENCE`].
    private: Option<(Epsilon, &'a DataSet)>,
    /// Devices that share the noise; 1 where each adds all of it.
    sharers: u32,
}

/// Sums of which each has a part of the noise, added up.
#[derive(Default)]
struct Parts {
    total: Vec<i64>,
    examples: u64,
    /// What all devices measure from, and what their noise together is for.
    of: Option<(Reference, Epsilon)>,
}

/// A read-out under way.
struct ReadOutCourse<'a, 'm> {
    study: &'a Study,
    sums: Sums<'a>,
    data: &'a Data,
    shards: &'a [Shard],
    engine: &'m Engine<'m>,
    session: Session<'m>,
    /// What the last block makes of the examples, if it is kept.
    rows: Option<KeptRows>,
    adapter: Adapter,
    export: Export<'a>,
    wire: Wire,
    /// Examples of a pass, and of a batch of the settings.
    examples: (usize, usize),
    total: FleetSums,
    /// Examples that each device has given.
    given: Vec<u64>,
    /// Plain passes of a batch that a device's work was worth so far.
    passes: f64,
    began: Instant,
}

impl Study {
    /// Carries a read-out out.
    pub(super) fn read_out(
        &self,
        (base, map): (&Base<'_>, &Mapped),
        (readout, shape): (ReadOut, Shape),
        data: &Data,
        mut shards: Vec<Shard>,
        follow: &mut dyn Follower,
    ) -> Result<Findings, FleetError> {
        if self.personal || self.liars.is_some() {
            let problem = "devices of a read-out train no model of their own and tell no lies here; leave --personal, --liars \
                           and --attack out";
            return Err(LearnError::Settings(problem.to_owned()).into());
        }
        let fewest = readout.min_examples.get() as usize;
        shards.retain(|shard| shard.train.len() >= fewest);
        if shards.is_empty() {
            let problem = format!(
                "no device has {fewest} examples, and sums of fewer are not sent; use fewer --devices or a smaller \
                 readout.min_examples"
            );
            return Err(LearnError::Settings(problem).into());
        }
        let reference = readout.dp.map(|_| base.about(REFERENCE, self.options())).transpose()?;
        let sharers = self.settings.train.sharers();
        let sums = Sums { shape, private: readout.dp.zip(reference.as_ref()), sharers };
        let (here, needed) =
            (shards.len().min(self.settings.rounds.devices.as_usize()), fewest_members(sharers));
        if self.settings.train.is_secure() && here < needed as usize {
            let problem = format!(
                "{here} devices of a round, and {needed} are needed to hide among; use more --devices"
            );
            return Err(LearnError::Settings(problem).into());
        }
        let planned = self.plan_sums(base, sums, data)?;
        follow.planned(&planned.plan)?;
        let sizes = || shards.iter().map(|shard| shard.train.len());
        follow.dealt(&Dealt {
            devices: shards.len() as u32,
            excluded: self.devices - shards.len() as u32,
            fewest: sizes().min().unwrap_or(0),
            most: sizes().max().unwrap_or(0),
        });
        let (digest, train) = (map.digest_hex()?, &self.settings.train);
        let engine = base.engine(&planned)?;
        let labels = data.train.labels();
        let mut course = ReadOutCourse {
            study: self,
            sums,
            data,
            shards: &shards,
            engine: &engine,
            session: engine.session(&planned, None)?,
            rows: self.rows(&engine, &digest, &data.train)?,
            adapter: engine.adapter(&train.adapter(&base.geometry)?, train.rules().run_key)?,
            export: Export { train, geometry: &base.geometry, model: &digest, labels },
            wire: Wire::new(&self.settings.fleet.name, self.settings.rounds.down, &planned.plan)?,
            examples: (planned.tuning.cut.examples, train.batch.as_usize()),
            total: FleetSums::new(shape),
            given: vec![0; shards.len()],
            passes: 0.0,
            began: Instant::now(),
        };
        course.run(planned.plan.budget, follow)
    }

    /// Rows of `data` that an earlier study has kept, or room for them.
    fn rows(&self, engine: &Engine<'_>, model: &str, data: &DataSet) -> Result<Option<KeptRows>, FleetError> {
        let g = engine.model.geometry();
        let of = Origin {
            model,
            data: data.digest(),
            isa: engine.ctx.isa,
            examples: data.len(),
            numbers: [g.ffn, g.width],
        };
        Ok(KeptRows::open(&self.cache.join("train.rows"), &of)?)
    }

    /// Plans one device's sums and what is made of all.
    fn plan_sums(&self, base: &Base<'_>, sums: Sums<'_>, data: &Data) -> Result<Planned, FleetError> {
        let (train, model, g) = (&self.settings.train, &self.settings.model, &base.geometry);
        let (batch, shape) = (train.batch.as_usize(), sums.shape);
        let means = Means { threads: model.threads(), residency: Residency::Auto };
        let mut held_elsewhere = gathering_needs(g, shape, batch, sums.private.is_some());
        held_elsewhere.extend(solving_needs(g, shape, means.threads));
        let messages = 2 * size_of::<f32>() * shape.values();
        held_elsewhere.push((OURS[0], Bytes(messages as u64)));
        held_elsewhere.push((OURS[1], Bytes((2 * data.train.len() * size_of::<usize>()) as u64)));
        let adapted = Adapted::Made(train.adapter(g)?);
        let work = data.measure(Workload::evaluation(train.recipe().judged(), adapted, batch, means));
        let length = sums.private.map_or(0, |(_, reference)| reference.longest()).max(work.length);
        let work = Workload { held_elsewhere, length, ..work };
        Ok(base.plan(work, sprig_run::budget(model.budget, None)?, None)?)
    }
}

impl ReadOutCourse<'_, '_> {
    /// All rounds in which somebody has something to give.
    fn run(&mut self, budget: Bytes, follow: &mut dyn Follower) -> Result<Findings, FleetError> {
        let rounds = &self.study.settings.rounds;
        let before = self.evaluate(0, follow)?;
        let (mut after, mut round) = (None, 0);
        let mut stopped = before.is_none();
        while !stopped && round < rounds.count.get() && self.is_open() {
            stopped = !self.round(round, follow)?;
            if stopped {
                break;
            }
            round += 1;
            follow.point(&self.point(round, None));
            let last = round == rounds.count.get() || !self.is_open();
            if rounds.evaluate_every.between(round) || last {
                let found = self.evaluate(round, follow)?;
                stopped = found.is_none();
                after = found.or(after);
            }
        }
        if let Some(out) = self.study.out.as_ref().filter(|_| self.total.examples() > 0) {
            // A stopped study may not have evaluated its last round.
            let (values, engine) = (self.total.values(), self.engine);
            self.export.fill(&mut self.adapter, &values, &engine.model, &engine.ctx)?;
            self.export.write(&self.adapter, &values, out)?;
        }
        Ok(Findings {
            devices: self.shards.len() as u32,
            rounds: round,
            reverted: 0,
            stopped,
            mode: "readout",
            before,
            after,
            seconds: self.began.elapsed().as_secs_f64(),
            adapter_digest: Digest(self.total.digest()).to_string(),
            coverage: self.given.iter().map(|&n| vec![n]).collect(),
            budget_bytes: budget,
        })
    }

    /// Whether as many devices as a round needs have given nothing yet.
    fn is_open(&self) -> bool {
        let train = &self.study.settings.train;
        let needed = if train.is_secure() { fewest_members(train.sharers()) as usize } else { 1 };
        self.given.iter().filter(|&&n| n == 0).count() >= needed
    }

    /// Adds the sums of devices that have given none; false when somebody says stop.
    fn round(&mut self, round: u32, follow: &dyn Follower) -> Result<bool, FleetError> {
        let (base, settings) = (Digest(self.total.digest()), &self.study.settings);
        let open = (0..self.given.len()).filter(|&at| self.given[at] == 0).map(DeviceNumber::at).collect();
        let most = settings.rounds.devices.as_usize();
        let chosen = select::choose(open, most, settings.train.seed, RoundId(round), 0);
        let places: Vec<usize> = chosen.iter().filter_map(|number| number.place()).collect();
        let said = places.iter().map(|&at| self.shards[at].train.len() as u64);
        let said = said.chain(self.given.iter().copied().filter(|&n| n > 0)).collect();
        let robust = settings.train.server.robust;
        let most = if robust == Robust::None { u64::MAX } else { total::most(said) };
        let (mut sent, mut parts) = (Vec::with_capacity(chosen.len()), Parts::default());
        for at in places {
            let (number, examples) = (at as u32 + 1, self.shards[at].train.len());
            let Some(gatherer) = self.device(at, follow)? else { return Ok(false) };
            let dense = self.add(gatherer, (at, most), &mut parts)?;
            sent.push(self.message(round, base, (number, examples), dense));
            self.given[at] = examples as u64;
            self.passes += examples.div_ceil(self.examples.1) as f64 / chosen.len() as f64;
            alloc::check()?;
        }
        if let Some((reference, epsilon)) = &parts.of {
            let settled = settle((self.sums.shape, &parts.total), parts.examples, reference, *epsilon);
            self.total
                .merge(&settled.map_err(|flaw| FleetError::Bug(format!("a total of parts: {flaw}")))?)?;
        }
        let after = Digest(self.total.digest());
        let brought = self.wire.snapshot(round, after, self.total.values(), Vec::new());
        self.wire.count((round, base), &sent, &brought);
        Ok(true)
    }

    /// What one device sums up; `None` when somebody says stop.
    fn device(&mut self, at: usize, follow: &dyn Follower) -> Result<Option<Gatherer>, FleetError> {
        let Sums { shape, private, .. } = self.sums;
        let mut gatherer = Gatherer::new(self.export.geometry, shape, self.examples.0);
        if let Some((epsilon, reference)) = private {
            gatherer = gatherer.private(epsilon, &mut self.session, Minibatch::new(reference, &[0]))?;
        }
        for ids in self.shards[at].train.chunks(self.examples.0) {
            let batch = Minibatch::new(&self.data.train, ids);
            match &mut self.rows {
                Some(kept) if kept.are_complete() => {
                    gatherer
                        .take_read(&self.session, batch, |rows| Ok::<_, FleetError>(kept.read(ids, rows)?))?;
                }
                kept => {
                    gatherer.take(&mut self.session, batch)?;
                    kept.iter_mut().try_for_each(|kept| kept.write(ids, gatherer.rows()))?;
                }
            }
            if follow.stop() {
                return Ok(None);
            }
        }
        Ok(Some(gatherer))
    }

    /// Adds the sums of the device at `at`, of which `most` examples count, to the total, or to `parts` where they have a part of
    /// the noise; as they would be packed.
    fn add(
        &mut self,
        gatherer: Gatherer,
        (at, most): (usize, u64),
        parts: &mut Parts,
    ) -> Result<Vec<u8>, FleetError> {
        let train = &self.study.settings.train;
        let mut source = Foreseeable::new(train.seed ^ mix(at as u64 + 1));
        let bug = |e: io::Error| FleetError::Bug(e.to_string());
        if let Some((epsilon, _)) = self.sums.private.filter(|_| self.sums.sharers > 1) {
            parts.of = gatherer.reference().cloned().map(|reference| (reference, epsilon));
            let numbers = gatherer.finish_part(self.sums.sharers, &mut source).map_err(bug)?;
            parts.add(&numbers, self.shards[at].train.len());
            return Ok(FleetSums::pack(&numbers));
        }
        let mut own = gatherer.finish(&mut source).map_err(bug)?;
        let packed = own.packed();
        // Nobody's hidden sums can be cut.
        own.cut(if train.is_secure() { u64::MAX } else { most });
        self.total.merge(&own)?;
        Ok(packed)
    }

    /// What a device sends: `dense`, or where it hides that, as many numbers under veils.
    fn message(&self, round: u32, base: Digest, (number, examples): (u32, usize), dense: Vec<u8>) -> Sent {
        let secure = self.study.settings.train.is_secure();
        let dense = if secure { vec![0; total::veiled_bytes(self.sums.shape.numbers())] } else { dense };
        let update = Update {
            run: self.wire.run(),
            round,
            number,
            groups: GroupSet { first: 0, step: 1, count: 1 },
            base,
            examples: examples as u32,
            loss: 0.0,
            bins: Vec::new(),
            body: Body::Dense { digest: Digest::of(&dense), bytes: dense.len() as u32 },
        };
        Sent { update, dense, norm: 0.0 }
    }

    /// Evaluates what the total makes of the model, which nothing makes as it is; `None` when somebody says stop.
    fn evaluate(&mut self, round: u32, follow: &mut dyn Follower) -> Result<Option<Evaluation>, FleetError> {
        let Some(held_out) = &self.data.held_out else {
            return Err(FleetError::Bug("a study without held-out data".to_owned()));
        };
        let Self { engine, adapter, session, export, total, .. } = self;
        let learnt = total.examples() > 0;
        if learnt {
            export.fill(adapter, &total.values(), &engine.model, &engine.ctx)?;
        }
        let found = evaluate(session, learnt.then_some(&*adapter), held_out, self.examples.0, |done| {
            follow.evaluating(done, held_out.len());
            !follow.stop()
        })?;
        if found.is_some() {
            follow.point(&self.point(round, found));
        }
        Ok(found)
    }

    fn point(&self, round: u32, found: Option<Evaluation>) -> Point {
        let (up, down) = self.wire.per_device_round();
        Point {
            round,
            passes: self.passes,
            found,
            acc_g: None,
            acc_p: None,
            calibration: None,
            train_loss: None,
            bytes_up_per_device_round: up,
            bytes_down_per_device_round: down,
            seconds: self.began.elapsed().as_secs_f64(),
        }
    }
}

impl Parts {
    /// Adds those of a device.
    fn add(&mut self, numbers: &[i64], examples: usize) {
        self.total.resize(numbers.len(), 0);
        self.total.iter_mut().zip(numbers).for_each(|(sum, number)| *sum += number);
        self.examples += examples as u64;
    }
}
