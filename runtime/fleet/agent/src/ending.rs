//! When a run is over for a device: it has the last adapter, or nobody is left to send it.

use super::{Agent, State, Worker};
use sprig_transport::messages::{Phase, Round};
use std::time::Duration;

impl<W: Worker> Agent<'_, W> {
    /// The learner, to be asked for what a round does not need.
    pub fn worker_mut(&mut self) -> &mut W {
        &mut self.worker
    }

    /// Whether it has the adapter that was announced last, and no part under way.
    pub fn is_level(&self) -> bool {
        let reached = |base| self.worker.digest() == base;
        // Whoever hears of no round misses nothing before one.
        let nothing = self.who.by_task.is_some();
        let level = |r: &Round| self.needs_none() || self.worker.round() == r.round && reached(r.base);
        self.training.is_none() && self.round.as_ref().map_or(nothing, level)
    }

    /// Whether the run is over, and for longer than the patience nobody has sent any of the adapter that is missing.
    pub fn is_unserved(&self, now: Duration) -> bool {
        let Some(since) = self.over_since else { return false };
        let last = self.catch_up.heard().map_or(since, |heard| heard.max(since));
        !self.is_level() && now >= last + self.who.patience
    }

    /// Whether it takes part in rounds, as it says itself.
    pub(crate) fn trains(&self) -> bool {
        self.who.presence.tangents > 0
    }

    /// Rounds of the run that is over; `None` while it is not.
    pub fn rounds_done(&self) -> Option<u32> {
        self.round.as_ref().filter(|round| round.phase == Phase::Finished).map(|round| round.round)
    }

    /// Whether every update has its receipt, or the run is over for longer than the patience: then nobody is left to give
    /// one, and the update is in the last adapter or it is not.
    pub(crate) fn is_answered(&self, now: Duration) -> bool {
        self.unanswered.is_empty() || self.over_since.is_some_and(|since| now >= since + self.who.patience)
    }

    /// Takes note of a round's announcement.
    pub(crate) fn heard_of(&mut self, phase: Phase, now: Duration) {
        match phase {
            Phase::Finished => drop(self.over_since.get_or_insert(now)),
            // It goes on, perhaps before anybody looked that it was over.
            _ => (self.over_since, self.state) = (None, State::Waiting),
        }
    }
}
