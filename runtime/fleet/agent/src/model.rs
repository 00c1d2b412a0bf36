//! The worker that trains the real model: one device's session, its copy of the fleet's adapter and the round under way.

use super::held::{WRITING, budget, following, metrics};
use super::private::{Answer, Private};
use super::regions::regions;
use super::sums::under_veils;
use super::{Begun, Trained, Worker};
use sprig_budget::Bytes;
use sprig_engine::adapter::{Adapter, AdapterSpec};
use sprig_learn::calibration::Bins;
use sprig_learn::data::{DataSet, LoadOptions, Overflow};
use sprig_learn::estimator::{Cut, Estimator};
use sprig_learn::flow::{self, FlowRound, FlowRules};
use sprig_learn::guard::Guard;
use sprig_learn::minibatch::Minibatch;
use sprig_learn::objective::{Preference, prefer, references_bytes};
use sprig_learn::outcome::Outcome;
use sprig_learn::privacy::Epsilon;
use sprig_learn::readout::fleet::FleetSums;
use sprig_learn::session::Session;
use sprig_learn::spry::{self, Assignment, Layout, LocalRound, LocalUpdate, Rules, Server, integers};
use sprig_learn::workload::{Means, Residency, Workload};
use sprig_protocol::export::Export;
use sprig_protocol::settings::{DeviceSettings, SettingsError, Train, Upload};
use sprig_protocol::{FleetError, dense, limits, share_of};
use sprig_run::{Base, Data, Engine, Moved, Planned, Running, apart};
use sprig_transport::messages::{Body, Digest, Record, Snapshot, Task};
use std::path::Path;
use std::time::{Duration, Instant};

/// A device's work on a run, planned.
pub struct Opened {
    /// What is trained.
    train: Train,
    /// The adapter.
    pub spec: AdapterSpec,
    /// What a device and the coordinator do in a round.
    pub rules: Rules,
    /// What it takes.
    pub planned: Planned,
    layout: Layout,
    /// What it does beyond that where it has two adapters.
    flow: Option<FlowRules>,
    preference: Option<Preference>,
    /// What it spends of its records, if its scalars get noise.
    private: Option<Private>,
    up: Upload,
    /// Judge of the first round's derivatives.
    guard: Guard,
}

impl Opened {
    /// Plans one device's part of `train` within its budget.
    pub fn plan(
        base: &Base<'_>,
        train: &Train,
        data: &Data,
        settings: &DeviceSettings,
    ) -> Result<Self, FleetError> {
        let g = &base.geometry;
        let (spec, rules) = (train.trained(g)?, train.rules());
        let layout = Layout::new(&spec, g)?;
        limits::check(train, &layout)?;
        let private = Private::of(train, settings, data.train.len())?;
        let flow = train.flow.map(|_| train.flow()).transpose().map_err(SettingsError::from)?;
        let round = match &flow {
            None => LocalRound::heap_bytes(&layout, &rules),
            Some(flow) => flow::fleet::heap_bytes(&layout, (&rules, flow), spec.sizes(g).0, data.train.len()),
        };
        let mut held_elsewhere = vec![("the round under way", round)];
        held_elsewhere.extend(following(&layout, &rules));
        let pieces = dense::heap_bytes(&rules, train.up);
        if pieces > Bytes::ZERO {
            held_elsewhere.push(("scalars in pieces", pieces));
        }
        if train.secure_aggregation {
            held_elsewhere.push(under_veils(integers(&rules, layout.len())));
        }
        if private.is_some() {
            held_elsewhere.push(("what was told last", Private::heap_bytes(&rules)));
        }
        held_elsewhere.extend(metrics(settings));
        if settings.agent.adapter.is_some() {
            held_elsewhere.push(("writing the adapter", WRITING));
        }
        let means = Means { threads: settings.model.threads(), residency: Residency::Auto };
        let objective = train.recipe().objective();
        let preference = train.recipe().preference();
        let needs = flow.map_or_else(|| rules.estimator.needs(), |flow| flow.needs(spec.blocks().len()));
        let batch = train.batch.as_usize();
        if preference.is_some() {
            let losses = batch * needs.tangents.max(1);
            let bytes = references_bytes(data.train.len(), losses, data.candidates());
            held_elsewhere.push(("what preferences are measured against", bytes));
        }
        let work =
            Workload::training(objective, spec.clone(), batch, needs, None, means).under(rules.dropout);
        let work = Workload { held_elsewhere, ..work };
        let planned = base.plan(data.measure(work), budget(settings)?, None)?;
        let (up, guard, train) = (train.up, train.guard(), train.clone());
        Ok(Self { train, spec, rules, planned, layout, flow, preference, private, up, guard })
    }

    /// What the run spends of this device's records, if its scalars get noise.
    pub fn epsilon(&self) -> Option<Epsilon> {
        self.private.as_ref().map(Private::epsilon)
    }
}

