//! Many synthetic devices on one connection: what they hold is a few tens of bytes each, what they say is what real
//! devices say.

use super::synthetic::{answer, presence};
use super::trouble::{Habits, Trouble, spoil};
use sprig_learn::spry::Rules;
use sprig_transport::link::{Event, Link, LinkError};
use sprig_transport::messages::{
    DeviceId, Digest, Offer, Presence, Receipt, Region, Report, Round, RunId, Snapshot, Task, Verdict, Want,
};
use sprig_transport::topics::{Topic, Topics};
use std::time::{Duration, Instant};

/// Messages handled in one turn, at most.
const GROUP: usize = 1024;
/// Devices looked at in one turn for what they must send again.
const LOOK: usize = 256;

/// Seconds after which a device asks again for an adapter that did not come, as an agent does.
const PATIENCE: f32 = 3.0;

/// Devices `first..first + count` on one connection.
#[derive(Debug)]
pub struct Swarm<L> {
    link: L,
    topics: Topics,
    rules: Rules,
    devices: Vec<Light>,
    first: u32,
    /// Where the look for what must be sent again goes on.
    next: usize,
    resend: Duration,
    reports: bool,
    habits: Habits,
    by_task: bool,
    /// Tasks whose adapter was asked for: one a device.
    lacking: Vec<Lacking>,
    /// Tasks that are being worked on: one a device.
    work: Vec<Work>,
    begun: Instant,
    /// What was counted so far.
    pub counts: Counts,
    /// The run that was announced last: what a broker kept of another is not for these devices.
    run: Option<RunId>,
}

/// What the devices of a swarm did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Tasks they saw, repetitions included.
    pub tasks: u64,
    /// Updates they sent, repetitions included.
    pub updates: u64,
    /// Adapters they were brought, whole and of the task's digest.
    pub fetched: u64,
    /// Updates in the ledger, by receipt.
    pub accepted: u64,
    /// Receipts of what was in the ledger already.
    pub duplicates: u64,
    /// Refusals.
    pub refused: u64,
    /// Messages sent.
    pub sent: u64,
    /// Messages received.
    pub received: u64,
}

/// A device that asked for the adapter of its task.
#[derive(Debug)]
struct Lacking {
    at: usize,
    task: Task,
    /// Seconds since the swarm's beginning when it asks again.
    again: f32,
}

/// A device at work.
#[derive(Debug)]
struct Work {
    at: usize,
    task: Task,
    /// Seconds since the swarm's beginning when it is done.
    due: f32,
}

/// What a swarm is made of, beside its devices.
#[derive(Clone, Debug)]
pub struct Kind {
    /// What devices compute.
    pub rules: Rules,
    /// What has no answer after this time is sent again.
    pub resend: Duration,
    /// Whether each device reports its memory every round.
    pub reports: bool,
    /// How devices behave.
    pub habits: Habits,
    /// Whether they act on their tasks alone: they hear of no round, and ask for the adapter of each task.
    pub by_task: bool,
}

impl Kind {
    /// Devices that do their part at once, and report.
    pub fn new(rules: Rules, resend: Duration) -> Self {
        Self { rules, resend, reports: true, habits: Habits::default(), by_task: false }
    }
}

/// A device. The coordinator repeats a task that has no update, so that nothing else need be held.
#[derive(Clone, Copy, Debug)]
struct Light {
    /// Round of its last task; `u32::MAX` before the first.
    round: u32,
    waiting: bool,
    /// Seconds since the swarm's beginning when it last spoke.
    spoke: f32,
}

impl Light {
    /// One that has said nothing yet.
    const NEW: Light = Light { round: u32::MAX, waiting: false, spoke: f32::NEG_INFINITY };
}

impl Counts {
    /// The sum of two.
    pub fn plus(&self, other: &Counts) -> Counts {
        Counts {
            tasks: self.tasks + other.tasks,
            updates: self.updates + other.updates,
            fetched: self.fetched + other.fetched,
            accepted: self.accepted + other.accepted,
            duplicates: self.duplicates + other.duplicates,
            refused: self.refused + other.refused,
            sent: self.sent + other.sent,
            received: self.received + other.received,
        }
    }
}

