//! The worker of a read-out: sums over all of the device's examples, once, and the fleet's total as it is announced.

use super::held::{WRITING, budget, outside};
use super::randomness::System;
use super::regions::regions;
use super::{Begun, Trained, Worker};
use sprig_budget::Bytes;
use sprig_engine::model::Geometry;
use sprig_ground::PathError;
use sprig_learn::LearnError;
use sprig_learn::data::DataSet;
use sprig_learn::minibatch::Minibatch;
use sprig_learn::objective::to_judge;
use sprig_learn::privacy::Epsilon;
use sprig_learn::readout::fleet::privacy::REFERENCE;
use sprig_learn::readout::fleet::{Flaw, FleetSums, Gatherer, Shape, gathering_needs, solving_needs};
use sprig_learn::session::Session;
use sprig_learn::workload::{Adapted, Means, Residency, Workload};
use sprig_protocol::FleetError;
use sprig_protocol::export::Export;
use sprig_protocol::settings::{DeviceSettings, SettingsError, Train};
use sprig_run::{Base, Data, Engine, Moved, Planned, Running, apart};
use sprig_transport::messages::{Body, Digest, Record, Snapshot, Task};
use std::path::Path;
use std::time::{Duration, Instant};

/// A device's part of a read-out, planned.
pub struct OpenedSums {
    /// What is trained.
    train: Train,
    /// What it takes.
    pub planned: Planned,
    shape: Shape,
    private: Option<Private>,
}

/// What noise is for, and the example that asks about [`REFERENCE`].
struct Private {
    epsilon: Epsilon,
    /// Devices that share the noise.
    sharers: u32,
    reference: DataSet,
}

/// What making the adapter of a fleet's sums and writing it takes beside a session, for a model of shape `g`; nothing of
/// the sort where rounds of steps make it.
pub(crate) fn making(
    train: &Train,
    g: &Geometry,
    threads: usize,
) -> Result<Vec<(&'static str, Bytes)>, FleetError> {
    let mut held = vec![("writing the adapter", WRITING)];
    if let Some(shape) = train.sums(g) {
        held.push(("the adapter to be written", Adapted::Made(train.adapter(g)?).sizes(g).1));
        held.extend(solving_needs(g, shape, threads));
    }
    Ok(held)
}

/// Sums as they grow.
pub struct SumsWorker<'m> {
    train: &'m Train,
    /// SHA-256 of the model's file, hexadecimal.
    model: String,
    engine: &'m Engine<'m>,
    session: Session<'m>,
    data: &'m DataSet,
    total: FleetSums,
    digest: Digest,
    round: u32,
    private: Option<&'m Private>,
    under_way: Option<UnderWay>,
    /// Most examples of a pass.
    batch: usize,
    /// Examples of one now.
    examples: usize,
    running: Running<'m>,
}

enum UnderWay {
    /// A pass over the examples.
    Reading { gatherer: Box<Gatherer>, done: usize, tokens: usize },
    /// Nothing: these sums, of so many examples, have their noise already.
    Drawn { examples: u32, packed: Vec<u8> },
}

impl OpenedSums {
    /// Plans one device's part of the read-out `train` within its budget.
    ///
    /// # Errors
    /// It has fewer examples than may be summed up, or no room.
    pub fn plan(
        base: &Base<'_>,
        (train, shape): (&Train, Shape),
        data: &Data,
        settings: &DeviceSettings,
    ) -> Result<Self, FleetError> {
        let (n, fewest) = (data.train.len(), train.readout.map_or(1, |set| set.min_examples.get()));
        if n < fewest as usize {
            let remedy = format!(
                "sums of fewer than {fewest} examples would tell too much of each, so this fleet takes none; add examples"
            );
            return Err(SettingsError::value("data", "train", format_args!("{n} examples"), remedy).into());
        }
        let g = &base.geometry;
        train.adapter(g)?;
        let means = Means { threads: settings.model.threads(), residency: Residency::Auto };
        let private = private(train, settings).map(|epsilon| {
            // Who asks for more than the fleet gives adds all of that by itself.
            let fleets = train.readout.and_then(|set| set.dp) == Some(epsilon);
            let sharers = if fleets { train.sharers() } else { 1 };
            let reference = base.about(REFERENCE, train.recipe().records.load_options())?;
            Ok::<_, FleetError>(Private { epsilon, sharers, reference })
        });
        let private = private.transpose()?;
        let (batch, judged) = (train.batch.as_usize(), to_judge(train.task, train.label_loss));
        let mut held_elsewhere = gathering_needs(g, shape, batch, private.is_some());
        if train.readout.is_some_and(|readout| readout.secure_aggregation) {
            held_elsewhere.push(under_veils(shape.numbers()));
        }
        held_elsewhere.extend(outside(settings));
        if settings.agent.adapter.is_some() {
            held_elsewhere.extend(making(train, g, means.threads)?);
        }
        let work = data.measure(Workload::evaluation(judged, Adapted::Plain, batch, means));
        let length = private.as_ref().map_or(0, |private| private.reference.longest()).max(work.length);
        let work = Workload { held_elsewhere, length, ..work };
        let (planned, train) = (base.plan(work, budget(settings)?, None)?, train.clone());
        Ok(Self { train, planned, shape, private })
    }

