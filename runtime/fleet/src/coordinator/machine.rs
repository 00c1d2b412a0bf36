//! The coordinator as a pure state machine: what happened and when goes in, what is to be done comes out. It does no
//! input or output, has no clock and knows no model. What it must remember over a restart is in what it commits, and
//! whatever depends on a commit comes after it.
//!
//! A round: *gathering* (waits for devices) → *collecting* (members have tasks; each accepted update is committed before
//! its receipt) → *closing* (committed, so that no later update joins; the updates are applied) → the next.

use super::event::{Effect, Entry, Event, Judgement, Millis, Notice, Outcome};
use super::options::Options;
use super::registry::Registry;
use super::select;
use super::state::{Member, Saved, Stage, State};
use super::validate;
use super::view::RoundRow;
use sprig_learn::spry::Layout;
use sprig_transport::messages::{Digest, Job, NameError, Phase, Round, RoundResult, Task};
use sprig_transport::topics::Topics;
use std::collections::HashMap;
use std::sync::Arc;

/// Evaluations under way at most; while there are as many, rounds go on without one.
const EVALUATIONS: usize = 4;

/// The coordinator's decisions.
#[derive(Debug)]
pub struct Machine {
    pub(super) options: Arc<Options>,
    pub(super) topics: Topics,
    pub(super) layout: Arc<Layout>,
    pub(super) state: State,
    pub(super) parts: Vec<Part>,
    pub(super) reported: u32,
    pub(super) registry: Registry,
    pub(super) pending: HashMap<u32, super::intake::Pending>,
    /// Largest norm of an update in this round.
    pub(super) limit: f32,
    pub(super) before: Option<Judgement>,
    /// Messages of nobody known, or on no topic of the fleet.
    pub(super) strange: u64,
    /// A refusal was counted that the ledger may not know of.
    pub(super) counted: bool,
    /// A device was turned away, and that was told.
    pub(super) full: bool,
    result: Option<RoundResult>,
    unjudged: Vec<RoundRow>,
    /// Slots that have an update.
    covered: Vec<bool>,
    open_slots: usize,
    connected: Option<Millis>,
    deadline: Countdown,
    opened: Option<Millis>,
    resend: Millis,
    told: Option<(u32, Stage)>,
}

/// A member of the round, and its update's norm once that is in the ledger.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub member: Member,
    pub norm: Option<f32>,
}

/// Time left, which runs only while devices can report.
#[derive(Clone, Copy, Debug)]
struct Countdown {
    left: Millis,
    since: Option<Millis>,
}

impl Countdown {
    fn left(&self, now: Millis) -> Millis {
        self.left.saturating_sub(self.since.map_or(0, |since| now.saturating_sub(since)))
    }

    fn stop(&mut self, now: Millis) {
        *self = Countdown { left: self.left(now), since: None };
    }

    fn run(&mut self, now: Millis) {
        self.since.get_or_insert(now);
    }
}

impl Machine {
    /// A machine that goes on from `saved`.
    ///
    /// # Errors
    /// When the fleet's name cannot be part of a topic.
    pub fn new(options: Arc<Options>, layout: Arc<Layout>, saved: Saved) -> Result<Self, NameError> {
        let mut machine = Machine {
            topics: Topics::new(&options.fleet)?,
            registry: Registry::new(saved.devices, options.max_devices, options.min_budget),
            layout,
            state: saved.state,
            parts: saved.members.into_iter().map(|member| Part { member, norm: None }).collect(),
            reported: 0,
            pending: HashMap::new(),
            limit: 0.0,
            before: saved.before,
            strange: 0,
            counted: false,
            full: false,
            result: saved.result,
            unjudged: saved.unjudged,
            covered: Vec::new(),
            open_slots: 0,
            connected: None,
            deadline: Countdown { left: options.deadline.as_millis() as Millis, since: None },
            opened: None,
            resend: 0,
            told: None,
            options,
        };
        machine.begin_round();
        for (number, norm) in saved.accepted {
            machine.cover(number, norm);
        }
        Ok(machine)
    }

