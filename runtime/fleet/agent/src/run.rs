//! The agent's life: reach the broker, learn what is trained, make ready for it, take part until it is over.

use super::model::{Opened, open_data};
use super::{Agent, AgentEvent, Identity, ModelWorker, OpenedSums, State, SumsWorker, Worker};
use sprig_budget::alloc;
use sprig_engine::gguf::Mapped;
use sprig_ground::PathError;
use sprig_learn::readout::fleet::privacy::DELTA;
use sprig_protocol::FleetError;
use sprig_protocol::settings::{DeviceSettings, JobSettings, SettingsError};
use sprig_run::{Base, Planned, let_go};
use sprig_transport::link::{Event, Link, LinkError};
use sprig_transport::messages::{Job, Presence, Round, RunId};
use sprig_transport::outbox::Outbox;
use sprig_transport::topics::{Topic, Topics};
use std::cell::RefCell;
use std::path::Path;
use std::time::{Duration, Instant};

/// Longest wait for the link before the agent looks around again: how soon an interrupt is noticed.
const GLANCE: Duration = Duration::from_millis(200);
/// Pause before the broker is asked for the job again.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most bytes of updates without a receipt.
const OUTBOX_LIMIT: u64 = 64 << 20;

/// How often somebody is told how far a pass over all examples is.
const TOLD: usize = 20;

/// How an agent's life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Somebody asked it to; nothing is lost.
    Interrupted,
    /// The run is over.
    Finished,
}

/// Where the agent runs.
pub struct Host<'a> {
    /// Its configuration.
    pub settings: &'a DeviceSettings,
    /// The connection; its will says that we are gone.
    pub link: &'a mut dyn Link,
    /// What [`absent`] was given.
    pub session: u64,
    /// Whether to stop.
    pub stop: &'a dyn Fn() -> bool,
    /// Whether the broker has let us in: from then on, a refusal is waited out.
    pub connected: bool,
}

impl Host<'_> {
    /// The next event of the link. Once it was let in, a refusal passes: the broker is being restarted or its rules are
    /// being changed.
    fn next(
        &mut self,
        wait: Duration,
        watch: &mut dyn FnMut(AgentEvent),
    ) -> Result<Option<Event>, FleetError> {
        match self.link.next(wait) {
            Err(e @ (LinkError::Refused { .. } | LinkError::Untrusted { .. })) if self.connected => {
                watch(AgentEvent::Disconnected { reason: e.to_string() });
                Ok(None)
            }
            other => {
                let event = other?;
                self.connected |= event == Some(Event::Connected);
                Ok(event)
            }
        }
    }
}

/// The last will: what the broker says for us when we are gone.
pub fn absent(session: u64) -> Presence {
    Presence {
        online: false,
        session,
        board: String::new(),
        software: String::new(),
        budget: 0,
        rate: 0.0,
        tangents: 0,
        examples: 0,
    }
}

/// Takes part in whatever the fleet trains, until it is over or somebody says stop.
pub fn run(host: &mut Host<'_>, watch: &mut dyn FnMut(AgentEvent)) -> Result<Ended, FleetError> {
    let settings = host.settings;
    let device = settings.fleet.device()?;
    let topics = settings.fleet.topics()?;
    let state = &settings.agent.state;
    std::fs::create_dir_all(state).map_err(PathError::at("make the folder", state))?;
    let mut outbox = Outbox::open(&state.join("outbox.redb"), OUTBOX_LIMIT)?;
    let map = Mapped::open(&settings.model.path)?;
    let found = map.digest_hex()?;
    host.link.subscribe(&topics.job())?;
    let (mut announced, mut over) = (None, None);
    loop {
        let job = match announced.take() {
            Some(job) => Some(job),
            None => next_job(host, &topics, over, watch)?,
        };
        let Some(job) = job else { return Ok(Ended::Interrupted) };
        let settings_of_job = JobSettings::from_text(&job.settings)?;
        if settings_of_job.model != found {
            let (path, wanted) = (settings.model.path.clone(), settings_of_job.model);
            return Err(FleetError::OtherModel { path, found, wanted });
        }
        watch(AgentEvent::Job { run: job.run.to_string() });
        let next = take_part(host, &map, &job, &settings_of_job, &mut outbox, watch)?;
        // Whoever is not ready to train is not there.
        host.link.publish(&topics.presence(&device), absent(host.session).encode(), true)?;
        match next {
            Next::Job(other) => announced = Some(other),
            Next::End(Ended::Finished) if settings.agent.stay => over = Some(job.run),
            Next::End(ended) => return Ok(ended),
        }
        let_go(&map)?;
    }
}

