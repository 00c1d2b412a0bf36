//! The agent's life: reach the broker, learn what is trained, make ready for it, take part until it is over.

use super::announced::{Behind, Found, linger, look, next_job, readable};
use super::host::{GLANCE, Host, SOFTWARE, absent};
use super::keeping::Keeper;
use super::late::{Late, OpenedLate};
use super::model::Opened;
use super::note::Note;
use super::stock::{Lookout, Stamp, Stock, stocked};
use super::told::Told;
use super::{Agent, AgentEvent, ByTask, Identity, ModelWorker, OpenedSums, State, SumsWorker, Worker};
use sprig_budget::alloc;
use sprig_engine::gguf::Mapped;
use sprig_ground::PathError;
use sprig_learn::privacy::DELTA;
use sprig_protocol::FleetError;
use sprig_protocol::settings::JobSettings;
use sprig_run::{Base, Planned, let_go};
use sprig_transport::link::Event;
use sprig_transport::messages::{Job, Phase, Presence, Round};
use sprig_transport::outbox::Outbox;
use sprig_transport::topics::Topic;
use std::cell::RefCell;
use std::time::{Duration, Instant};

/// Longest wait while an update goes out: as much of it as the link holds at once, so often, is 26 MB/s.
const HURRY: Duration = Duration::from_millis(10);
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
        let by_task = settings_of_job.by_task.is_some();
        let standing = look(host, &topics, (&job, by_task), watch)?;
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
            Next::End(Ended::Finished) if settings.agent.stay => behind = Behind::Over { job, by_task },
            // It may have come for the next run, whose coordinator is only about to begin.
            Next::End(Ended::Finished) if stranger => {
                announced = linger(host, &topics, &Behind::Over { job, by_task }, watch)?;
                if announced.is_none() {
                    return Ok(Ended::Finished);
                }
            }
            Next::End(ended) => return Ok(ended),
        }
        let_go(&map)?;
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
    let planned = &opened.planned;
    let able = Able { rate: 0.0, planned, examples: 0, trains: false, stamp: None, what };
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
    settings.data.admits(&what.train)?;
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
        let rate = if opened.epsilon().is_some() { 0.0 } else { worker.measure()? };
        let able = Able {
            rate,
            planned: &opened.planned,
            examples: data.train.len(),
            trains: true,
            stamp: None,
            what,
        };
        return join(host, job, (worker, able), outbox, watch);
    }
    let opened = Opened::plan(&base, &what.train, data, settings)?;
    told(&opened.planned, watch);
    if let Some(epsilon) = opened.epsilon() {
        watch(AgentEvent::Noise { epsilon: epsilon.get(), delta: DELTA });
    }
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
    // How fast it reads its own examples says how long these are.
    let rate = if opened.epsilon().is_some() { 0.0 } else { worker.measure()? };
    let able = Able {
        rate,
        planned: &opened.planned,
        examples: data.train.len(),
        trains: true,
        stamp: Some(stamp),
        what,
    };
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
    what: &'a JobSettings,
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
    let Able { rate, planned, examples, trains, stamp, what } = able;
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
        by_task: what
            .by_task
            .map(|tell| ByTask { tell: tell.duration(), keeps: settings.agent.adapter.is_some() }),
    };
    let began = Instant::now();
    // The agent tells what happens to it, and so does this loop.
    let watch = RefCell::new(watch);
    let mut agent = Agent::new(who, worker, outbox, |event| (watch.borrow_mut())(event))?;
    agent.start(host.link)?;
    agent.told_over(job, host.link, began.elapsed())?;
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
                match told_to_all(host, job, agent, (topic, payload), (&mut asked, began.elapsed()))? {
                    Heard::On => {}
                    Heard::Taken => continue,
                    Heard::Next(next) => return Ok(next),
                }
            }
            agent.on(event, host.link, began.elapsed())?;
        }
        if agent.asks_for_the_job(began.elapsed()) {
            host.ask_for_the_job()?;
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

/// What becomes of a message.
enum Heard {
    /// The agent hears it.
    On,
    /// It said all that it had to say.
    Taken,
    /// This run ends for the device.
    Next(Next),
}

/// Takes what is told to all devices: the job, and of rounds which run they are of. `asked` is when the broker was last asked
/// for the job.
fn told_to_all<W: Worker>(
    host: &mut Host<'_>,
    job: &Job,
    agent: &mut Agent<'_, W>,
    (topic, payload): (&str, &[u8]),
    (asked, now): (&mut Option<Instant>, Duration),
) -> Result<Heard, FleetError> {
    match host.settings.fleet.topics()?.parse(topic) {
        Some(Topic::Job) => match Job::decode(payload) {
            Ok(other) if (other.run, &other.settings) != (job.run, &job.settings) => {
                Ok(Heard::Next(Next::Job(other)))
            }
            Ok(same) => match agent.told_over(&same, host.link, now)? {
                true => Ok(Heard::Taken),
                false => Ok(Heard::Next(Next::Job(same))),
            },
            Err(_) => Ok(Heard::Taken),
        },
        Some(Topic::Round) => match Round::decode(payload) {
            // It goes on, and this device came for its end.
            Ok(round) if !agent.trains() && round.run == job.run && round.phase != Phase::Finished => {
                Ok(Heard::Next(Next::Job(job.clone())))
            }
            // Of a run whose announcement went past us, or of an earlier one: the broker keeps the last job.
            Ok(round) if round.run != job.run && asked.is_none_or(|at| at.elapsed() >= PATIENCE) => {
                *asked = Some(Instant::now());
                host.ask_for_the_job()?;
                Ok(Heard::On)
            }
            _ => Ok(Heard::On),
        },
        _ => Ok(Heard::On),
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
