//! The coordinator as a pure state machine: what happened and when goes in, what is to be done comes out. It does no
//! input or output, has no clock and knows no model. What it must remember over a restart is in what it commits, and
//! whatever depends on a commit comes after it.
//!
//! A round: *gathering* (waits for devices) → *collecting* (members have tasks; each accepted update is committed before
//! its receipt) → *closing* (committed, so that no later update joins; the updates are applied) → the next.

mod announce;
mod fold;
mod gate;
mod intake;
mod progress;
mod secure;
mod standing;
mod view;
mod waiting;

use crate::aggregation::Aggregation;
use crate::aliases::Aliases;
use crate::countdown::Millis;
use crate::decision::{Decision, Entry, Outward, Work};
use crate::evaluations::Evaluations;
use crate::event::{Event, Outcome};
use crate::folding::Folding;
use crate::ids::{Applied, RoundId};
use crate::notice::Notice;
use crate::options::Options;
use crate::registry::{Asked, Registry};
use crate::round::Round;
use crate::rows::Best;
use crate::state::{Saved, Stage, State};
use sprig_learn::spry::Layout;
use sprig_protocol::settings::Evaluate;
use sprig_transport::messages::{NameError, Round as RoundMessage, RoundResult};
use sprig_transport::topics::Topics;
use std::sync::Arc;

/// The coordinator's decisions.
#[derive(Debug)]
pub(crate) struct Machine {
    options: Arc<Options>,
    topics: Topics,
    layout: Arc<Layout>,
    round: Round,
    /// Of its sums, where they are aggregated securely.
    aggregation: Option<Aggregation>,
    /// With other fleets, where several learn one adapter.
    folding: Option<Folding>,
    registry: Registry,
    evaluations: Evaluations,
    /// What a round gave that is not announced before its adapter is evaluated.
    held: Option<Outcome>,
    /// The adapter that did best on held-out data.
    best: Option<Best>,
    paused: bool,
    /// What the last round gave.
    result: Option<RoundResult>,
    /// It was told that the last adapter is with the broker.
    left: bool,
    /// Since when the broker can be reached.
    connected: Option<Millis>,
    /// The broker keeps this run's job.
    job_kept: bool,
    /// When the broker was last asked for it.
    job_asked: Millis,
    /// The end of the run as the job tells it, to devices that act on their tasks alone.
    told_over: Option<RoundMessage>,
    /// When round and tasks are published again.
    resend: Millis,
    /// When it was last looked for devices that are silent.
    looked: Millis,
    /// Messages of nobody known, or on no topic of the fleet.
    strangers: u64,
    /// Which numbers devices go by.
    aliases: Aliases,
    /// The wait that was told of last.
    waiting: Option<(RoundId, Stage)>,
}

impl Machine {
    /// A machine that goes on from `saved`.
    ///
    /// # Errors
    /// When the fleet's name cannot be part of a topic.
    pub(crate) fn new(options: Arc<Options>, layout: Arc<Layout>, saved: Saved) -> Result<Self, NameError> {
        let (mut round, aggregation) =
            (Round::new(&saved, options.deadline), secure::left(options.run, &saved));
        for number in aggregation.iter().flat_map(Aggregation::reported) {
            round.cover(number, 0.0, None);
        }
        let numbers = options.hidden(layout.len()).unwrap_or_default();
        let Options { run, settings, fold_with, .. } = &*options;
        let folding =
            (!fold_with.is_empty()).then(|| Folding::new(*run, settings, numbers, fold_with, saved.totals));
        Ok(Machine {
            topics: Topics::new(&options.fleet)?,
            aliases: Aliases::default(),
            layout,
            round,
            aggregation,
            folding,
            registry: Registry::new(
                saved.devices,
                options.max_devices,
                Asked {
                    min_budget: options.min_budget,
                    least_agent: options.least_agent,
                    once: options.readout.is_some(),
                },
            ),
            evaluations: Evaluations::new(saved.state.evaluating, saved.evaluating, saved.before),
            held: None,
            best: saved.state.best,
            paused: saved.state.paused,
            result: saved.result,
            left: false,
            connected: None,
            job_kept: false,
            job_asked: 0,
            told_over: None,
            resend: 0,
            looked: 0,
            strangers: 0,
            waiting: None,
            options,
        })
    }

    /// The same with devices that go by these numbers.
    pub(crate) fn going_by(self, aliases: Aliases) -> Self {
        Self { aliases, ..self }
    }

    /// What is to be done first, with an adapter of so many rounds: what a crash may have interrupted.
    pub(crate) fn start(&mut self, applied: Applied) -> Decision {
        let mut out = Decision::default();
        let begun = self.round.id() > RoundId::FIRST || self.round.stage() != Stage::Gathering;
        if !begun && self.evaluations.before().is_none() {
            if self.options.evaluate != Evaluate::Never {
                self.evaluations.begin_before();
            }
            out.commit(Entry::State(self.state()));
        }
        for &applied in self.evaluations.under_way() {
            out.out(Outward::Evaluate { applied });
        }
        let round = self.round.id();
        match self.round.stage() {
            // It is only to be told of.
            Stage::Closing if applied == round.applied_after() => {
                out.work(Work::Close { round, bounds: self.round.bounds(), total: None });
            }
            Stage::Closing => self.apply(&mut out),
            _ => {}
        }
        out
    }

