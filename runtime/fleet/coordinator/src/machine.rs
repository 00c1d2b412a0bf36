//! The coordinator as a pure state machine: what happened and when goes in, what is to be done comes out. It does no
//! input or output, has no clock and knows no model. What it must remember over a restart is in what it commits, and
//! whatever depends on a commit comes after it.
//!
//! A round: *gathering* (waits for devices) → *collecting* (members have tasks; each accepted update is committed before
//! its receipt) → *closing* (committed, so that no later update joins; the updates are applied) → the next.

use super::countdown::Countdown;
use super::event::{Effect, Entry, Event, Judgement, Millis, Notice};
use super::options::Options;
use super::registry::Registry;
use super::state::{Member, Saved, Stage, State};
use super::validate;
use super::view::RoundRow;
use sprig_learn::spry::Layout;
use sprig_transport::messages::{Digest, NameError, RoundResult};
use sprig_transport::topics::Topics;
use std::collections::HashMap;
use std::sync::Arc;

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
    pub(super) result: Option<RoundResult>,
    pub(super) unjudged: Vec<RoundRow>,
    /// Slots that have an update.
    pub(super) covered: Vec<bool>,
    pub(super) open_slots: usize,
    pub(super) connected: Option<Millis>,
    pub(super) deadline: Countdown,
    pub(super) opened: Option<Millis>,
    pub(super) resend: Millis,
    pub(super) told: Option<(u32, Stage)>,
}

/// A member of the round, and its update's norm once that is in the ledger.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub member: Member,
    pub norm: Option<f32>,
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
            deadline: Countdown::new(options.deadline, None),
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
    pub(super) fn begin_round(&mut self) {
        self.parts.sort_unstable_by_key(|p| p.member.number);
        let slots = self.parts.iter().map(|p| p.member.slot as usize + 1).max().unwrap_or(0);
        self.covered = vec![false; slots];
        self.open_slots = slots;
        self.reported = 0;
        self.pending.clear();
        self.limit = validate::limit(&mut self.state.norms.clone());
    }
}
