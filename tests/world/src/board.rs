//! A device: its disk, its process, and the agent in it, which it begins anew for every job.

use crate::heap::Heap;
use crate::judge::Judge;
use crate::lead::Wire;
use crate::learner::{Desk, Learner, planned};
use crate::plan::{FLEET, tells};
use sprig_agent::{Agent, AgentEvent, ByTask, Identity, State, absent};
use sprig_ground::random::SplitMix64;
use sprig_protocol::FleetError;
use sprig_simulate as simulate;
use sprig_testkit::power::Disk;
use sprig_transport::faults::{Faults, Faulty};
use sprig_transport::link::{Event, Link};
use sprig_transport::memory::Hub;
use sprig_transport::messages::{DeviceId, Job, NameError, Round, RunId};
use sprig_transport::outbox::{CACHE_BYTES, Outbox};
use sprig_transport::topics::{Topic, Topics};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use typed_arena::Arena;

/// Most bytes of updates without a receipt.
const OUTBOX: u64 = 1 << 20;
/// Events that are taken in one step.
const EVENTS: usize = 64;
/// Pause before the broker is asked for the job again.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same while there is none.
const AGAIN: Duration = Duration::from_secs(30);
/// Milliseconds after which a broker takes a silent session for gone: one and a half keep-alives.
const SILENCE: u64 = 45_000;

/// What all devices share.
#[derive(Clone, Copy)]
pub(crate) struct Around<'a> {
    pub(crate) hub: &'a Hub,
    /// Stores, which live as long as the world.
    pub(crate) stores: &'a Arena<Outbox>,
    pub(crate) events: &'a RefCell<Vec<(usize, AgentEvent)>>,
    pub(crate) faults: Faults,
    pub(crate) now: u64,
}

/// One device.
pub(crate) struct Board<'a> {
    at: usize,
    pub(crate) id: DeviceId,
    topics: Topics,
    pub(crate) disk: Disk,
    pub(crate) desk: Desk,
    session: u64,
    /// Messages that met a fault in processes that have ended.
    met: u64,
    /// What its process takes, or the last one took.
    heap: Heap,
    running: Option<Running<'a>>,
    /// A session that lost its power, which the broker does not know yet; and when it will.
    unplugged: Option<(Wire, u64)>,
    /// When it is started, if it does not run.
    pub(crate) starts: u64,
    /// Until when it stands still.
    pub(crate) still: u64,
    /// When its disk works again.
    pub(crate) mended: Option<u64>,
    /// When it goes for good: it is a copy of another.
    pub(crate) leaves: Option<u64>,
}

/// A process.
struct Running<'a> {
    link: Wire,
    agent: Option<(Job, Agent<'a, Learner>)>,
    /// When the job was last asked for.
    asked: Duration,
}

impl<'a> Board<'a> {
    pub(crate) fn new(at: usize, desk: Desk, seed: u64) -> Result<Self, NameError> {
        Ok(Self {
            at,
            id: DeviceId::parse(&desk.device)?,
            topics: Topics::new(FLEET)?,
            disk: Disk::seeded(seed),
            heap: heap(&desk),
            desk,
            session: 0,
            met: 0,
            running: None,
            unplugged: None,
            starts: 0,
            still: 0,
            mended: None,
            leaves: None,
        })
    }

    /// A board with a copy of its disk, by its name, which is there from one time to another.
    pub(crate) fn twin(&self, starts: u64, leaves: u64) -> Self {
        Self {
            at: self.at,
            id: self.id.clone(),
            topics: self.topics.clone(),
            disk: Disk::holding(self.disk.image()),
            desk: self.desk.clone(),
            session: 0,
            met: 0,
            heap: heap(&self.desk),
            running: None,
            unplugged: None,
            starts,
            still: 0,
            mended: None,
            leaves: Some(leaves),
        }
    }

    /// Whether it runs.
    pub(crate) fn is_up(&self) -> bool {
        self.running.is_some()
    }

    /// Messages that met a fault.
    pub(crate) fn met(&self) -> u64 {
        self.met + self.running.as_ref().map_or(0, |running| running.link.met().all())
    }