    /// Takes in an event.
    pub(crate) fn on(&mut self, event: Event, now: Millis) -> Decision {
        let mut out = Decision::default();
        match event {
            Event::Connected => self.connect(now, &mut out),
            Event::Job { ours } => self.job_kept = ours,
            Event::Disconnected { reason } => {
                self.connected = None;
                self.round.stop(now);
                out.tell(Notice::Disconnected { reason });
            }
            Event::Presence { device, presence } => self.presence(&device, presence, now, &mut out),
            Event::Update { device, update, frame } => {
                self.heard(&device, now);
                self.update(&device, update, frame, now, &mut out);
            }
            Event::Report { device, report, frame } => {
                self.heard(&device, now);
                self.report(&device, &report, frame, &mut out);
            }
            Event::Want { device, want } => self.want(device, want, now, &mut out),
            Event::Chunk { device, digest, n, frame } => {
                self.heard(&device, now);
                if self.chunk(&device, digest, n, &frame, &mut out)
                    && let Some(aggregation) = &mut self.aggregation
                {
                    aggregation.hears(now);
                }
            }
            Event::Unreadable { device, why } => self.unreadable(device, why, now, &mut out),
            Event::Checked { number, digest, norm } => self.checked(number, digest, norm, now, &mut out),
            Event::Gathered { number, digest, values } => {
                self.gathered(number, digest, values, now, &mut out)
            }
            Event::Totalled { numbers, said } => self.totalled(numbers, said, &mut out),
            Event::Tidings { fleet, tidings } => self.tidings(&fleet, tidings, &mut out),
            Event::Closed(outcome) => self.closed(outcome, now, &mut out),
            Event::Evaluated { applied, found } => self.evaluated(applied, found, now, &mut out),
            Event::Left { digest, bytes, kept } => self.left(digest, bytes, kept, now, &mut out),
            Event::Pause => self.pause(true, now, &mut out),
            Event::Resume => self.pause(false, now, &mut out),
            Event::Standing { device, act } => self.change(&device, act, now, &mut out),
            Event::Tick => self.look(now, &mut out),
        }
        self.progress(now, &mut out);
        debug_assert_eq!(self.holds(), Ok(()));
        out
    }

    /// Whether all rounds are done.
    pub(crate) fn over(&self) -> bool {
        self.round.stage() == Stage::Finished
    }

    /// Whether all rounds are done and evaluated.
    pub(crate) fn finished(&self) -> bool {
        self.round.stage() == Stage::Finished && self.evaluations.under_way().is_empty()
    }

    /// Where it is, as the ledger keeps it.
    pub(crate) fn state(&self) -> State {
        let round = &self.round;
        State {
            round: round.id(),
            stage: round.stage(),
            attempt: round.attempt(),
            paused: self.paused,
            base: round.base().0,
            norms: round.norms().to_vec(),
            evaluating: self.evaluations.under_way().to_vec(),
            refused: round.refused(),
            best: self.best,
        }
    }

    /// The round under way.
    pub(crate) fn round(&self) -> &Round {
        &self.round
    }

    /// Adapters that are still needed, by rounds applied: for an evaluation, to come back, or for a copy of the ledger to go on
    /// from, which has no records: what the round under way began with is all that is announced until the next one opens.
    pub(crate) fn needed_adapters(&self) -> Vec<Applied> {
        let begun = [self.round.id().applied_before()];
        let best = self.best.map(|best| best.applied);
        self.evaluations.under_way().iter().copied().chain(best).chain(begun).collect()
    }

    /// Whether a round that is applied waits for the evaluation of what it made.
    pub(crate) fn is_judging(&self) -> bool {
        self.held.is_some()
    }

    /// Refusals that were counted since this was asked for last. They go along with whatever else is committed: a
    /// transaction for each would be a way to wear out the disk.
    pub(crate) fn refusals(&mut self) -> Vec<Entry> {
        let Some(rows) = self.registry.refusals() else { return Vec::new() };
        rows.into_iter().map(Entry::Device).chain([Entry::State(self.state())]).collect()
    }

    /// What always holds, whatever happened; what does not, if something went wrong.
    pub(crate) fn holds(&self) -> Result<(), String> {
        self.round.holds()?;
        self.registry.holds()?;
        self.evaluations.holds()?;
        let last = self.round.id().applied_before();
        match self.evaluations.under_way().iter().find(|applied| **applied > last) {
            Some(applied) => Err(format!("adapter {applied} is evaluated; {last} rounds are applied")),
            None => Ok(()),
        }
    }

    #[cfg(test)]
    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    #[cfg(test)]
    pub(crate) fn strangers(&self) -> u64 {
        self.strangers
    }
}