    /// What its sums get noise for, if they do.
    pub fn epsilon(&self) -> Option<Epsilon> {
        self.private.as_ref().map(|private| private.epsilon)
    }
}

impl<'m> SumsWorker<'m> {
    /// Brings the model, whose file has `digest`, into memory.
    pub fn new(
        base: &'m Base<'_>,
        engine: &'m Engine<'m>,
        opened: &'m OpenedSums,
        data: &'m DataSet,
        settings: &DeviceSettings,
        digest: &str,
    ) -> Result<Self, FleetError> {
        let OpenedSums { train, planned, shape, private } = opened;
        let total = FleetSums::new(*shape);
        Ok(Self {
            train,
            model: digest.to_owned(),
            engine,
            session: engine.session(planned, None)?,
            data,
            digest: Digest(total.digest()),
            total,
            round: 0,
            private: private.as_ref(),
            under_way: None,
            batch: planned.work.batch,
            examples: planned.tuning.cut.examples,
            running: Running::new(base, planned, !settings.agent.ignore_pressure)?,
        })
    }

    /// Tokens a second of a plain pass over some of the device's own examples.
    pub fn measure(&mut self) -> Result<f32, FleetError> {
        let mut best = f32::INFINITY;
        let ids: Vec<usize> = (0..self.data.len().min(self.examples)).collect();
        let batch = Minibatch::new(self.data, &ids);
        // The first pass brings weights and tables into memory.
        for _ in 0..2 {
            let start = Instant::now();
            self.fresh().take(&mut self.session, batch)?;
            best = best.min(start.elapsed().as_secs_f32());
        }
        Ok(batch.tokens() as f32 / best.max(1e-6))
    }

    /// The fleet's sums, as last announced.
    pub fn total(&self) -> &FleetSums {
        &self.total
    }

    fn trained(&self, (examples, tokens): (u32, usize), packed: Vec<u8>, quiet: bool) -> Trained {
        let memory = if quiet { [&examples.to_le_bytes()[..], &packed].concat() } else { Vec::new() };
        Trained {
            examples,
            tokens: tokens.try_into().unwrap_or(u32::MAX),
            loss: 0.0,
            body: Body::Dense { digest: Digest::of(&packed), bytes: packed.len() as u32 },
            bins: Vec::new(),
            dense: packed,
            memory,
            regions: regions(&self.running, &self.session),
            planned: self.running.plan().total().0,
            weights: self.running.plan().mapped().0,
            quiet,
            sharers: self.private.map_or(1, |private| private.sharers),
            spent: self.private.map(|private| private.epsilon.get()),
        }
    }

    fn fresh(&self) -> Gatherer {
        Gatherer::new(self.session.model().geometry(), self.total.shape(), self.batch)
    }
}

