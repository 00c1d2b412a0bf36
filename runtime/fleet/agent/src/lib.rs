//! The device's side of a fleet: joins, trains its part of each round, sends it, keeps it until a receipt comes, and
//! follows the coordinator's adapter bit for bit.
//!
//! Everything is driven by [`Agent::on`] (an event of the link) and [`Agent::work`] (one piece of work); no thread, no
//! clock of its own. What must survive a power cut goes through the outbox before it is sent.

mod announced;
mod by_task;
mod catch_up;
mod ending;
mod events;
mod held;
mod host;
mod keeping;
mod late;
mod model;
mod note;
mod private;
mod randomness;
mod regions;
mod run;
mod secure;
mod sending;
mod stock;
mod sums;
mod told;
mod warmth;
mod worker;

pub use by_task::ByTask;
pub use events::AgentEvent;
pub use held::following;
pub use host::{Host, absent};
pub use model::{ModelWorker, Opened};
pub use run::{Ended, run};
pub use sums::{OpenedSums, SumsWorker};
pub use worker::{Begun, Trained, Worker};

use catch_up::CatchUp;
use note::Note;
use secure::Hidden;
use sending::{Outgoing, Resend};
use sprig_protocol::FleetError;
use sprig_transport::link::{Event, Link, Traffic};
use sprig_transport::messages::{DeviceId, Phase, Presence, Receipt, Round, RunId, Task};
use sprig_transport::outbox::Outbox;
use sprig_transport::topics::{Topic, Topics};
use std::collections::BTreeSet;
use std::time::Duration;

/// Who we are and what we can do.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Our name.
    pub device: DeviceId,
    /// Topics of the fleet.
    pub topics: Topics,
    /// The run we take part in.
    pub run: RunId,
    /// What we say of ourselves.
    pub presence: Presence,
    /// First pause before an update is sent again.
    pub resend: Duration,
    /// How long, in a run that is over, is waited for what nobody sends.
    pub patience: Duration,
    /// How we act on tasks alone; `None` where we follow the rounds.
    pub by_task: Option<ByTask>,
}

/// One device of a fleet.
pub struct Agent<'o, W> {
    who: Identity,
    worker: W,
    outbox: &'o mut Outbox,
    watch: Box<dyn FnMut(AgentEvent) + 'o>,
    round: Option<Round>,
    task: Option<Asked>,
    /// The round of the last update that the coordinator said it has.
    accepted: Option<u32>,
    /// How long our part of a round took last.
    took: Option<Duration>,
    note: Option<Note>,
    catch_up: CatchUp,
    training: Option<Training>,
    /// What is done and waits to be hidden among others'.
    hidden: Option<Hidden>,
    outgoing: Outgoing,
    resend: Resend,
    counted: Traffic,
    /// Rounds whose updates have no receipt yet.
    unanswered: BTreeSet<u32>,
    /// The outbox holds what is none of this run's.
    foreign: bool,
    /// When to say again that we are here.
    tell_at: Duration,
    /// When a round was last reported.
    reported: Option<Duration>,
    /// When a task or a job was last heard of.
    told: Duration,
    /// Since when it is known over this connection that the run is over.
    over_since: Option<Duration>,
    state: State,
}

/// What the agent is about, for its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Waits for the coordinator; nothing to do before the given time.
    Waiting,
    /// [`Agent::work`] has something to do now.
    Busy,
    /// The run is over and every update has its receipt.
    Finished,
}

struct Training {
    task: Task,
    since: Duration,
}

/// Times that a task is given for a round whose update was accepted, after which it is done once more: the broker delivers it
/// once by itself, a coordinator again and again where its ledger lost what it had, for a copy was put back.
const ASKED_AGAIN: u32 = 2;

/// A task, and when it was given.
struct Asked {
    task: Task,
    at: Duration,
    /// It was said that there is no time for it.
    declined: bool,
    /// How often it was given over this connection, and since its update was accepted.
    times: u32,
}

impl<'o, W: Worker> Agent<'o, W> {
    /// Takes part in `who.run` with what the outbox still holds of it.
    pub fn new(
        who: Identity,
        worker: W,
        outbox: &'o mut Outbox,
        watch: impl FnMut(AgentEvent) + 'o,
    ) -> Result<Self, FleetError> {
        let note = outbox.note()?.and_then(|bytes| Note::decode(&bytes)).filter(|n| n.run == who.run);
        // Another run's stays until this one has a round: its job may have been announced by mistake.
        let foreign = note.is_none();
        let pending = if foreign { Vec::new() } else { outbox.pending()? };
        Ok(Self {
            unanswered: pending.into_iter().map(|(round, _)| round).collect(),
            foreign,
            catch_up: CatchUp::default(),
            outgoing: Outgoing::default(),
            resend: Resend { pause: who.resend, at: Duration::ZERO },
            watch: Box::new(watch),
            round: None,
            task: None,
            accepted: None,
            took: None,
            note,
            training: None,
            hidden: None,
            counted: Traffic::default(),
            tell_at: by_task::tell_every(&who),
            reported: None,
            told: Duration::ZERO,
            over_since: None,
            state: State::Waiting,
            who,
            worker,
            outbox,
        })
    }