impl<L: Link> Swarm<L> {
    /// Devices `sim-<first>` and on, on `link`.
    ///
    /// # Errors
    /// When the link is closed.
    pub fn new(
        mut link: L,
        fleet: &str,
        devices: std::ops::Range<u32>,
        kind: Kind,
    ) -> Result<Self, LinkError> {
        let Kind { rules, resend, reports, habits, by_task } = kind;
        let topics = Topics::new(fleet).map_err(|e| LinkError::Settings(e.to_string()))?;
        if !by_task {
            link.subscribe(&topics.round())?;
        }
        for n in devices.clone() {
            let id = name(n);
            if by_task {
                link.subscribe(&topics.offer(&id))?;
            }
            link.subscribe(&topics.task(&id))?;
            link.subscribe(&topics.receipt(&id))?;
        }
        Ok(Swarm {
            link,
            topics,
            rules,
            devices: vec![Light::NEW; devices.len()],
            first: devices.start,
            next: 0,
            resend,
            reports,
            habits,
            by_task,
            lacking: Vec::new(),
            work: Vec::new(),
            begun: Instant::now(),
            counts: Counts::default(),
            run: None,
        })
    }

    /// The connection.
    pub fn link(&self) -> &L {
        &self.link
    }

    /// Waits up to `wait` for a message, and answers all that are there.
    ///
    /// # Errors
    /// When the link is closed.
    pub fn turn(&mut self, mut wait: Duration) -> Result<(), LinkError> {
        for _ in 0..GROUP {
            match self.link.next(wait)? {
                None => break,
                Some(Event::Connected) => {
                    // Retained messages of a broker that was restarted may be gone.
                    self.devices.iter_mut().for_each(|d| d.spoke = f32::NEG_INFINITY);
                }
                Some(Event::Disconnected(_)) => {}
                Some(Event::Message { topic, payload }) => self.hear(&topic, &payload)?,
            }
            wait = Duration::ZERO;
        }
        self.finish_work()?;
        self.ask_again()?;
        self.remind()
    }

