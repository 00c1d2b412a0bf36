//! The machine's way through a round: gather, open, wait, find others for those who are absent, close, evaluate.

use super::countdown::Countdown;
use super::event::{Effect, Entry, Judgement, Millis, Notice, Outcome};
use super::machine::{Machine, Part};
use super::options::Options;
use super::select;
use super::state::{Member, Stage, State};
use super::validate;
use super::view::RoundRow;

/// Evaluations under way at most; while there are as many, rounds go on without one.
const EVALUATIONS: usize = 4;

impl Machine {
    /// Moves on as far as possible.
    pub(super) fn progress(&mut self, now: Millis, out: &mut Vec<Effect>) {
        let Some(connected) = self.connected else { return };
        if self.state.paused {
            return;
        }
        match self.state.stage {
            Stage::Gathering => {
                let settled = now >= connected + self.options.settle.as_millis() as Millis;
                let fit = self.registry.fit();
                if fit >= self.options.min_devices.max(1) && (settled || fit >= self.options.per_round) {
                    self.open(now, out);
                } else {
                    self.wait(now, out);
                }
            }
            Stage::Collecting => {
                self.opened.get_or_insert(now);
                self.deadline.run(now);
                if self.open_slots == 0 {
                    self.close(out);
                } else if self.deadline.left(now) == 0 {
                    self.overdue(now, out);
                }
            }
            Stage::Closing | Stage::Finished => {}
        }
        if now >= self.resend && self.state.stage != Stage::Closing {
            self.announce(now, out);
            self.hand_out(now, |_| true, out);
        }
    }

    fn wait(&mut self, now: Millis, out: &mut Vec<Effect>) {
        let here = (self.state.round, self.state.stage);
        if self.told.replace(here) != Some(here) {
            out.push(Effect::Tell(Notice::Waiting { round: self.state.round, what: self.waiting_for(now) }));
        }
    }

    /// Selects and opens the round.
    fn open(&mut self, now: Millis, out: &mut Vec<Effect>) {
        let Options { per_round, seed, dealing, .. } = *self.options;
        let round = self.state.round;
        let chosen = select::choose(self.registry.candidates(), per_round as usize, seed, round, 0);
        let groups = self.layout.groups().len();
        let members = select::deal(dealing, groups, &chosen, |n| self.registry.strength(n), seed, round);
        self.parts = members.iter().map(|&member| Part { member, norm: None }).collect();
        self.state.stage = Stage::Collecting;
        self.state.attempt = 0;
        self.begin_round();
        self.opened = Some(now);
        out.push(Effect::Commit(Entry::Members(members)));
        self.open_attempt(now, |_| true, out);
    }

    /// Starts the clock of an attempt and hands out tasks to members that `asked` names.
    fn open_attempt(&mut self, now: Millis, asked: impl Fn(u32) -> bool, out: &mut Vec<Effect>) {
        self.deadline = Countdown::new(self.options.deadline, Some(now));
        out.push(Effect::Commit(Entry::State(self.state.clone())));
        self.announce(now, out);
        self.hand_out(now, asked, out);
        out.push(Effect::Tell(Notice::Opened {
            round: self.state.round,
            rounds: self.options.rounds,
            attempt: self.state.attempt,
            selected: self.parts.len() as u32,
            seconds: self.options.deadline.as_secs(),
        }));
    }

    /// The deadline passed before all shares had an update.
    fn overdue(&mut self, now: Millis, out: &mut Vec<Effect>) {
        if self.reported >= self.options.quorum.max(1) || self.state.attempt + 1 >= self.options.attempts {
            return self.close(out);
        }
        self.state.attempt += 1;
        self.replace();
        out.push(Effect::Commit(Entry::Members(self.parts.iter().map(|p| p.member).collect())));
        self.open_attempt(now, |_| true, out);
    }

    /// Finds other devices for the shares that lack an update. Those who have them may still report: two updates of
    /// one share are averaged like any other.
    fn replace(&mut self) {
        let open: Vec<Member> = (0..)
            .zip(&self.covered)
            .filter(|(_, covered)| !**covered)
            .filter_map(|(slot, _)| self.parts.iter().map(|p| p.member).find(|m| m.slot == slot))
            .collect();
        let mut free = self.registry.candidates();
        free.retain(|&number| self.place(number).is_none());
        let Options { seed, .. } = *self.options;
        let chosen = select::choose(free, open.len(), seed, self.state.round, self.state.attempt);
        for (number, absent) in chosen.into_iter().zip(open) {
            self.parts.push(Part { member: Member { number, ..absent }, norm: None });
        }
        self.parts.sort_unstable_by_key(|p| p.member.number);
    }

    /// Takes no more updates, and has those in the ledger applied.
    fn close(&mut self, out: &mut Vec<Effect>) {
        self.state.stage = Stage::Closing;
        self.pending.clear();
        out.push(Effect::Commit(Entry::State(self.state.clone())));
        self.apply(out);
    }

    pub(super) fn apply(&self, out: &mut Vec<Effect>) {
        let aside = self.aside();
        out.push(Effect::Close { round: self.state.round, aside });
    }