    /// Subscribes and says that we are here; the link renews both after a reconnect through [`Event::Connected`].
    pub fn start(&mut self, link: &mut dyn Link) -> Result<(), FleetError> {
        self.counted = link.traffic();
        for filter in self.filters() {
            link.subscribe(&filter)?;
        }
        self.say_present(link)
    }

    /// Takes back what [`start`](Self::start) and the way since then subscribed to, so that the next run begins with
    /// what the broker keeps for it.
    pub fn leave(&mut self, link: &mut dyn Link) -> Result<(), FleetError> {
        for filter in self.filters().into_iter().chain(self.catch_up.give_up(&self.who)) {
            link.unsubscribe(&filter)?;
        }
        Ok(())
    }

    /// What to do next.
    pub fn state(&self) -> State {
        match &self.training {
            Some(_) => State::Busy,
            None => self.state,
        }
    }

    /// The learner.
    pub fn worker(&self) -> &W {
        &self.worker
    }

    /// Takes one event of the link at `now`, a time that only moves forward.
    pub fn on(&mut self, event: Event, link: &mut dyn Link, now: Duration) -> Result<(), FleetError> {
        match event {
            Event::Connected => {
                self.over_since = None; // the broker says it anew
                self.ask_anew();
                (self.watch)(AgentEvent::Connected);
                self.say_present(link)?;
                // Pieces that were under way may be lost.
                (self.outgoing, self.resend.at) = (Outgoing::default(), now);
                self.catch_up.again();
            }
            Event::Disconnected(reason) => {
                self.over_since = None;
                (self.watch)(AgentEvent::Disconnected { reason });
            }
            Event::Message { topic, payload } => self.message(&topic, &payload, link, now)?,
        }
        self.proceed(link, now)
    }

    /// Does one piece of work: an iteration of training, or what has become due.
    pub fn work(&mut self, link: &mut dyn Link, now: impl Fn() -> Duration) -> Result<(), FleetError> {
        if let Some(moved) = self.worker.look(now())? {
            (self.watch)(AgentEvent::pressure(self.worker.round(), &moved));
        }
        if self.training.is_some()
            && let Some(trained) = self.worker.step()?
            && let Some(Training { task, since }) = self.training.take()
        {
            let took = now().saturating_sub(since);
            self.took = Some(took);
            match task.word.is_empty() {
                true => self.finish(&task, trained, took, link, now())?,
                false => self.hide(task.round, trained, took, link, now())?,
            }
        }
        if let Some((examples, of)) = self.worker.progress() {
            (self.watch)(AgentEvent::Read { round: self.worker.round(), examples, of });
        }
        self.proceed(link, now())
    }

    fn message(
        &mut self,
        topic: &str,
        payload: &[u8],
        link: &mut dyn Link,
        now: Duration,
    ) -> Result<(), FleetError> {
        // What the broker kept there was cleared.
        if payload.is_empty() {
            return Ok(());
        }
        let parsed = self.who.topics.parse(topic);
        let dropped = |problem: String| AgentEvent::Dropped { topic: topic.to_owned(), problem };
        let run = self.who.run;
        match parsed {
            Some(Topic::Round) => match Round::decode(payload) {
                Ok(round) if round.run != run => {} // a job says which run it is, and nothing else

                Ok(round) => self.announced(round, link, now)?,
                Err(e) => (self.watch)(dropped(e.to_string())),
            },
            Some(Topic::Task(_)) => match Task::decode(payload) {
                Ok(task) if task.run == run => {
                    self.announced_by(&task, link, now)?;
                    let before = self.task.take().filter(|asked| asked.task.round == task.round);
                    let (declined, times) = before.map_or((false, 0), |asked| (asked.declined, asked.times));
                    self.task = Some(Asked { task, at: now, declined, times: times.saturating_add(1) });
                    self.speak(link, now)?;
                }
                Ok(_) => {} // retained from another run
                Err(e) => (self.watch)(dropped(e.to_string())),
            },
            Some(Topic::Receipt(_)) => match Receipt::decode(payload) {
                Ok(receipt) if receipt.run == run => self.receipt(&receipt)?,
                Ok(_) => {}
                Err(e) => (self.watch)(dropped(e.to_string())),
            },
            Some(Topic::Offer(_)) if self.training.is_some() || self.is_level() => {} // it has what it asked for
            Some(Topic::Offer(_) | Topic::Blob { .. }) => {
                let steps = self.catch_up.take(&parsed, payload, &self.who, &mut self.watch, now);
                match steps {
                    Ok(Some(steps)) => self.catch_up.apply(steps, &mut self.worker, &mut self.watch)?,
                    Ok(None) => {}
                    Err(problem) => (self.watch)(dropped(problem)),
                }
            }
            _ => (self.watch)(dropped("nothing is expected there".to_owned())),
        }
        Ok(())
    }