    fn hear(&mut self, topic: &str, payload: &[u8]) -> Result<(), LinkError> {
        self.counts.received += 1;
        match self.topics.parse(topic) {
            Some(Topic::Round) => {
                if let Ok(round) = Round::decode(payload) {
                    self.takes_part(round.run);
                }
            }
            Some(Topic::Task(id)) => {
                let (Ok(task), Some(at)) = (Task::decode(payload), self.at(&id)) else { return Ok(()) };
                if self.by_task {
                    self.takes_part(task.run);
                }
                if self.run != Some(task.run) {
                    return Ok(());
                }
                self.counts.tasks += 1;
                let device = &mut self.devices[at];
                let news = device.round == u32::MAX || task.round > device.round;
                if news || task.round == device.round && device.waiting {
                    (device.round, device.waiting) = (task.round, true);
                    if self.by_task { self.ask(&id, at, task)? } else { self.begin(at, task)? }
                }
            }
            Some(Topic::Offer(id)) => {
                let (Ok(offer), Some(at)) = (Offer::decode(payload), self.at(&id)) else { return Ok(()) };
                self.brought(at, &offer)?;
            }
            Some(Topic::Receipt(id)) => {
                let (Ok(receipt), Some(at)) = (Receipt::decode(payload), self.at(&id)) else {
                    return Ok(());
                };
                match receipt.verdict {
                    Verdict::Accepted => self.counts.accepted += 1,
                    Verdict::Duplicate => self.counts.duplicates += 1,
                    Verdict::Refused(_) => self.counts.refused += 1,
                }
                let device = &mut self.devices[at];
                if receipt.round == device.round && std::mem::take(&mut device.waiting) && self.reports {
                    let report = report(receipt.run, receipt.round);
                    self.send(self.topics.report(&id), report.encode(), false)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A run has begun, for all that is known here.
    fn takes_part(&mut self, run: RunId) {
        if self.run.replace(run) != Some(run) {
            self.devices.fill(Light::NEW);
        }
    }

    /// Asks for the adapter of a task, as a device that was away for long.
    fn ask(&mut self, id: &DeviceId, at: usize, task: Task) -> Result<(), LinkError> {
        let want = Want { run: task.run, round: u32::MAX, base: Digest([0; 32]), resume: None };
        let again = self.begun.elapsed().as_secs_f32() + PATIENCE;
        self.lacking.retain(|lacks| lacks.at != at);
        self.lacking.push(Lacking { at, task, again });
        self.send(self.topics.want(id), want.encode(), false)
    }

    /// Begins what a device lacked the adapter for, if this is it.
    fn brought(&mut self, at: usize, offer: &Offer) -> Result<(), LinkError> {
        let Some(blob) = offer.blob.as_ref().filter(|blob| Digest::of(blob) == offer.digest) else {
            return Ok(());
        };
        let Ok(snapshot) = Snapshot::decode(blob) else { return Ok(()) };
        let ours = |lacks: &Lacking| lacks.at == at && lacks.task.base == snapshot.after;
        let Some(place) = self.lacking.iter().position(ours) else { return Ok(()) };
        self.counts.fetched += 1;
        let Lacking { at, task, .. } = self.lacking.swap_remove(place);
        self.begin(at, task)
    }

    /// Asks again for what did not come.
    fn ask_again(&mut self) -> Result<(), LinkError> {
        let now = self.begun.elapsed().as_secs_f32();
        let due: Vec<_> = self.lacking.extract_if(.., |lacks| lacks.again <= now).collect();
        due.into_iter()
            .try_for_each(|lacks| self.ask(&name(self.first + lacks.at as u32), lacks.at, lacks.task))
    }

    /// Sets a device to work on a task, which takes the place of an earlier one.
    fn begin(&mut self, at: usize, task: Task) -> Result<(), LinkError> {
        let n = self.first + at as u32;
        match self.habits.trouble_of(n) {
            Some(Trouble::Hung) => return Ok(()),
            Some(Trouble::Dead) => {
                let gone = Presence { online: false, ..presence(1) };
                return self.send(self.topics.presence(&name(n)), gone.encode(), true);
            }
            _ => {}
        }
        let work = self.habits.work_of(n);
        if work == 0.0 {
            return self.update(at, &task);
        }
        if self.work.iter().any(|w| w.at == at && w.task.round == task.round) {
            return Ok(());
        }
        self.work.retain(|w| w.at != at);
        self.work.push(Work { at, task, due: self.begun.elapsed().as_secs_f32() + work });
        Ok(())
    }

    /// Sends what is done by now.
    fn finish_work(&mut self) -> Result<(), LinkError> {
        let now = self.begun.elapsed().as_secs_f32();
        let done: Vec<_> = self.work.extract_if(.., |w| w.due <= now).collect();
        done.into_iter().try_for_each(|work| self.update(work.at, &work.task))
    }

    fn update(&mut self, at: usize, task: &Task) -> Result<(), LinkError> {
        self.devices[at].spoke = self.begun.elapsed().as_secs_f32();
        self.counts.updates += 1;
        let n = self.first + at as u32;
        let mut update = answer(task, &self.rules);
        if self.habits.trouble_of(n) == Some(Trouble::Refusing) {
            spoil(&mut update);
        }
        self.send(self.topics.update(&name(n)), update.encode(), false)
    }

    /// Has devices without a task say again that they are here, and those without a receipt wait for the coordinator
    /// to repeat their task.
    fn remind(&mut self) -> Result<(), LinkError> {
        let now = self.begun.elapsed().as_secs_f32();
        for _ in 0..LOOK.min(self.devices.len()) {
            let at = self.next;
            self.next = (self.next + 1) % self.devices.len();
            let device = &mut self.devices[at];
            let silent = now - device.spoke >= self.resend.as_secs_f32();
            if silent && (device.round == u32::MAX || device.spoke == f32::NEG_INFINITY) {
                device.spoke = now;
                let id = name(self.first + at as u32);
                self.send(self.topics.presence(&id), presence(1).encode(), true)?;
            }
        }
        Ok(())
    }

    fn send(&mut self, topic: String, payload: Vec<u8>, retain: bool) -> Result<(), LinkError> {
        self.counts.sent += 1;
        match self.link.publish(&topic, payload, retain) {
            // It is sent again when no answer comes.
            Err(LinkError::Busy { .. }) => Ok(()),
            other => other,
        }
    }

    fn at(&self, id: &DeviceId) -> Option<usize> {
        let n: u32 = id.as_str().strip_prefix("sim-")?.parse().ok()?;
        let at = n.checked_sub(self.first)? as usize;
        (at < self.devices.len()).then_some(at)
    }
}

fn name(n: u32) -> DeviceId {
    DeviceId::parse(&format!("sim-{n}")).expect("letters, digits and a hyphen")
}

/// A report of the size that real ones have.
fn report(run: RunId, round: u32) -> Report {
    let region = |i: u64| Region { name: format!("region {i}"), planned: 1 << 20, measured: Some(i << 16) };
    Report {
        run,
        round,
        budget: 64 << 20,
        planned: 60 << 20,
        peak: 58 << 20,
        heap_peak: 8 << 20,
        weights: 40 << 20,
        seconds: 1.0,
        tokens: 512,
        up: 300,
        down: 900,
        regions: (0..8).map(region).collect(),
        celsius: Some(48.5),
        held_back: Some(0),
    }
}
