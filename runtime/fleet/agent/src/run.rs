//! The agent's life: reach the broker, learn what is trained, make ready for it, take part until it is over.

use super::announced::{Behind, Found, look, next_job};
use super::host::{GLANCE, Host};
use super::keeping::Keeper;
use super::late::{Late, OpenedLate};
use super::model::Opened;
use super::note::Note;
use super::stock::{Lookout, Stamp, Stock, stocked};
use super::told::Told;
use super::{Agent, AgentEvent, Identity, ModelWorker, OpenedSums, State, SumsWorker, Worker};
use sprig_budget::alloc;
use sprig_engine::gguf::Mapped;
use sprig_ground::PathError;
use sprig_learn::readout::fleet::privacy::DELTA;
use sprig_protocol::FleetError;
use sprig_protocol::settings::{JobSettings, SettingsError};
use sprig_run::{Base, Planned, let_go};
use sprig_transport::link::Event;
use sprig_transport::messages::{Job, Phase, Presence, Round};
use sprig_transport::outbox::Outbox;
use sprig_transport::topics::{Topic, Topics};
use std::cell::RefCell;
use std::time::{Duration, Instant};

/// Longest wait while an update goes out: as much of it as the link holds at once, so often, is 26 MB/s.
const HURRY: Duration = Duration::from_millis(10);
/// Pause before the broker is asked for the job again.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most bytes of updates without a receipt.
const OUTBOX_LIMIT: u64 = 64 << 20;

/// This program's version, as a device says it.
const SOFTWARE: &str = env!("CARGO_PKG_VERSION");

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
    let outbox = Outbox::open(&state.join("outbox.redb"), OUTBOX_LIMIT)?;
    let mut kept = Kept { outbox, stock: None };
    let map = Mapped::open(&settings.model.path)?;
    let found = map.digest_hex()?;
    host.link.subscribe(&topics.job())?;
    host.renewal.begin(host.link)?;
    let mut told = Told::default();
    let watch = &mut |event| told.pass(event, watch);
    let (mut announced, mut behind) = (None, Behind::Nothing);
    loop {
        let job = match announced.take() {
            Some(job) => Some(job),
            None => next_job(host, &topics, (&behind, None), watch)?,
        };
        let Some(job) = job else {
            if matches!(behind, Behind::Unreadable(_)) {
                host.link.publish(&topics.presence(&device), absent(host.session).encode(), true)?;
            }
            return Ok(Ended::Interrupted);
        };
        let Some(settings_of_job) = readable(host, &topics, &job, watch)? else {
            behind = Behind::Unreadable(job);
            continue;
        };
        if settings_of_job.model != found {
            let (path, wanted) = (settings.model.path.clone(), settings_of_job.model);
            return Err(FleetError::OtherModel { path, found, wanted });
        }
        watch(AgentEvent::Job { run: job.run.to_string() });
        let standing = look(host, &topics, &job, watch)?;
        let stranger = matches!(standing, Found::Over(_)) && !Note::is_of(job.run, &kept.outbox)?;
        let next = match standing {
            Found::Job(other) => Next::Job(other),
            Found::Open => take_part(host, &map, &job, &settings_of_job, &mut kept, watch)?,
            // Whoever keeps no adapter has nothing to fetch.
            Found::Over(Round { round: rounds, base, .. }) if settings.agent.adapter.is_none() => {
                watch(AgentEvent::Finished { rounds, digest: base.to_string() });
                Next::End(Ended::Finished)
            }
            Found::Over(_) => come_late(host, &map, &job, &settings_of_job, &mut kept.outbox, watch)?,
        };
        // Whoever is not ready to train is not there.
        host.link.publish(&topics.presence(&device), absent(host.session).encode(), true)?;
        if !matches!(next, Next::Data) {
            kept.stock = None; // another training reads them in its own way
        }
        match next {
            Next::Data => announced = Some(job),
            Next::Job(other) => announced = Some(other),
            Next::End(Ended::Finished) if settings.agent.stay => behind = Behind::Over(job),
            // It may have come for the next run, whose coordinator is only about to begin.
            Next::End(Ended::Finished) if stranger => {
                let patience = settings.agent.patience_seconds.duration();
                watch(AgentEvent::Lingers { seconds: patience.as_secs() });
                announced = next_job(host, &topics, (&Behind::Over(job), Some(patience)), watch)?;
                if announced.is_none() {
                    return Ok(Ended::Finished);
                }
            }
            Next::End(ended) => return Ok(ended),
        }
        let_go(&map)?;
    }
}