    /// What is to be done first: what a crash may have interrupted.
    pub fn start(&mut self) -> Vec<Effect> {
        let mut out = Vec::new();
        if self.state.round == 0 && self.state.stage == Stage::Gathering && self.before.is_none() {
            if self.options.evaluate_every > 0 && !self.state.evaluating.contains(&0) {
                self.state.evaluating.push(0);
            }
            out.push(Effect::Commit(Entry::State(self.state.clone())));
        }
        out.extend(self.state.evaluating.iter().map(|&applied| Effect::Evaluate { applied }));
        if self.state.stage == Stage::Closing {
            self.apply(&mut out);
        }
        out
    }

    /// Takes in an event.
    pub fn on(&mut self, event: Event, now: Millis) -> Vec<Effect> {
        let mut out = Vec::new();
        match event {
            Event::Connected => self.connect(now, &mut out),
            Event::Disconnected(reason) => {
                self.connected = None;
                self.deadline.stop(now);
                out.push(Effect::Tell(Notice::Disconnected { reason }));
            }
            Event::Presence(device, presence) => self.presence(&device, presence, &mut out),
            Event::Update(device, update, frame) => self.update(&device, update, frame, &mut out),
            Event::Report(device, report, frame) => self.report(&device, &report, frame, &mut out),
            Event::Want(device, want) => self.want(device, want, now, &mut out),
            Event::Chunk(device, digest, n, frame) => self.chunk(&device, digest, n, &frame, &mut out),
            Event::Unreadable(device, why) => self.unreadable(device, why, &mut out),
            Event::Checked(number, digest, verdict) => self.checked(number, digest, verdict, &mut out),
            Event::Closed(outcome) => self.closed(outcome, now, &mut out),
            Event::Evaluated(applied, verdict) => self.evaluated(applied, verdict, &mut out),
            Event::Pause => self.pause(true, now, &mut out),
            Event::Resume => self.pause(false, now, &mut out),
            Event::Tick => {}
        }
        self.progress(now, &mut out);
        out
    }

    /// Whether all rounds are done and evaluated.
    pub fn finished(&self) -> bool {
        self.state.stage == Stage::Finished && self.state.evaluating.is_empty()
    }

    /// Where it is.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Refusals that were counted since this was asked for last. They go along with whatever else is committed: a
    /// transaction for each would be a way to wear out the disk.
    pub fn books(&mut self) -> Vec<Entry> {
        if !std::mem::take(&mut self.counted) {
            return Vec::new();
        }
        let rows = self.registry.changes().into_iter().map(Entry::Device);
        rows.chain([Entry::State(self.state.clone())]).collect()
    }

    pub(super) fn base(&self) -> Digest {
        Digest(self.state.base)
    }

    /// What is waited for, and how long still.
    pub(super) fn waiting_for(&self, now: Millis) -> String {
        if self.connected.is_none() {
            return "the broker".into();
        }
        match self.state.stage {
            Stage::Finished if self.state.evaluating.is_empty() => "nothing: all rounds are done".into(),
            Stage::Finished => "the last evaluation".into(),
            Stage::Closing => "the round's updates to be applied".into(),
            _ if self.state.paused => "an operator: `sprig fleet resume`".into(),
            Stage::Gathering => format!(
                "devices: {} of {} that are needed are here (min_devices)",
                self.registry.fit(),
                self.options.min_devices
            ),
            Stage::Collecting => format!(
                "updates: {} of {} are in, {} s left of attempt {} of {}",
                self.covered.len() - self.open_slots,
                self.covered.len(),
                self.deadline.left(now).div_ceil(1000),
                self.state.attempt + 1,
                self.options.attempts
            ),
        }
    }

    /// Time left of the round's attempt.
    pub(super) fn left(&self, now: Millis) -> Millis {
        self.deadline.left(now)
    }

    /// The member of this number, as a place in `parts`.
    pub(super) fn place(&self, number: u32) -> Option<usize> {
        self.parts.binary_search_by_key(&number, |p| p.member.number).ok()
    }