    fn announced(&mut self, round: Round, link: &mut dyn Link, now: Duration) -> Result<(), FleetError> {
        if std::mem::take(&mut self.foreign) {
            self.outbox.clear()?;
        }
        let newer = self.round.as_ref().is_none_or(|r| r.round < round.round);
        if newer && let Some(training) = self.training.take_if(|t| t.task.round < round.round) {
            self.worker.abandon();
            (self.watch)(AgentEvent::Abandoned { round: training.task.round });
        }
        self.hidden.take_if(|hidden| hidden.round < round.round);
        self.outbox.forget_before(round.round);
        self.catch_up.follow(&round, &mut self.worker, &mut self.watch)?;
        // The coordinator may have been away: whatever is unanswered goes out now.
        if newer {
            self.resend = Resend { pause: self.who.resend, at: now };
        }
        self.heard_of(round.phase, now);
        self.round = Some(round);
        self.catch_up.ask(&self.who, &self.worker, self.round.as_ref(), link, now)
    }

    /// Whatever the present knowledge allows: catch up, send again, begin training.
    fn proceed(&mut self, link: &mut dyn Link, now: Duration) -> Result<(), FleetError> {
        self.catch_up.ask(&self.who, &self.worker, self.round.as_ref(), link, now)?;
        if now >= self.tell_at {
            self.tell_at = now + by_task::tell_every(&self.who);
            self.say_present(link)?;
        }
        self.send_on(link, now)?;
        if self.is_due(link, now) {
            self.send_pending(link, now)?;
        }
        self.give_up_late(now);
        let Some(round) = &self.round else { return Ok(()) };
        let here = self.worker.round() == round.round && self.worker.digest() == round.base;
        let here = here || self.needs_none();
        if here && round.phase == Phase::Finished && self.is_answered(now) && self.state != State::Finished {
            self.state = State::Finished;
            let digest = round.base.to_string();
            (self.watch)(AgentEvent::Finished { rounds: round.round, digest });
        }
        let hiding = self.is_hiding(round.round);
        let ours = |t: &&mut Asked| t.task.round == round.round && t.task.base == round.base;
        let Some(Asked { task, at, declined, times }) = self.task.as_mut().filter(ours) else {
            return Ok(());
        };
        let again = self.accepted == Some(task.round) && *times >= ASKED_AGAIN;
        let done = !again && self.note.as_ref().is_some_and(|n| n.round >= task.round);
        if here && round.phase == Phase::Collecting && !done && self.training.is_none() && !hiding {
            let left = Duration::from_secs(task.seconds.into()).saturating_sub(now.saturating_sub(*at));
            if let Some(took) = self.took.filter(|took| *took > left) {
                if !std::mem::replace(declined, true) {
                    let (left_s, usual_s) = (left.as_secs_f32(), took.as_secs_f32());
                    (self.watch)(AgentEvent::Declined { round: task.round, left_s, usual_s });
                    // A round that was slow by chance must not keep us out for good.
                    self.took = Some(took.mul_f32(0.8));
                }
                return Ok(());
            }
            let task = task.clone();
            if again {
                self.accepted = None;
                (self.watch)(AgentEvent::AskedAgain { round: task.round });
            }
            if let Begun::Declined(why) = self.worker.begin(&task, self.note.as_ref().map(|n| &*n.memory))? {
                self.task = None; // asked anew by another attempt, or over another connection
                (self.watch)(AgentEvent::Passed { round: task.round, why });
                return Ok(());
            }
            (self.watch)(AgentEvent::Training { round: task.round, groups: task.groups.count });
            self.training = Some(Training { task, since: now });
        }
        Ok(())
    }
}

#[cfg(test)]
mod after_tests;
#[cfg(test)]
mod slow_tests;
#[cfg(test)]
mod tests;