/// What a job says. One that this program cannot follow is waited past: whoever is told, by the device or by the coordinator's
/// list of devices, upgrades one of the two, and nobody needs to come by and start the agent again.
fn readable(
    host: &mut Host<'_>,
    topics: &Topics,
    job: &Job,
    watch: &mut dyn FnMut(AgentEvent),
) -> Result<Option<JobSettings>, FleetError> {
    match JobSettings::announced(&job.settings) {
        Ok((settings, unknown)) => {
            if !unknown.is_empty() {
                watch(AgentEvent::Unknown { keys: unknown });
            }
            Ok(Some(settings))
        }
        Err(e) => {
            watch(AgentEvent::Unreadable { run: job.run.to_string(), problem: e.to_string() });
            let here = Presence { online: true, software: SOFTWARE.to_owned(), ..absent(host.session) };
            let device = host.settings.fleet.device()?;
            host.link.publish(&topics.presence(&device), here.encode(), true)?;
            Ok(None)
        }
    }
}

/// What an agent keeps while it takes part.
struct Kept {
    outbox: Outbox,
    /// Data that are to be read again, while the training goes on.
    stock: Option<Stock>,
}

/// What follows a run that an agent took part in.
enum Next {
    /// The same, with other data.
    Data,
    /// Another one.
    Job(Job),
    /// Nothing, as yet.
    End(Ended),
}

/// The way through a run that is over: its adapter is taken over and written.
fn come_late(
    host: &mut Host<'_>,
    map: &Mapped,
    job: &Job,
    what: &JobSettings,
    outbox: &mut Outbox,
    watch: &mut dyn FnMut(AgentEvent),
) -> Result<Next, FleetError> {
    let base = Base::open(map)?;
    let opened = OpenedLate::plan(&base, what, host.settings)?;
    told(&opened.planned, watch);
    let engine = base.engine(&opened.planned)?;
    let worker = Late::new(&base, &engine, &opened, what);
    let able = Able { rate: 0.0, planned: &opened.planned, examples: 0, trains: false, stamp: None };
    join(host, job, (worker, able), outbox, watch)
}

fn told(planned: &Planned, watch: &mut dyn FnMut(AgentEvent)) {
    let (plan_bytes, budget_bytes) = (planned.plan.total().0, planned.plan.budget.0);
    watch(AgentEvent::Planned { plan_bytes, budget_bytes });
}

/// One run from its announcement to its end.
fn take_part(
    host: &mut Host<'_>,
    map: &Mapped,
    job: &Job,
    what: &JobSettings,
    kept: &mut Kept,
    watch: &mut dyn FnMut(AgentEvent),
) -> Result<Next, FleetError> {
    let settings = host.settings;
    if let (Some(epsilon), None) = (settings.data.dp, what.train.readout) {
        let remedy = "this fleet trains in steps, and what devices send of those gets no noise; have its coordinator use \
                      [train.readout], or leave dp out";
        return Err(SettingsError::value("data", "dp", epsilon, remedy).into());
    }
    let base = Base::open(map)?;
    let Kept { outbox, stock } = kept;
    let read = stocked(&base, settings, &what.train, stock.take(), watch)?;
    let Stock { data, stamp } = &*stock.insert(read);
    if data.train.cut() > 0 {
        let (texts, of, all) = (data.train.cut(), data.train.len(), data.train.len_for(1.0));
        watch(AgentEvent::Cut { texts, of, len: what.train.len.as_usize(), all });
    }
    if let Some(shape) = what.train.sums(&base.geometry) {
        let opened = OpenedSums::plan(&base, (&what.train, shape), data, settings)?;
        told(&opened.planned, watch);
        if let Some(epsilon) = opened.epsilon() {
            watch(AgentEvent::Noise { epsilon: epsilon.get(), delta: DELTA });
        }
        let engine = base.engine(&opened.planned)?;
        let mut worker = SumsWorker::new(&base, &engine, &opened, &data.train, settings, &what.model)?;
        // How fast it reads its own examples says how long these are.
        let rate = if opened.epsilon().is_some() { 0.0 } else { worker.measure()? };
        let able =
            Able { rate, planned: &opened.planned, examples: data.train.len(), trains: true, stamp: None };
        return join(host, job, (worker, able), outbox, watch);
    }
    let opened = Opened::plan(&base, &what.train, data, settings)?;
    told(&opened.planned, watch);
    let engine = base.engine(&opened.planned)?;
    let mut worker = ModelWorker::new(&base, &engine, &opened, &data.train, settings, &what.model)?;
    let (of, mut last) = (data.train.len(), 0);
    let referred = worker.refer(|examples| {
        if examples == of || examples - last >= of.div_ceil(TOLD) {
            last = examples;
            watch(AgentEvent::Referred { examples, of });
        }
        !(host.stop)()
    })?;
    if !referred {
        return Ok(Next::End(Ended::Interrupted));
    }
    let rate = worker.measure()?;
    let able =
        Able { rate, planned: &opened.planned, examples: data.train.len(), trains: true, stamp: Some(stamp) };
    join(host, job, (worker, able), outbox, watch)
}

