//! The machine with its ledger and adapter: everything but the network, the clock and the evaluation.

use crate::aliases::Aliases;
use crate::check;
use crate::close::Closer;
use crate::countdown::Millis;
use crate::decision::{Decision, Effect, Outward, Work};
use crate::error::CoordinatorError;
use crate::event::{Event, Outcome};
use crate::ids::RoundId;
use crate::ledger::Ledger;
use crate::machine::Machine;
use crate::norms::Bounds;
use crate::options::Options;
use crate::state::Stage;
use crate::total::said;
use sprig_learn::spry::Layout;
use sprig_transport::messages::FleetTotal;
use std::sync::Arc;

/// Refusals are in the ledger after this time, if no other entry takes them along before.
const BOOKS: Millis = 2000;

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
    /// When the machine was last asked for its refusals.
    booked: Millis,
    /// Steps until a test cuts the power.
    #[cfg(test)]
    pub fuse: Option<u32>,
}

impl Core {
    /// Goes on from the ledger, or begins a run from the adapter `initial`.
    pub(crate) fn open(
        mut ledger: Ledger,
        options: &Arc<Options>,
        layout: Layout,
        initial: Vec<f32>,
    ) -> Result<Self, CoordinatorError> {
        // Where all that is seen is sums, nobody sees a number.
        let fresh = options.numbers.filter(|_| !options.secure);
        let key = fresh.map(|fresh| ledger.key_of_numbers(fresh)).transpose()?;
        let aliases = Aliases::new(key, options.max_devices);
        let closer = Closer::open(&mut ledger, options, (layout.clone(), initial), aliases.clone())?;
        options.check_folding(layout.len())?;
        let mut saved = ledger.load(closer.digest())?;
        let round = saved.state.round;
        if saved.state.stage == Stage::Finished {
            if round.0 > options.rounds {
                let (state, asked) = (options.state.clone(), options.rounds);
                return Err(CoordinatorError::Over { state, done: round, asked });
            }
            if round.0 < options.rounds {
                saved.state.stage = Stage::Gathering; // more are asked for than there were
            }
        }
        let (before, after) = (round.applied_before(), round.applied_after());
        if !(before..=after).contains(&closer.applied())
            || closer.applied() == before && closer.digest().0 != saved.state.base
        {
            let problem = format!("round {round} does not follow its last adapter");
            return Err(ledger.damaged(problem).into());
        }
        ledger.sweep(&saved.needed_pieces())?;
        let machine = Machine::new(Arc::clone(options), Arc::new(layout), saved)?.going_by(aliases);
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
    pub(crate) fn start(&mut self, now: Millis, outlet: &mut Outlet<'_>) -> Result<(), CoordinatorError> {
        let decision = self.machine.start(self.closer.applied());
        self.perform(decision, now, outlet)
    }

    /// Takes in a group of events: one durable transaction, then everything else in order.
    pub(crate) fn take(
        &mut self,
        events: impl IntoIterator<Item = Event>,
        now: Millis,
        outlet: &mut Outlet<'_>,
    ) -> Result<(), CoordinatorError> {
        let mut decision = Decision::default();
        for event in events {
            decision.append(self.machine.on(event, now));
        }
        if now >= self.booked + BOOKS || !decision.commits.is_empty() {
            decision.commits.extend(self.machine.refusals());
            self.booked = now;
        }
        self.perform(decision, now, outlet)
    }

    fn perform(
        &mut self,
        mut decision: Decision,
        now: Millis,
        outlet: &mut Outlet<'_>,
    ) -> Result<(), CoordinatorError> {
        while !decision.is_empty() {
            // What a later event commits comes forward: that harms nobody, and what must follow it still does.
            let Decision { commits, then } = std::mem::take(&mut decision);
            self.step()?;
            self.ledger.commit(&commits)?;
            for effect in then {
                self.step()?;
                match effect {
                    Effect::Out(outward) => outlet(&self.ledger, outward)?,
                    Effect::Work(work) => {
                        let event = self.work(work)?;
                        decision.append(self.machine.on(event, now));
                    }
                }
            }
        }
        debug_assert_eq!(self.holds(), Ok(()));
        Ok(())
    }

    /// What always holds once all is done: the machine's own, and that its round follows the adapter.
    pub(crate) fn holds(&self) -> Result<(), String> {
        self.machine.holds()?;
        let (round, applied) = (self.machine.round(), self.closer.applied());
        if self.machine.is_judging() && applied == round.id().applied_after() {
            return Ok(());
        }
        if applied != round.id().applied_before() || self.closer.digest() != round.base() {
            return Err(format!("round {} begins with an adapter of {applied} rounds", round.id()));
        }
        Ok(())
    }

    fn work(&mut self, work: Work) -> Result<Event, CoordinatorError> {
        match work {
            Work::Total { round } => {
                let (numbers, said) = said(&self.ledger, round)?;
                Ok(Event::Totalled { numbers, said })
            }
            Work::Close { round, bounds, total } => {
                let closed = self.close(round, &bounds, total.as_ref())?;
                self.step()?;
                Ok(closed)
            }
            Work::Revert { round, to, bytes: (bytes_up, bytes_down) } => {
                let outcome = self.closer.revert(&mut self.ledger, round, to)?;
                Ok(Event::Closed(Outcome { bytes_up, bytes_down, ..outcome }))
            }
            Work::Check { number, digest, bytes, examples, groups } => {
                let (ledger, what) = (&self.ledger, (number, digest, bytes));
                let norm = match self.options.readout {
                    _ if self.options.secure => {
                        let values = check::gather(ledger, number, digest)?;
                        return Ok(Event::Gathered { number, digest, values });
                    }
                    Some(readout) => check::check_sums(ledger, number, digest, readout.shape, examples)?,
                    None if self.options.takes_weights() => {
                        check::check(ledger, what, self.closer.weights(groups).into_iter())?
                    }
                    None => check::check(ledger, what, std::iter::repeat(0.0))?,
                };
                Ok(Event::Checked { number, digest, norm })
            }
        }
    }

    fn close(
        &mut self,
        round: RoundId,
        bounds: &Bounds,
        total: Option<&FleetTotal>,
    ) -> Result<Event, CoordinatorError> {
        let mut outcome = self.closer.close(&mut self.ledger, round, (bounds, total))?;
        let Options { keep_records, keep_snapshots, .. } = *self.options;
        self.ledger.prune(keep_records, keep_snapshots, &self.machine.needed_adapters())?;
        let before = std::mem::replace(&mut self.closed_at, self.traffic);
        outcome.bytes_up = self.traffic.0.saturating_sub(before.0);
        outcome.bytes_down = self.traffic.1.saturating_sub(before.1);
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