impl Worker for SumsWorker<'_> {
    fn round(&self) -> u32 {
        self.round
    }

    fn digest(&self) -> Digest {
        self.digest
    }

    fn replay(&mut self, record: &Record) -> Result<(), FleetError> {
        // Sums have no record but that of a round in which nobody sent any.
        self.round = record.round + 1;
        Ok(())
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<(), FleetError> {
        let wrong = |flaw: Flaw| LearnError::Settings(format!("the fleet's sums: {flaw}"));
        self.total = FleetSums::from_values(self.total.shape(), &snapshot.values).map_err(wrong)?;
        self.round = snapshot.round;
        self.digest = Digest(self.total.digest());
        Ok(())
    }

    fn begin(&mut self, task: &Task, memory: Option<&[u8]>) -> Result<Begun, FleetError> {
        if self.train.readout.is_some_and(|readout| readout.secure_aggregation) && task.word.is_empty() {
            let why =
                "the job says that sums are aggregated securely, and the task asks for them as they are";
            return Ok(Begun::Declined(why.to_owned()));
        }
        // What was drawn for this run goes out again, whatever came of it: a second draw would tell more.
        if let Some((&examples, packed)) = memory.and_then(<[u8]>::split_first_chunk) {
            let (examples, packed) = (u32::from_le_bytes(examples), packed.to_vec());
            self.under_way = Some(UnderWay::Drawn { examples, packed });
            return Ok(Begun::Part);
        }
        let mut gatherer = self.fresh();
        if let Some(Private { epsilon, reference, .. }) = self.private {
            gatherer = gatherer.private(*epsilon, &mut self.session, Minibatch::new(reference, &[0]))?;
        }
        self.under_way = Some(UnderWay::Reading { gatherer: Box::new(gatherer), done: 0, tokens: 0 });
        Ok(Begun::Part)
    }

    fn step(&mut self) -> Result<Option<Trained>, FleetError> {
        if let Some(UnderWay::Reading { gatherer, done, tokens }) = &mut self.under_way {
            let n = self.data.len();
            let ids: Vec<usize> = (*done..n.min(*done + self.examples)).collect();
            let batch = Minibatch::new(self.data, &ids);
            gatherer.take(&mut self.session, batch)?;
            *done += ids.len();
            *tokens += batch.tokens();
            if *done < n {
                return Ok(None);
            }
        }
        Ok(match self.under_way.take() {
            None => None,
            Some(UnderWay::Drawn { examples, packed }) => Some(self.trained((examples, 0), packed, true)),
            Some(UnderWay::Reading { gatherer, tokens, .. }) => {
                let none = PathError::at("draw random numbers from", Path::new("the system"));
                let examples = self.data.len().try_into().unwrap_or(u32::MAX);
                // Noise that many share is made into sums once it is together.
                let packed = match self.private.filter(|_| self.train.sharers() > 1) {
                    Some(private) => {
                        FleetSums::pack(&gatherer.finish_part(private.sharers, &mut System).map_err(none)?)
                    }
                    None => gatherer.finish(&mut System).map_err(none)?.packed(),
                };
                Some(self.trained((examples, tokens), packed, self.private.is_some()))
            }
        })
    }

    fn progress(&self) -> Option<(usize, usize)> {
        let Some(&UnderWay::Reading { done, .. }) = self.under_way.as_ref() else { return None };
        let n = self.data.len();
        // A line for each tenth.
        let tenth = |done: usize| 10 * done / n;
        (tenth(done) > tenth(done.saturating_sub(self.examples))).then_some((done, n))
    }

    fn look(&mut self, clock: Duration) -> Result<Option<Moved>, FleetError> {
        let moved = self.running.between_steps(clock, &mut self.session)?;
        if let Some(moved) = &moved {
            self.examples = moved.tuning.cut.examples;
        }
        Ok(moved)
    }

    fn abandon(&mut self) {
        self.under_way = None;
    }

    fn write(&mut self, out: &Path) -> Result<(), FleetError> {
        let Self { train, model, engine, data, total, .. } = self;
        let export =
            Export { train, geometry: engine.model.geometry(), model: model.as_str(), labels: data.labels() };
        let values = total.values();
        apart(|| {
            let mut adapter = engine.adapter(&train.adapter(export.geometry)?, train.rules().run_key)?;
            export.fill(&mut adapter, &values, &engine.model, &engine.ctx)?;
            export.write(&adapter, &values, out)
        })
    }
}

/// Numbers to be hidden: as they are, under veils, their veils, and as bytes.
pub(crate) fn under_veils(numbers: usize) -> (&'static str, Bytes) {
    ("numbers under veils", Bytes(4 * 8 * numbers as u64))
}

/// The most private of what fleet and device ask for.
fn private(train: &Train, settings: &DeviceSettings) -> Option<Epsilon> {
    let asked = [settings.data.dp, train.readout.and_then(|set| set.dp)];
    asked.into_iter().flatten().reduce(Epsilon::least)
}

#[cfg(test)]
#[path = "sums_noise_tests.rs"]
mod noise_tests;
#[cfg(test)]
#[path = "secure_tests.rs"]
mod secure_tests;
#[cfg(test)]
#[path = "sums_tests.rs"]
mod tests;