/// What a device can do.
struct Able<'a> {
    rate: f32,
    planned: &'a Planned,
    examples: usize,
    /// Whether it takes part in rounds.
    trains: bool,
    /// What its data looked like, if they are read again when they change. Sums are sent once.
    stamp: Option<&'a Stamp>,
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
    let Able { rate, planned, examples, trains, stamp } = able;
    let here = host.board()?;
    for problem in here.warnings {
        watch(AgentEvent::Board { board: here.board.name.clone(), problem });
    }
    let who = Identity {
        device: settings.fleet.device()?,
        topics: settings.fleet.topics()?,
        run: job.run,
        presence: Presence {
            online: true,
            session: host.session,
            board: here.board.name.clone(),
            software: SOFTWARE.to_owned(),
            budget: planned.plan.budget.0,
            rate,
            // 0 says that it does not train; plain passes are such of one tangent here.
            tangents: if trains { planned.tuning.cut.tangents.clamp(1, 255) as u8 } else { 0 },
            examples: examples as u32,
        },
        resend: settings.agent.resend_seconds.duration(),
        patience: settings.agent.patience_seconds.duration(),
    };
    let began = Instant::now();
    // The agent tells what happens to it, and so does this loop.
    let watch = RefCell::new(watch);
    let mut agent = Agent::new(who, worker, outbox, |event| (watch.borrow_mut())(event))?;
    agent.start(host.link)?;
    let lookout = stamp.map(|stamp| Lookout::new(&settings.data.train, stamp));
    let next = follow(host, job, (&mut agent, lookout), began, &watch)?;
    agent.leave(host.link)?;
    Ok(next)
}

/// Works until the run is over, another one is announced, or somebody says stop.
fn follow<W: Worker>(
    host: &mut Host<'_>,
    job: &Job,
    (agent, mut lookout): (&mut Agent<'_, W>, Option<Lookout<'_>>),
    began: Instant,
    watch: &RefCell<&mut dyn FnMut(AgentEvent)>,
) -> Result<Next, FleetError> {
    let settings = &host.settings.agent;
    let topics = host.settings.fleet.topics()?;
    let (mut keeper, mut unserved) = (Keeper::new(settings), false);
    let mut asked: Option<Instant> = None;
    loop {
        if (host.stop)() {
            return Ok(Next::End(Ended::Interrupted));
        }
        let mut wait = pause(agent);
        while let Some(event) = host.next(wait, &mut |event| (watch.borrow_mut())(event))? {
            wait = Duration::ZERO;
            if let Event::Message { topic, payload } = &event {
                match topics.parse(topic) {
                    Some(Topic::Job) => match Job::decode(payload) {
                        Ok(other) if other != *job => return Ok(Next::Job(other)),
                        _ => continue,
                    },
                    // It goes on, and this device came for its end.
                    Some(Topic::Round)
                        if !agent.trains()
                            && Round::decode(payload)
                                .is_ok_and(|r| r.run == job.run && r.phase != Phase::Finished) =>
                    {
                        return Ok(Next::Job(job.clone()));
                    }
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
        keeper.look(agent, &mut |event| (watch.borrow_mut())(event));
        if agent.state() == State::Finished {
            return match keeper.failed().filter(|_| !settings.stay) {
                Some(failed) => Err(failed), // the same command fetches it again
                None => Ok(Next::End(Ended::Finished)),
            };
        }
        let idle = agent.state() == State::Waiting && agent.is_level();
        if idle && lookout.as_mut().is_some_and(Lookout::changed) {
            return Ok(Next::Data);
        }
        if !unserved && agent.is_unserved(began.elapsed()) {
            let (rounds, patience) = (agent.rounds_done().unwrap_or(0), settings.patience_seconds.get());
            let problem = FleetError::Unserved { run: job.run.to_string(), rounds, patience };
            if !settings.stay {
                return Err(problem);
            }
            unserved = true;
            (watch.borrow_mut())(AgentEvent::Unserved { problem: problem.to_string() });
        }
    }
}

/// How long the next event is waited for.
fn pause<W: Worker>(agent: &Agent<'_, W>) -> Duration {
    match agent.state() {
        State::Busy => Duration::ZERO,
        _ if agent.is_sending() => HURRY,
        _ => GLANCE,
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
pub(super) mod tests;