    /// Its agent, if it has a job.
    pub(crate) fn agent(&self) -> Option<&Agent<'a, Learner>> {
        self.running.as_ref()?.agent.as_ref().map(|(_, agent)| agent)
    }

    /// Whether it has the last adapter when a run is over: one that acts on its tasks alone may have no use of it.
    pub(crate) fn keeps(&self) -> bool {
        let agent = self.running.as_ref().and_then(|running| running.agent.as_ref());
        agent.is_some_and(|(job, _)| acts(job).is_none_or(|how| how.keeps))
    }

    /// Whether it is through with `run`: it has the last adapter if it keeps one, and a receipt for whatever it sent.
    pub(crate) fn is_done(&self, run: RunId) -> bool {
        let agent = self.running.as_ref().and_then(|running| running.agent.as_ref());
        agent.is_some_and(|(job, agent)| job.run == run && agent.state() == State::Finished)
    }

    /// Its process ends; the broker learns so at once.
    pub(crate) fn ends(&mut self, starts: u64) {
        self.disk.unplug();
        self.met = self.met();
        let process = self.running.take();
        self.gives_back(process);
        self.starts = starts;
    }

    /// Its power goes, and the broker learns so when it has been silent for long enough.
    pub(crate) fn loses_power(&mut self, now: u64, starts: u64) {
        self.disk.cut();
        self.met = self.met();
        if let Some(Running { link, agent, .. }) = self.running.take() {
            self.unplugged = Some((link, now + SILENCE));
            self.gives_back(agent);
        }
        self.starts = starts;
    }

    /// What its process was is gone; whether it kept to what was planned is looked at.
    fn gives_back(&mut self, process: impl Sized) {
        let heap = std::mem::replace(&mut self.heap, heap(&self.desk));
        self.desk.judge.borrow_mut().held(&self.desk.device, heap.ends(process));
    }

    /// What messages to and from it meet from now on.
    pub(crate) fn meets(&mut self, faults: Faults) {
        if let Some(running) = &mut self.running {
            running.link.set(faults);
        }
    }

    /// Does what there is to do. What it ended over, if it did.
    pub(crate) fn step(&mut self, around: Around<'a>, random: &mut SplitMix64) -> Result<(), FleetError> {
        let mut heap = self.heap;
        let done = heap.during(|| self.turn(around, random));
        self.heap = heap;
        done
    }

    fn turn(&mut self, around: Around<'a>, random: &mut SplitMix64) -> Result<(), FleetError> {
        self.unplugged.take_if(|(_, until)| around.now >= *until);
        if self.running.is_none() {
            self.session = random.draw();
            let will = (self.topics.presence(&self.id), absent(self.session).encode());
            let hub = around.hub.link(self.id.as_str(), Some(will));
            let mut link = Faulty::new(hub, around.faults, random.draw());
            link.subscribe(&self.topics.job())?;
            self.running = Some(Running { link, agent: None, asked: self.desk.watch.now() });
            self.unplugged = None;
        }
        for _ in 0..EVENTS {
            let Some(running) = &mut self.running else { return Ok(()) };
            let Some(event) = running.link.next(Duration::ZERO)? else { break };
            self.hear(event, around)?;
        }
        let now = self.desk.watch.now();
        match &mut self.running {
            Some(Running { link, agent: Some((_, agent)), .. }) => {
                if agent.asks_for_the_job(now) {
                    link.unsubscribe(&self.topics.job())?;
                    link.subscribe(&self.topics.job())?;
                }
                agent.work(link, || now)?;
            }
            Some(Running { link, agent: None, asked }) if now >= *asked + AGAIN => {
                *asked = now;
                link.unsubscribe(&self.topics.job())?;
                link.subscribe(&self.topics.job())?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Hears an event, as the life of an agent does: a job begins another agent, all else is the agent's.
    fn hear(&mut self, event: Event, around: Around<'a>) -> Result<(), FleetError> {
        let now = self.desk.watch.now();
        let Some(running) = &mut self.running else { return Ok(()) };
        if let Event::Message { topic, payload } = &event {
            match self.topics.parse(topic) {
                Some(Topic::Job) => {
                    let Ok(job) = Job::decode(payload) else { return Ok(()) };
                    if let Some((known, agent)) = &mut running.agent
                        && (known.run, &known.settings) == (job.run, &job.settings)
                    {
                        agent.told_over(&job, &mut running.link, now)?;
                    } else {
                        self.begin(job, around)?;
                    }
                    return Ok(());
                }
                Some(Topic::Round) => {
                    let run = running.agent.as_ref().map(|(job, _)| job.run);
                    let other =
                        Round::decode(payload).is_ok_and(|round| run.is_some_and(|run| round.run != run));
                    if other && now >= running.asked + PATIENCE {
                        running.asked = now;
                        running.link.unsubscribe(&self.topics.job())?;
                        running.link.subscribe(&self.topics.job())?;
                    }
                }
                _ => {}
            }
        }
        match &mut running.agent {
            Some((_, agent)) => agent.on(event, &mut running.link, now),
            None => Ok(()),
        }
    }

    fn begin(&mut self, job: Job, around: Around<'a>) -> Result<(), FleetError> {
        let Some(running) = &mut self.running else { return Ok(()) };
        if let Some((_, agent)) = &mut running.agent {
            agent.leave(&mut running.link)?;
            let gone = absent(self.session).encode();
            running.link.publish(&self.topics.presence(&self.id), gone, true)?;
        }
        running.agent = None;
        self.disk.unplug();
        self.disk.begin(|aside| Outbox::with_backend(aside, OUTBOX))?;
        let store = around.stores.alloc(Outbox::with_backend(self.disk.plug(), OUTBOX)?);
        let who = Identity {
            device: self.id.clone(),
            topics: self.topics.clone(),
            run: job.run,
            presence: simulate::presence(self.session),
            resend: Duration::from_secs(5),
            patience: Duration::from_secs(60),
            by_task: acts(&job),
        };
        let learner = Learner::new(self.desk.clone(), job.run)?;
        let (at, run, device) = (self.at, job.run, self.desk.device.clone());
        let judge: Rc<RefCell<Judge>> = Rc::clone(&self.desk.judge);
        let watch = move |event: AgentEvent| {
            if let AgentEvent::Receipt { round, verdict } = &event
                && verdict == "accepted"
            {
                judge.borrow_mut().accepted(run, *round, &device);
            }
            around.events.borrow_mut().push((at, event));
        };
        let mut agent = Agent::new(who, learner, store, watch)?;
        agent.start(&mut running.link)?;
        agent.told_over(&job, &mut running.link, self.desk.watch.now())?;
        running.agent = Some((job, agent));
        Ok(())
    }
}

/// How devices act on a job's tasks alone, if they do; those of every second fleet keep the last adapter.
fn acts(job: &Job) -> Option<ByTask> {
    tells(&job.settings).map(|tell| ByTask { tell, keeps: job.run.0[0].is_multiple_of(2) })
}

/// A process that has yet to take anything: of its outbox, which is left open for as long as there is a world, all that it may.
fn heap(desk: &Desk) -> Heap {
    Heap::new(planned(&desk.rules) - CACHE_BYTES.into())
}