    /// Members whose updates are far from all others of this and the last rounds: before there is a median, nothing
    /// can be refused on arrival.
    fn aside(&self) -> Vec<u32> {
        let norms = self.parts.iter().filter_map(|p| p.norm);
        let mut pool: Vec<f32> = self.state.norms.iter().copied().chain(norms).collect();
        let limit = validate::limit(&mut pool);
        self.parts.iter().filter(|p| p.norm.is_some_and(|n| n > limit)).map(|p| p.member.number).collect()
    }

    pub(super) fn closed(&mut self, outcome: Outcome, now: Millis, out: &mut Vec<Effect>) {
        if self.state.stage != Stage::Closing || outcome.round != self.state.round {
            return;
        }
        let aside = self.aside();
        self.state.refused += aside.len() as u32;
        let norms = self.parts.iter().filter(|p| aside.binary_search(&p.member.number).is_err());
        self.state.norms.extend(norms.filter_map(|p| p.norm));
        let surplus = self.state.norms.len().saturating_sub(State::NORMS);
        self.state.norms.drain(..surplus);
        let row = RoundRow {
            round: outcome.round,
            state: if outcome.applied > 0 { "closed" } else { "abandoned" }.into(),
            mode: self.options.mode().into(),
            selected: self.parts.len() as u32,
            reported: outcome.applied,
            refused: self.state.refused,
            loss: outcome.loss.is_finite().then_some(outcome.loss),
            accuracy: None,
            loss_held_out: None,
            bytes_up: outcome.bytes_up,
            bytes_down: outcome.bytes_down,
            seconds: self.opened.map_or(0.0, |opened| now.saturating_sub(opened) as f64 / 1000.0),
            adapter_digest: outcome.after.to_string(),
        };
        self.state.round += 1;
        self.state.stage =
            if self.state.round < self.options.rounds { Stage::Gathering } else { Stage::Finished };
        self.state.attempt = 0;
        self.state.refused = 0;
        self.state.base = outcome.after.0;
        self.result = Some(outcome.result);
        self.parts.clear();
        self.begin_round();
        self.opened = None;
        let evaluate = self.due();
        if evaluate {
            self.state.evaluating.push(self.state.round);
            self.unjudged.push(row.clone());
        }
        out.extend(self.books().into_iter().map(Effect::Commit));
        out.push(Effect::Commit(Entry::History(row.clone())));
        out.push(Effect::Commit(Entry::Forget(outcome.round)));
        out.push(Effect::Commit(Entry::Members(Vec::new())));
        out.push(Effect::Commit(Entry::State(self.state.clone())));
        out.push(Effect::Tell(Notice::Closed(row)));
        if evaluate {
            out.push(Effect::Evaluate { applied: self.state.round });
        }
        // A round that can open at once announces the result itself.
        let mut next = Vec::new();
        self.progress(now, &mut next);
        if self.state.stage != Stage::Collecting && self.connected.is_some() {
            self.announce(now, out);
        }
        out.append(&mut next);
        if self.state.stage == Stage::Finished {
            out.push(Effect::Tell(Notice::Finished { adapter_digest: outcome.after.to_string() }));
        }
    }

    /// Whether the adapter that now is should be evaluated.
    fn due(&self) -> bool {
        let every = self.options.evaluate_every;
        let last = self.state.stage == Stage::Finished;
        every > 0
            && (last || self.state.round.is_multiple_of(every) && self.state.evaluating.len() < EVALUATIONS)
    }

    pub(super) fn evaluated(
        &mut self,
        applied: u32,
        verdict: Result<Judgement, String>,
        out: &mut Vec<Effect>,
    ) {
        let Some(at) = self.state.evaluating.iter().position(|&a| a == applied) else { return };
        self.state.evaluating.remove(at);
        let row = self.unjudged.iter().position(|row| row.round + 1 == applied);
        let row = row.map(|at| self.unjudged.remove(at));
        let notice = match verdict {
            Ok(judgement) => {
                if let Some(row) = row {
                    let (accuracy, loss_held_out) = (judgement.accuracy, Some(judgement.loss));
                    out.push(Effect::Commit(Entry::History(RoundRow { accuracy, loss_held_out, ..row })));
                } else if applied == 0 {
                    self.before = Some(judgement);
                    out.push(Effect::Commit(Entry::Before(judgement)));
                }
                Notice::Evaluated { applied, judgement }
            }
            Err(reason) => Notice::Unjudged { applied, reason },
        };
        out.push(Effect::Commit(Entry::State(self.state.clone())));
        out.push(Effect::Tell(notice));
    }

    pub(super) fn pause(&mut self, paused: bool, now: Millis, out: &mut Vec<Effect>) {
        if self.state.paused == paused || self.state.stage == Stage::Finished {
            return;
        }
        self.state.paused = paused;
        self.deadline.stop(now);
        out.push(Effect::Commit(Entry::State(self.state.clone())));
        out.push(Effect::Tell(if paused { Notice::Paused } else { Notice::Resumed }));
        if self.connected.is_some() {
            self.announce(now, out);
            self.hand_out(now, |_| true, out);
        }
    }
}