/// The learner of a device.
pub struct ModelWorker<'m> {
    train: &'m Train,
    /// SHA-256 of the model's file, hexadecimal.
    model: String,
    session: Session<'m>,
    adapter: Adapter,
    data: &'m DataSet,
    server: Server,
    round: u32,
    digest: Digest,
    guard: Guard,
    flow: Option<FlowRules>,
    /// What is learnt of pairs, until it is known what it is measured against.
    preference: Option<Preference>,
    private: Option<Private>,
    /// The task that the part is of.
    task: Option<Task>,
    part: Option<Part<'m>>,
    cut: Cut,
    up: Upload,
    running: Running<'m>,
}

/// A round under way.
enum Part<'m> {
    /// Of one adapter.
    Spry(Box<LocalRound<'m>>),
    /// Of two and their routers.
    Flow(Box<FlowRound<'m>>),
    /// What was said of this round already.
    Again(LocalUpdate),
}

impl<'m> ModelWorker<'m> {
    /// Brings model and adapter into memory. `digest` is the model file's.
    pub fn new(
        base: &'m Base<'_>,
        engine: &'m Engine<'m>,
        opened: &'m Opened,
        data: &'m DataSet,
        settings: &DeviceSettings,
        digest: &str,
    ) -> Result<Self, FleetError> {
        let Opened { train, spec, rules, planned, layout, flow, preference, private, up, guard } = opened;
        let adapter = engine.adapter(spec, rules.run_key)?;
        let start = layout.initial(spec, &base.geometry, rules.run_key);
        let server = Server::new(layout.clone(), *rules, start)?;
        let (state, limit) = (&settings.agent.state, settings.agent.prefix_cache);
        let prefix = engine.prefix(&state.join("prefix"), limit, digest, data, planned);
        Ok(Self {
            train,
            model: digest.to_owned(),
            session: engine.session(planned, prefix)?,
            digest: Digest(server.digest()),
            adapter,
            data,
            server,
            round: 0,
            guard: guard.clone(),
            flow: *flow,
            preference: preference.clone(),
            private: private.clone(),
            task: None,
            part: None,
            cut: planned.tuning.cut,
            up: *up,
            running: Running::new(base, planned, !settings.agent.ignore_pressure)?,
        })
    }

    /// Measures what a preference is measured against: what the untouched model, which the adapter is before it follows the
    /// fleet, gives both answers of each of the device's own examples. `progress` gets the number of examples done; false
    /// when it says stop.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn refer(&mut self, progress: impl FnMut(usize) -> bool) -> Result<bool, FleetError> {
        let Some(preference) = self.preference.take() else { return Ok(true) };
        let data = (self.data, self.cut.examples);
        Ok(prefer(&mut self.session, &self.adapter, data, preference, progress)?)
    }

    /// Tokens a second of a plain forward pass over some of the device's own examples.
    pub fn measure(&mut self) -> Result<f32, FleetError> {
        let ids: Vec<usize> = (0..self.data.len().min(self.cut.examples)).collect();
        let tokens = Minibatch::new(self.data, &ids).tokens();
        let mut outcomes = vec![Outcome::default(); ids.len()];
        let mut best = f32::INFINITY;
        // The first pass brings weights and tables into memory.
        for _ in 0..2 {
            let start = Instant::now();
            let batch = Minibatch::new(self.data, &ids);
            self.session.run(Some(&self.adapter), None, batch, &mut outcomes, &mut [])?;
            best = best.min(start.elapsed().as_secs_f32());
        }
        Ok(tokens as f32 / best.max(1e-6))
    }

    /// Takes a step of the round; what it came to after the last.
    fn advance(&mut self) -> Result<Option<LocalUpdate>, FleetError> {
        let Self { session, adapter, cut, guard, .. } = self;
        match &mut self.part {
            None | Some(Part::Again(_)) => {}
            Some(Part::Spry(round)) => {
                round.step(session, adapter, *cut, guard)?;
                let (done, all) = round.progress();
                if done < all {
                    return Ok(None);
                }
            }
            Some(Part::Flow(round)) => {
                round.step(session, adapter, *cut, guard)?;
                let (done, all) = round.progress();
                if done < all {
                    return Ok(None);
                }
            }
        }
        Ok(match self.part.take() {
            Some(Part::Spry(round)) => Some(round.finish()),
            Some(Part::Flow(round)) => Some(flow::fleet::finish(&round, adapter)),
            Some(Part::Again(update)) => Some(update),
            None => None,
        })
    }

    /// The update in whole numbers, which are to be hidden; what else it says of the examples is left out.
    fn hidden(&self, update: &mut LocalUpdate, task: &Task) -> Result<(Body, Vec<u8>), FleetError> {
        (update.loss, update.bins) = (0.0, None);
        let base = self.server.part(share_of(task.groups));
        let dense = FleetSums::pack(&update.integers(self.server.rules(), &base)?);
        Ok((Body::Dense { digest: Digest::of(&dense), bytes: dense.len() as u32 }, dense))
    }

    fn follow(&mut self, moved: Option<Moved>) -> Option<Moved> {
        self.cut = moved.as_ref().map_or(self.cut, |moved| moved.tuning.cut);
        moved
    }
}