/// What follows a run that an agent took part in.
enum Next {
    /// Another one.
    Job(Job),
    /// Nothing, as yet.
    End(Ended),
}

/// Waits for the announcement of a run other than `over`.
fn next_job(
    host: &mut Host<'_>,
    topics: &Topics,
    over: Option<RunId>,
    watch: &mut dyn FnMut(AgentEvent),
) -> Result<Option<Job>, FleetError> {
    while !(host.stop)() {
        match host.next(GLANCE, watch)? {
            Some(Event::Message { topic, payload }) if topics.parse(&topic) == Some(Topic::Job) => {
                match Job::decode(&payload) {
                    Ok(job) if Some(job.run) == over => {} // the broker keeps it
                    Ok(job) => return Ok(Some(job)),
                    Err(e) => watch(AgentEvent::Dropped { topic, problem: e.to_string() }),
                }
            }
            Some(Event::Connected) => watch(AgentEvent::Connected),
            Some(Event::Disconnected(reason)) => watch(AgentEvent::Disconnected { reason }),
            _ => {}
        }
    }
    Ok(None)
}

/// One run from its announcement to its end.
fn take_part(
    host: &mut Host<'_>,
    map: &Mapped,
    job: &Job,
    what: &JobSettings,
    outbox: &mut Outbox,
    watch: &mut dyn FnMut(AgentEvent),
) -> Result<Next, FleetError> {
    let settings = host.settings;
    if let (Some(epsilon), None) = (settings.data.dp, what.train.readout) {
        let remedy = "this fleet trains in steps, and what devices send of those gets no noise; have its coordinator use \
                      [train.readout], or leave dp out";
        return Err(SettingsError::value("data", "dp", epsilon, remedy).into());
    }
    let base = Base::open(map)?;
    let data = open_data(&base, settings, &what.train)?;
    if data.train.cut() > 0 {
        let (texts, of, all) = (data.train.cut(), data.train.len(), data.train.len_for(1.0));
        watch(AgentEvent::Cut { texts, of, len: what.train.len.as_usize(), all });
    }
    let told = |planned: &Planned, watch: &mut dyn FnMut(AgentEvent)| {
        let (plan_bytes, budget_bytes) = (planned.plan.total().0, planned.plan.budget.0);
        watch(AgentEvent::Planned { plan_bytes, budget_bytes });
    };
    if let Some(shape) = what.train.sums(&base.geometry) {
        let opened = OpenedSums::plan(&base, (&what.train, shape), &data, settings)?;
        told(&opened.planned, watch);
        if let Some(epsilon) = opened.epsilon() {
            watch(AgentEvent::Noise { epsilon: epsilon.get(), delta: DELTA });
        }
        let engine = base.engine(&opened.planned)?;
        let mut worker = SumsWorker::new(&base, &engine, &opened, &data.train, settings)?;
        // How fast it reads its own examples says how long these are.
        let rate = if opened.epsilon().is_some() { 0.0 } else { worker.measure()? };
        let able = Able { rate, planned: &opened.planned, examples: data.train.len() };
        return join(host, job, (worker, able), outbox, watch);
    }
    let opened = Opened::plan(&base, &what.train, &data, settings)?;
    told(&opened.planned, watch);
    let engine = base.engine(&opened.planned)?;
    let mut worker = ModelWorker::new(&base, &engine, &opened, &data.train, settings, &what.model)?;
    let (of, mut told) = (data.train.len(), 0);
    let referred = worker.refer(|examples| {
        if examples == of || examples - told >= of.div_ceil(TOLD) {
            told = examples;
            watch(AgentEvent::Referred { examples, of });
        }
        !(host.stop)()
    })?;
    if !referred {
        return Ok(Next::End(Ended::Interrupted));
    }
    let able = Able { rate: worker.measure()?, planned: &opened.planned, examples: data.train.len() };
    join(host, job, (worker, able), outbox, watch)
}

