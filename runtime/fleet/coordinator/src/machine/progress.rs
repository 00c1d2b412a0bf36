//! The machine's way through a round: gather, open, wait, find others for those who are absent, close, evaluate.

use super::Machine;
use super::gate::Judged;
use crate::aggregation::MOST;
use crate::countdown::Millis;
use crate::decision::{Decision, Entry, Outward};
use crate::event::Outcome;
use crate::ids::{Applied, RoundId};
use crate::notice::Notice;
use crate::options::Options;
use crate::rows::{Calibration, HeldOut, Member, RoundRow};
use crate::select;
use crate::state::Stage;
use sprig_learn::calibration::Bins;
use sprig_protocol::settings::Evaluate;

impl Machine {
    /// Moves on as far as possible.
    pub(super) fn progress(&mut self, now: Millis, out: &mut Decision) {
        let Some(connected) = self.connected else { return };
        if self.paused {
            return;
        }
        match self.round.stage() {
            Stage::Gathering => {
                let settled = now >= connected + self.options.settle.as_millis() as Millis;
                let fit = self.registry.fit();
                if fit >= self.needed() && (settled || fit >= self.most()) {
                    self.open(now, out);
                } else {
                    self.wait(now, out);
                }
            }
            Stage::Collecting if self.options.secure => self.aggregate(now, out),
            Stage::Collecting => {
                self.round.run(now);
                let (covered, all) = self.round.shares();
                if covered == all || self.is_enough(now) {
                    self.close(out);
                } else if self.round.left(now) == 0 || self.is_idle(now) {
                    self.overdue(now, out);
                }
            }
            Stage::Closing if self.folding.is_some() && now >= self.resend => self.wait_for_fleets(now, out),
            Stage::Closing | Stage::Finished => {}
        }
        if now >= self.resend && self.round.stage() != Stage::Closing {
            self.announce_again(now, out);
        }
    }

    /// Devices that must be here before the round opens. Sums of a device that comes late are added when it comes.
    pub(super) fn needed(&self) -> u32 {
        let late = self.options.readout.is_some() && self.round.id() > RoundId::FIRST;
        let least = self.options.fewest();
        if late { least } else { self.options.min_devices.max(least) }
    }

    /// Devices that a round asks, at most.
    fn most(&self) -> u32 {
        let most = self.options.per_round.saturating_add(self.options.spares);
        if self.options.secure { most.min(MOST) } else { most }
    }

    pub(super) fn wait(&mut self, now: Millis, out: &mut Decision) {
        let here = (self.round.id(), self.round.stage());
        if self.waiting.replace(here) != Some(here) {
            out.tell(Notice::Waiting { round: self.round.id(), what: self.waiting_for(now) });
        }
    }

    /// Selects and opens the round.
    fn open(&mut self, now: Millis, out: &mut Decision) {
        let Options { per_round, seed, deadline, .. } = *self.options;
        let round = self.round.id();
        let candidates = self.registry.candidates(round, self.needed() as usize, deadline);
        let mut chosen = select::choose(candidates, self.most() as usize, seed, round, 0);
        let spare = select::split(&mut chosen, per_round as usize, seed, round);
        let deal = self.options.deal(self.layout.groups().len());
        let mut members = select::deal(deal, &chosen, |n| self.registry.strength(n), round);
        let shared: Vec<Member> =
            spare.into_iter().zip(&members).map(|(number, &of)| Member { number, ..of }).collect();
        members.extend(shared);
        members.sort_unstable_by_key(|member| member.number);
        self.round.open(&members, now, deadline);
        out.commit(Entry::Members(members));
        self.open_attempt(now, out);
    }

    /// Hands out the tasks of an attempt.
    pub(super) fn open_attempt(&mut self, now: Millis, out: &mut Decision) {
        out.commit(Entry::State(self.state()));
        self.begin_aggregation(now, out);
        self.announce(now, out);
        self.hand_out(now, out);
        out.tell(Notice::Opened {
            round: self.round.id(),
            rounds: self.options.rounds,
            attempt: self.round.attempt(),
            selected: self.round.selected(),
            seconds: self.options.deadline.as_secs(),
        });
    }

    /// The deadline passed before all shares had an update, or nobody is left to wait for.
    fn overdue(&mut self, now: Millis, out: &mut Decision) {
        let Options { quorum, attempts, deadline, .. } = *self.options;
        if self.round.reported() >= quorum.max(1) || self.round.attempt() + 1 >= attempts {
            return self.close(out);
        }
        let others = self.free(&self.round.absent(), self.round.attempt() + 1);
        self.round.try_again(others, now, deadline);
        out.commit(Entry::Members(self.round.members().copied().collect()));
        self.open_attempt(now, out);
    }

    /// Takes no more updates, and has those in the ledger applied.
    pub(super) fn close(&mut self, out: &mut Decision) {
        self.round.close();
        out.commit(Entry::State(self.state()));
        self.apply(out);
    }

