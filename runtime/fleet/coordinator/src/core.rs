//! The machine with its ledger and adapter: everything but the network, the clock and the evaluation.

use super::close::{self, Closer};
use super::error::CoordinatorError;
use super::event::{Effect, Entry, Event, Millis, Notice};
use super::ledger::Ledger;
use super::machine::Machine;
use super::options::Options;
use sprig_learn::spry::Layout;
use sprig_transport::messages::{DeviceId, Want};
use std::sync::Arc;

/// Refusals are in the ledger after this time, if no other entry takes them along before.
const BOOKS: Millis = 2000;

/// What leaves the core, after everything it depends on is durable.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outward {
    Publish { topic: String, payload: Vec<u8>, retain: bool },
    Evaluate { applied: u32 },
    Serve(DeviceId, Want),
    Tell(Notice),
}

/// Takes what leaves the core.
pub(super) type Outlet<'a> = dyn FnMut(&Ledger, Outward) -> Result<(), CoordinatorError> + 'a;

pub(super) struct Core {
    pub machine: Machine,
    pub ledger: Ledger,
    pub closer: Closer,
    /// Bytes received and sent so far.
    pub traffic: (u64, u64),
    /// The same when the last round closed.
    closed_at: (u64, u64),
    options: Arc<Options>,
    /// When the machine was last asked for its books.
    booked: Millis,
    /// Steps until a test cuts the power.
    #[cfg(test)]
    pub fuse: Option<u32>,
}

impl Core {
    /// Goes on from the ledger, or begins a run from the adapter `initial`.
    pub fn open(
        mut ledger: Ledger,
        options: &Arc<Options>,
        layout: Layout,
        initial: Vec<f32>,
    ) -> Result<Self, CoordinatorError> {
        let closer = Closer::open(&mut ledger, options, layout.clone(), initial)?;
        let saved = ledger.load(closer.digest())?;
        let round = saved.state.round;
        if !(round..=round + 1).contains(&closer.applied())
            || closer.applied() == round && closer.digest().0 != saved.state.base
        {
            let problem = format!("round {round} does not follow its last adapter");
            return Err(ledger.damaged(problem).into());
        }
        ledger.sweep(&saved.accepted)?;
        let machine = Machine::new(Arc::clone(options), Arc::new(layout), saved)?;
        Ok(Core {
            machine,
            ledger,
            closer,
            traffic: (0, 0),
            closed_at: (0, 0),
            options: Arc::clone(options),
            booked: 0,
            #[cfg(test)]
            fuse: None,
        })
    }

    /// Does what a crash may have interrupted.
    pub fn start(&mut self, now: Millis, outlet: &mut Outlet<'_>) -> Result<(), CoordinatorError> {
        let effects = self.machine.start();
        self.perform(effects, now, outlet)
    }

    /// Takes in a group of events: one durable transaction, then everything else in order.
    pub fn take(
        &mut self,
        events: impl IntoIterator<Item = Event>,
        now: Millis,
        outlet: &mut Outlet<'_>,
    ) -> Result<(), CoordinatorError> {
        let mut effects = Vec::new();
        for event in events {
            effects.append(&mut self.machine.on(event, now));
        }
        if now >= self.booked + BOOKS || effects.iter().any(|effect| matches!(effect, Effect::Commit(_))) {
            effects.extend(self.machine.books().into_iter().map(Effect::Commit));
            self.booked = now;
        }
        self.perform(effects, now, outlet)
    }

    fn perform(
        &mut self,
        mut effects: Vec<Effect>,
        now: Millis,
        outlet: &mut Outlet<'_>,
    ) -> Result<(), CoordinatorError> {
        while !effects.is_empty() {
            // A commit brought forward harms nobody: what must follow it still does.
            let (commits, rest): (Vec<Effect>, Vec<Effect>) =
                effects.into_iter().partition(|effect| matches!(effect, Effect::Commit(_)));
            let entries: Vec<Entry> = commits
                .into_iter()
                .filter_map(|effect| if let Effect::Commit(entry) = effect { Some(entry) } else { None })
                .collect();
            self.step()?;
            self.ledger.commit(&entries)?;
            effects = Vec::new();
            for effect in rest {
                self.step()?;
                match effect {
                    Effect::Commit(_) => {}
                    Effect::Close { round, aside } => {
                        let outcome = self.close(round, &aside)?;
                        self.step()?;
                        effects.append(&mut self.machine.on(outcome, now));
                    }
                    Effect::Check { number, digest, bytes } => {
                        let verdict = close::check(&self.ledger, number, digest, bytes)?;
                        effects.append(&mut self.machine.on(Event::Checked(number, digest, verdict), now));
                    }
                    Effect::Publish { topic, payload, retain } => {
                        outlet(&self.ledger, Outward::Publish { topic, payload, retain })?;
                    }
                    Effect::Evaluate { applied } => outlet(&self.ledger, Outward::Evaluate { applied })?,
                    Effect::Serve(device, want) => outlet(&self.ledger, Outward::Serve(device, want))?,
                    Effect::Tell(notice) => outlet(&self.ledger, Outward::Tell(notice))?,
                }
            }
        }
        Ok(())
    }

    fn close(&mut self, round: u32, aside: &[u32]) -> Result<Event, CoordinatorError> {
        let mut outcome = self.closer.close(&mut self.ledger, round, aside)?;
        let Options { keep_records, keep_snapshots, .. } = *self.options;
        self.ledger.prune(keep_records, keep_snapshots, &self.machine.state().evaluating)?;
        let before = std::mem::replace(&mut self.closed_at, self.traffic);
        outcome.bytes_up = self.traffic.0 - before.0;
        outcome.bytes_down = self.traffic.1 - before.1;
        Ok(Event::Closed(outcome))
    }

    #[cfg(not(test))]
    fn step(&self) -> Result<(), CoordinatorError> {
        Ok(())
    }

    #[cfg(test)]
    fn step(&mut self) -> Result<(), CoordinatorError> {
        match &mut self.fuse {
            Some(0) => Err(CoordinatorError::Cut),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}
