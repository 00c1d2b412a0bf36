//! A device that acts on its tasks alone: it hears of no round but those it is selected for, fetches the adapter then, and says
//! every some minutes that it is here.

use super::{Agent, AgentEvent, Asked, Identity, Worker};
use sprig_protocol::FleetError;
use sprig_transport::link::Link;
use sprig_transport::messages::{Job, Phase, Round, Task};
use std::time::Duration;

/// How a device of such a fleet behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByTask {
    /// Time after which it says again that it is here.
    pub tell: Duration,
    /// Whether it keeps the adapter of a run that is over; otherwise it fetches none without a task.
    pub keeps: bool,
}

/// Presence is told again after so many pauses of resending, and after [`TELL_EVERY`] at the latest: a message that was
/// lost would keep us out for good, and who is not heard for long is taken for gone.
const TELL_AGAIN: u32 = 6;
const TELL_EVERY: Duration = Duration::from_secs(30);
/// A report of memory and time goes out no more often than this: an hour says as much of a board as a round.
const REPORT_EVERY: Duration = Duration::from_secs(3600);
/// So many times it says that it is here before it asks the broker for the job again, having heard nothing: an end that went past
/// it is not told twice.
const ASKS_AFTER: u32 = 6;

/// Time after which a device says again that it is here.
pub(super) fn tell_every(who: &Identity) -> Duration {
    who.by_task.map_or((who.resend * TELL_AGAIN).min(TELL_EVERY), |how| how.tell)
}

impl<W: Worker> Agent<'_, W> {
    /// Topics that it listens to: that of all rounds only where it follows them.
    pub(super) fn filters(&self) -> Vec<String> {
        let (topics, device) = (&self.who.topics, &self.who.device);
        let own = [topics.task(device), topics.receipt(device), topics.offer(device)];
        own.into_iter().chain(self.who.by_task.is_none().then(|| topics.round())).collect()
    }

    /// Takes a task for the announcement of its round, unless that was trained for before.
    pub(super) fn announced_by(
        &mut self,
        task: &Task,
        link: &mut dyn Link,
        now: Duration,
    ) -> Result<(), FleetError> {
        let done = self.note.as_ref().is_some_and(|note| note.round >= task.round);
        let stale =
            self.worker.round() > task.round || self.round.as_ref().is_some_and(|r| r.round > task.round);
        self.told = now;
        if self.who.by_task.is_none() || done || stale {
            return Ok(());
        }
        let Task { run, round, base, .. } = *task;
        self.announced(Round { run, round, phase: Phase::Collecting, base, result: None }, link, now)
    }

    /// Takes what a job says of the end of its run; false where the job says that it goes on, and this device came for its end.
    ///
    /// # Errors
    /// As [`Agent::on`].
    pub fn told_over(&mut self, job: &Job, link: &mut dyn Link, now: Duration) -> Result<bool, FleetError> {
        self.told = now;
        match &job.over {
            Some(round) if self.who.by_task.is_some() && round.phase == Phase::Finished => {
                self.announced(round.clone(), link, now)?;
                self.proceed(link, now)?;
                Ok(true)
            }
            Some(_) => Ok(true),
            None => Ok(self.trains() || self.who.by_task.is_none()),
        }
    }

    /// Whether the broker should be asked for the job again, for nothing was heard for long.
    pub fn asks_for_the_job(&mut self, now: Duration) -> bool {
        let due = self.who.by_task.is_some_and(|how| now >= self.told + how.tell * ASKS_AFTER);
        if due {
            self.told = now;
        }
        due
    }

    /// Whether the adapter that was announced is nothing to this device: the run is over, and it keeps none.
    pub(super) fn needs_none(&self) -> bool {
        let over = self.round.as_ref().is_some_and(|round| round.phase == Phase::Finished);
        over && self.who.by_task.is_some_and(|how| !how.keeps)
    }

    /// Gives up what can no longer be in time: nobody says that its round has ended. A round that the fleet has left behind while
    /// its adapter was fetched is forgotten.
    pub(super) fn give_up_late(&mut self, now: Duration) {
        if self.who.by_task.is_none() {
            return;
        }
        let late = |asked: &Asked| now > asked.at + Duration::from_secs(asked.task.seconds.into());
        if self.training.is_some()
            && let Some(Asked { task, .. }) = self.task.take_if(|asked| late(asked))
        {
            self.training = None;
            self.worker.abandon();
            (self.watch)(AgentEvent::Abandoned { round: task.round });
        }
        let collecting = |round: &Round| round.phase == Phase::Collecting;
        let left = |round: &Round| collecting(round) && self.worker.round() > round.round;
        if self.round.as_ref().is_some_and(left) {
            (self.round, self.task) = (None, None);
        }
    }

    /// Whether a round is reported.
    pub(super) fn is_reported(&mut self, now: Duration) -> bool {
        let due = self.who.by_task.is_none() || self.reported.is_none_or(|at| now >= at + REPORT_EVERY);
        if due {
            self.reported = Some(now);
        }
        due
    }
}