    /// A round is applied: it is announced, or waits for the evaluation of what it made.
    pub(super) fn closed(&mut self, outcome: Outcome, now: Millis, out: &mut Decision) {
        if self.round.stage() != Stage::Closing || outcome.round != self.round.id() {
            return;
        }
        let back = outcome.reverted.and(self.best).map(|best| Judged::As(best.found));
        if let Some(outcome) = self.hold(outcome, out) {
            self.conclude(outcome, back.unwrap_or(Judged::Not), now, out);
        }
    }

    /// Ends a round.
    pub(super) fn conclude(&mut self, outcome: Outcome, judged: Judged, now: Millis, out: &mut Decision) {
        self.round.settle();
        self.book(out);
        let mut row = self.row(&outcome, now);
        if let Judged::As(found) = judged {
            (row.accuracy, row.loss_held_out) = (found.accuracy, Some(found.loss));
        }
        self.round.go_on(outcome.after, self.options.rounds);
        self.result = Some(outcome.result);
        let evaluate = matches!(judged, Judged::Not) && self.is_due(&row);
        if evaluate {
            self.evaluations.begin(row.clone());
        }
        out.commits.extend(self.refusals());
        out.commit(Entry::History(row.clone()));
        out.commit(Entry::Forget { round: outcome.round });
        out.commit(Entry::Members(Vec::new()));
        out.commit(Entry::State(self.state()));
        out.tell(Notice::Closed(row));
        if evaluate {
            out.out(Outward::Evaluate { applied: outcome.round.applied_after() });
        }
        // A round that can open at once announces the result itself.
        let mut next = Decision::default();
        self.progress(now, &mut next);
        if self.round.stage() != Stage::Collecting && self.connected.is_some() {
            self.announce(now, out);
        }
        out.append(next);
        if self.round.stage() == Stage::Finished {
            out.tell(Notice::Finished { adapter_digest: outcome.after.to_string() });
        }
    }

    /// The history's row of the round that is closing.
    fn row(&self, outcome: &Outcome, now: Millis) -> RoundRow {
        let state = match outcome.reverted {
            Some(_) => "reverted",
            None if outcome.applied + outcome.others > 0 => "closed",
            None => "abandoned",
        };
        RoundRow {
            round: outcome.round,
            state: state.into(),
            mode: self.options.mode().into(),
            selected: self.round.selected(),
            reported: outcome.applied,
            others: self.folding.as_ref().map(|_| outcome.others),
            refused: self.round.refused(),
            loss: outcome.loss.is_finite().then_some(outcome.loss),
            calibration: Bins::of_rows(&outcome.bins).as_ref().map(Calibration::of),
            weights: outcome.weights.clone(),
            accuracy: None,
            loss_held_out: None,
            bytes_up: outcome.bytes_up,
            bytes_down: outcome.bytes_down,
            seconds: self.round.seconds(now),
            adapter_digest: outcome.after.to_string(),
        }
    }

    /// Whether the adapter that `row`'s round made should be evaluated while rounds go on.
    fn is_due(&self, row: &RoundRow) -> bool {
        let last = self.round.stage() == Stage::Finished;
        self.is_evaluated(row.round) && (last || !self.evaluations.are_full())
    }

    /// Whether the adapter that `round` makes is one to be evaluated.
    pub(super) fn is_evaluated(&self, round: RoundId) -> bool {
        let when = self.options.evaluate;
        if round.next().0 >= self.options.rounds {
            when != Evaluate::Never
        } else {
            when.between(round.next().0)
        }
    }

    pub(super) fn evaluated(
        &mut self,
        applied: Applied,
        found: Result<HeldOut, String>,
        now: Millis,
        out: &mut Decision,
    ) {
        if let Some(outcome) = self.held.take_if(|outcome| outcome.round.applied_after() == applied) {
            return self.judge(outcome, found, now, out);
        }
        let Some(row) = self.evaluations.end(applied, found.as_ref().ok().copied()) else { return };
        if let Some(row) = row {
            out.commit(Entry::History(row));
        }
        let notice = match found {
            Ok(found) => {
                self.keep_best(applied, found);
                if applied == Applied::NONE {
                    out.commit(Entry::Before(found));
                }
                Notice::Evaluated { applied, found }
            }
            Err(reason) => Notice::NotEvaluated { applied, reason },
        };
        out.commit(Entry::State(self.state()));
        out.tell(notice);
    }

    pub(super) fn pause(&mut self, paused: bool, now: Millis, out: &mut Decision) {
        if self.paused == paused || self.round.stage() == Stage::Finished {
            return;
        }
        self.paused = paused;
        self.round.stop(now);
        self.ask_again(now);
        out.commit(Entry::State(self.state()));
        out.tell(if paused { Notice::Paused } else { Notice::Resumed });
        if self.connected.is_some() {
            self.announce(now, out);
            self.hand_out(now, out);
        }
    }
}