impl Worker for ModelWorker<'_> {
    fn round(&self) -> u32 {
        self.round
    }

    fn digest(&self) -> Digest {
        self.digest
    }

    fn replay(&mut self, record: &Record) -> Result<(), FleetError> {
        let mut step = self.server.begin(record.round);
        for c in &record.contributions {
            // One the coordinator left out as well is none the less part of the record.
            step.add(c.number, share_of(c.groups), c.examples, spry::Body::Scalars(&c.scalars)).ok();
        }
        step.finish();
        self.round = record.round + 1;
        self.digest = Digest(self.server.digest());
        Ok(())
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<(), FleetError> {
        self.server.restore(snapshot.values.clone(), snapshot.moments.clone())?;
        self.round = snapshot.round;
        self.digest = Digest(self.server.digest());
        Ok(())
    }

    fn begin(&mut self, task: &Task, memory: Option<&[u8]>) -> Result<Begun, FleetError> {
        if self.preference.is_some() {
            return Err(FleetError::Bug("a preference that is measured against nothing".to_owned()));
        }
        if self.train.secure_aggregation && task.word.is_empty() {
            let why = "the job says that updates are aggregated securely, and the task asks for one as it is";
            return Ok(Begun::Declined(why.to_owned()));
        }
        let noise = match (&mut self.private, memory) {
            (None, memory) => {
                if let Some(guard) = memory.and_then(|m| serde_json::from_slice(m).ok()) {
                    self.guard = guard;
                }
                None
            }
            (Some(private), memory) => {
                memory.into_iter().for_each(|memory| private.remember(memory));
                match private.answer(task) {
                    Answer::Trains(noise) => Some(noise),
                    Answer::Declines(why) => return Ok(Begun::Declined(why)),
                    Answer::Again(update) => {
                        (self.part, self.task) = (Some(Part::Again(update)), Some(task.clone()));
                        return Ok(Begun::Part);
                    }
                }
            }
        };
        let assignment = Assignment { round: task.round, number: task.number, share: share_of(task.groups) };
        let Self { server, adapter, data, .. } = self;
        self.part = Some(match self.flow {
            None => {
                let round = LocalRound::new(server, adapter, *data, assignment)?;
                Part::Spry(Box::new(match noise {
                    Some(noise) => round.noised(noise),
                    None => round,
                }))
            }
            Some(rules) => {
                Part::Flow(Box::new(flow::fleet::begin(rules, server, adapter, data, assignment)?))
            }
        });
        self.task = Some(task.clone());
        Ok(Begun::Part)
    }

    fn step(&mut self) -> Result<Option<Trained>, FleetError> {
        let Some(mut update) = self.advance()? else { return Ok(None) };
        let task = self.task.take();
        if let (Some(private), Some(task)) = (&mut self.private, &task) {
            private.tell(task, &mut update);
        }
        let private = self.private.as_ref();
        let (body, dense) = match task.filter(|_| self.train.secure_aggregation) {
            Some(task) => self.hidden(&mut update, &task)?,
            None => dense::body(&mut update, self.up),
        };
        Ok(Some(Trained {
            examples: update.examples,
            tokens: update.tokens.try_into().unwrap_or(u32::MAX),
            loss: update.loss as f32,
            body,
            bins: update.bins.as_ref().map(Bins::rows).unwrap_or_default(),
            dense,
            // Plain numbers always have a form in JSON.
            memory: private
                .map_or_else(|| serde_json::to_vec(&self.guard).unwrap_or_default(), Private::memory),
            regions: regions(&self.running, &self.session),
            planned: self.running.plan().total().0,
            weights: self.running.plan().mapped().0,
            quiet: private.is_some(),
            sharers: private.map_or(1, Private::sharers),
            spent: private.map(Private::spent),
        }))
    }

    fn look(&mut self, clock: Duration) -> Result<Option<Moved>, FleetError> {
        let moved = self.running.between_steps(clock, &mut self.session)?;
        Ok(self.follow(moved))
    }

    fn abandon(&mut self) {
        self.part = None;
    }

    fn write(&mut self, out: &Path) -> Result<(), FleetError> {
        let Self { train, model, session, adapter, data, server, .. } = self;
        // What a part left in it; the next one begins with the fleet's numbers anyway.
        adapter.set_shared(server.values());
        let geometry = session.model().geometry();
        let labels = if train.labels.is_empty() { None } else { data.labels() };
        let export = Export { train, geometry, model: model.as_str(), labels };
        apart(|| export.write(adapter, server.values(), out))
    }
}

/// Reads the device's own records, as far as its budget has room for them beside `held` bytes.
pub(crate) fn open_data(
    base: &Base<'_>,
    settings: &DeviceSettings,
    train: &Train,
    held: Bytes,
) -> Result<Data, FleetError> {
    let room = Bytes(budget(settings)?.0.saturating_sub(held.0));
    let overflow = Some(Overflow::into(&settings.agent.state));
    let options = LoadOptions { overflow, ..train.recipe().records.load_options() };
    Ok(base.data(&[&settings.data.train], &[], options, room)?)
}

#[cfg(test)]
#[path = "model_tests.rs"]
pub(super) mod tests;