/// What a device can do.
struct Able<'a> {
    rate: f32,
    planned: &'a Planned,
    examples: usize,
}

/// Says that the device is ready, and works.
fn join<W: Worker>(
    host: &mut Host<'_>,
    job: &Job,
    (worker, able): (W, Able<'_>),
    outbox: &mut Outbox,
    watch: &mut dyn FnMut(AgentEvent),
) -> Result<Next, FleetError> {
    let settings = host.settings;
    let Able { rate, planned, examples } = able;
    let root = Path::new("/");
    let here = match &settings.agent.board {
        None => sprig_device::detect(root),
        Some(name) => sprig_device::detect_as(root, name)
            .map_err(|e| SettingsError::value("agent", "board", name, e.to_string()))?,
    };
    let who = Identity {
        device: settings.fleet.device()?,
        topics: settings.fleet.topics()?,
        run: job.run,
        presence: Presence {
            online: true,
            session: host.session,
            board: here.board.name.clone(),
            software: env!("CARGO_PKG_VERSION").to_owned(),
            budget: planned.plan.budget.0,
            rate,
            // 0 says that it does not train; plain passes are such of one tangent here.
            tangents: planned.tuning.cut.tangents.clamp(1, 255) as u8,
            examples: examples as u32,
        },
        resend: settings.agent.resend_seconds.duration(),
    };
    let began = Instant::now();
    // The agent tells what happens to it, and so does this loop.
    let watch = RefCell::new(watch);
    let mut agent = Agent::new(who, worker, outbox, |event| (watch.borrow_mut())(event))?;
    agent.start(host.link)?;
    let next = follow(host, job, &mut agent, began, &watch)?;
    agent.leave(host.link)?;
    Ok(next)
}

/// Works until the run is over, another one is announced, or somebody says stop.
fn follow<W: Worker>(
    host: &mut Host<'_>,
    job: &Job,
    agent: &mut Agent<'_, W>,
    began: Instant,
    watch: &RefCell<&mut dyn FnMut(AgentEvent)>,
) -> Result<Next, FleetError> {
    let topics = host.settings.fleet.topics()?;
    let mut asked: Option<Instant> = None;
    loop {
        if (host.stop)() {
            return Ok(Next::End(Ended::Interrupted));
        }
        let mut wait = if agent.state() == State::Busy { Duration::ZERO } else { GLANCE };
        while let Some(event) = host.next(wait, &mut |event| (watch.borrow_mut())(event))? {
            wait = Duration::ZERO;
            if let Event::Message { topic, payload } = &event {
                match topics.parse(topic) {
                    Some(Topic::Job) => match Job::decode(payload) {
                        Ok(other) if other != *job => return Ok(Next::Job(other)),
                        _ => continue,
                    },
                    // Of a run whose announcement went past us, or of an earlier one: the broker keeps the last job.
                    Some(Topic::Round)
                        if Round::decode(payload).is_ok_and(|round| round.run != job.run)
                            && asked.is_none_or(|at| at.elapsed() >= PATIENCE) =>
                    {
                        asked = Some(Instant::now());
                        host.link.unsubscribe(&topics.job())?;
                        host.link.subscribe(&topics.job())?;
                    }
                    _ => {}
                }
            }
            agent.on(event, host.link, began.elapsed())?;
        }
        alloc::check()?;
        agent.work(host.link, || began.elapsed())?;
        if agent.state() == State::Finished {
            return Ok(Next::End(Ended::Finished));
        }
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