    /// Notes that a member's update is in the ledger.
    pub(super) fn cover(&mut self, number: u32, norm: f32) {
        let Some(at) = self.place(number) else { return };
        if self.parts[at].norm.replace(norm).is_some() {
            return;
        }
        self.reported += 1;
        if let Some(slot) = self.covered.get_mut(self.parts[at].member.slot as usize)
            && !std::mem::replace(slot, true)
        {
            self.open_slots -= 1;
        }
    }

    /// Sets what follows from the members.
    fn begin_round(&mut self) {
        self.parts.sort_unstable_by_key(|p| p.member.number);
        let slots = self.parts.iter().map(|p| p.member.slot as usize + 1).max().unwrap_or(0);
        self.covered = vec![false; slots];
        self.open_slots = slots;
        self.reported = 0;
        self.pending.clear();
        self.limit = validate::limit(&mut self.state.norms.clone());
    }

    fn connect(&mut self, now: Millis, out: &mut Vec<Effect>) {
        self.connected = Some(now);
        out.push(Effect::Tell(Notice::Connected));
        let job = Job { run: self.options.run, settings: self.options.settings.clone() };
        out.push(Effect::Publish { topic: self.topics.job(), payload: job.encode(), retain: true });
        self.announce(now, out);
        self.hand_out(now, |_| true, out);
    }

    /// Moves on as far as possible.
    fn progress(&mut self, now: Millis, out: &mut Vec<Effect>) {
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
        let left = self.options.deadline.as_millis() as Millis;
        self.deadline = Countdown { left, since: Some(now) };
        out.push(Effect::Commit(Entry::State(self.state.clone())));
        self.announce(now, out);
        self.hand_out(now, asked, out);
        out.push(Effect::Tell(Notice::Opened {
            round: self.state.round,
            rounds: self.options.rounds,
            attempt: self.state.attempt,
            selected: self.parts.len() as u32,
            seconds: left / 1000,
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

    fn apply(&self, out: &mut Vec<Effect>) {
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

    fn closed(&mut self, outcome: Outcome, now: Millis, out: &mut Vec<Effect>) {
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

    fn evaluated(&mut self, applied: u32, verdict: Result<Judgement, String>, out: &mut Vec<Effect>) {
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

    fn pause(&mut self, paused: bool, now: Millis, out: &mut Vec<Effect>) {
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

    /// Publishes where the run stands.
    fn announce(&mut self, now: Millis, out: &mut Vec<Effect>) {
        self.resend = now + self.options.resend.as_millis() as Millis;
        let phase = match self.state.stage {
            Stage::Finished => Phase::Finished,
            _ if self.state.paused => Phase::Paused,
            Stage::Gathering => Phase::Gathering,
            Stage::Collecting | Stage::Closing => Phase::Collecting,
        };
        let round = Round {
            run: self.options.run,
            round: self.state.round,
            phase,
            base: self.base(),
            result: self.result.clone(),
        };
        out.push(Effect::Publish { topic: self.topics.round(), payload: round.encode(), retain: true });
    }

    /// Gives members whose shares lack an update their tasks.
    fn hand_out(&self, now: Millis, asked: impl Fn(u32) -> bool, out: &mut Vec<Effect>) {
        if self.state.stage != Stage::Collecting || self.state.paused {
            return;
        }
        for part in &self.parts {
            let Member { number, groups, slot } = part.member;
            let open = part.norm.is_none() && !self.covered[slot as usize];
            let Some(device) = self.registry.get(number).filter(|_| open && asked(number)) else { continue };
            let task = Task {
                run: self.options.run,
                round: self.state.round,
                attempt: self.state.attempt,
                number,
                groups,
                base: self.base(),
                seconds: (self.left(now) / 1000).min(u64::from(u32::MAX)) as u32,
            };
            let topic = self.topics.task(&device.id);
            out.push(Effect::Publish { topic, payload: task.encode(), retain: true });
        }
    }
}
