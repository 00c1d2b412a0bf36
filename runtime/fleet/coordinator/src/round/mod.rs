//! The round under way: who takes part in it, which of its shares have an update, and how long it may still take.

mod part;
mod waiting;

pub(crate) use part::Hope;

use crate::countdown::{Countdown, Millis};
use crate::ids::{DeviceNumber, RoundId, Slot};
use crate::norms::{Bounds, Norms};
use crate::pace::Pace;
use crate::pieces::Pieces;
use crate::rows::Member;
use crate::state::{Saved, Stage, State};
use part::Part;
use sprig_transport::messages::Digest;
use std::collections::HashMap;
use std::time::Duration;

/// A round and where it stands.
#[derive(Debug)]
pub(crate) struct Round {
    id: RoundId,
    stage: Stage,
    attempt: u8,
    /// The adapter before it.
    base: Digest,
    /// Messages refused in it.
    refused: u32,
    /// Norms of updates that were applied last, of earlier rounds.
    norms: Norms,
    /// Who takes part, by ascending number.
    parts: Vec<Part>,
    /// Parts that have an update.
    reported: u32,
    /// By slot, whether a part of it has an update.
    covered: Vec<bool>,
    /// Slots that have none.
    open: usize,
    /// Dense updates whose weights are on their way.
    pieces: HashMap<DeviceNumber, Pieces>,
    /// Largest norms of updates, of scalars and of weights.
    limits: [f32; 2],
    deadline: Countdown,
    opened: Option<Millis>,
    /// Since when nobody is waited for.
    idle: Option<Millis>,
    /// How fast those were who have reported to this process.
    pace: Option<Pace>,
}

impl Round {
    /// Goes on with the round of a ledger; each attempt has the time `deadline`.
    pub(crate) fn new(saved: &Saved, deadline: Duration) -> Self {
        let State { round, stage, attempt, base, refused, norms, .. } = saved.state.clone();
        let mut this = Self {
            id: round,
            stage,
            attempt,
            base: Digest(base),
            refused,
            norms: Norms::new(norms),
            parts: Vec::new(),
            reported: 0,
            covered: Vec::new(),
            open: 0,
            pieces: HashMap::new(),
            limits: [0.0; 2],
            deadline: Countdown::new(deadline, None),
            opened: None,
            idle: None,
            pace: None,
        };
        this.take_part(&saved.members, 0);
        for &(number, norm) in &saved.accepted {
            this.cover(number, norm, None);
        }
        this
    }

    /// Which it is.
    pub(crate) fn id(&self) -> RoundId {
        self.id
    }

    /// Where it is.
    pub(crate) fn stage(&self) -> Stage {
        self.stage
    }

    /// Attempts that came before this one.
    pub(crate) fn attempt(&self) -> u8 {
        self.attempt
    }

    /// The adapter before it.
    pub(crate) fn base(&self) -> Digest {
        self.base
    }

    /// Messages refused in it.
    pub(crate) fn refused(&self) -> u32 {
        self.refused
    }

    /// Norms of the updates applied last.
    pub(crate) fn norms(&self) -> &[f32] {
        self.norms.as_slice()
    }

    /// Largest norms of updates, of scalars and of weights.
    pub(crate) fn limits(&self) -> [f32; 2] {
        self.limits
    }

    /// Who takes part, by ascending number.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Member> {
        self.parts.iter().map(|part| &part.member)
    }

    /// Devices that take part.
    pub(crate) fn selected(&self) -> u32 {
        self.parts.len() as u32
    }

    /// Devices whose updates are in the ledger.
    pub(crate) fn reported(&self) -> u32 {
        self.reported
    }

    /// Shares that have an update, and all.
    pub(crate) fn shares(&self) -> (usize, usize) {
        (self.covered.len() - self.open, self.covered.len())
    }

    /// The part of this device, if it has one.
    pub(crate) fn member(&self, number: DeviceNumber) -> Option<&Member> {
        self.place(number).map(|at| &self.parts[at].member)
    }

    /// Whether this device's update is in the ledger.
    pub(crate) fn has_reported(&self, number: DeviceNumber) -> bool {
        self.place(number).is_some_and(|at| self.parts[at].norm.is_some())
    }

    /// Members that are still asked: neither they nor another of their slot have reported.
    pub(crate) fn asked(&self) -> impl Iterator<Item = &Member> {
        self.open_parts().filter(|part| part.hope != Hope::Refused).map(|part| &part.member)
    }

    /// Members that are here, and of whom nothing was refused.
    pub(crate) fn present(&self) -> impl Iterator<Item = DeviceNumber> {
        self.parts.iter().filter(|part| part.hope == Hope::Awaited).map(|part| part.member.number)
    }

    /// Opens it with these members.
    pub(crate) fn open(&mut self, members: &[Member], now: Millis, deadline: Duration) {
        self.stage = Stage::Collecting;
        self.attempt = 0;
        self.take_part(members, now);
        self.opened = Some(now);
        self.deadline = Countdown::new(deadline, Some(now));
    }

    /// Slots without an update, each as the member that has had it longest.
    pub(crate) fn absent(&self) -> Vec<Member> {
        let open = (0..).map(Slot).zip(&self.covered).filter(|(_, covered)| !**covered);
        open.filter_map(|(slot, _)| self.members().find(|m| m.slot == slot).copied()).collect()
    }

    /// Begins another attempt with `others` beside those who were asked. Who was asked may still report: two updates of
    /// one share are averaged like any other.
    pub(crate) fn try_again(
        &mut self,
        others: impl IntoIterator<Item = Member>,
        now: Millis,
        deadline: Duration,
    ) {
        self.attempt += 1;
        self.idle = None;
        for part in self.parts.iter_mut().filter(|part| part.hope == Hope::Overdue) {
            (part.hope, part.asked) = (Hope::Awaited, now);
        }
        let others: Vec<Member> = others.into_iter().collect();
        self.join(&others, now);
        self.deadline = Countdown::new(deadline, Some(now));
    }

    /// Begins another attempt for which nothing counts that came before.
    pub(crate) fn begin_anew(&mut self, now: Millis, deadline: Duration) {
        self.attempt = self.attempt.saturating_add(1);
        for part in &mut self.parts {
            (part.norm, part.asked) = (None, now);
        }
        self.covered.fill(false);
        (self.open, self.reported, self.idle) = (self.covered.len(), 0, None);
        self.pieces.clear();
        self.deadline = Countdown::new(deadline, Some(now));
    }

    /// Lets its time run, if it does not already.
    pub(crate) fn run(&mut self, now: Millis) {
        self.opened.get_or_insert(now);
        self.deadline.run(now);
    }

    /// Holds its time.
    pub(crate) fn stop(&mut self, now: Millis) {
        self.deadline.stop(now);
    }

    /// Time left of this attempt.
    pub(crate) fn left(&self, now: Millis) -> Millis {
        self.deadline.left(now)
    }

    /// Notes that a device's update is in the ledger since `now`, if that is known. Returns how long it took, in that case.
    pub(crate) fn cover(&mut self, number: DeviceNumber, norm: f32, now: Option<Millis>) -> Option<Millis> {
        let at = self.place(number)?;
        if self.parts[at].norm.replace(norm).is_some() {
            return None;
        }
        let took = now.map(|now| now.saturating_sub(self.parts[at].asked));
        self.reported += 1;
        if let Some(slot) = self.covered.get_mut(self.parts[at].member.slot.place())
            && !std::mem::replace(slot, true)
        {
            self.open -= 1;
        }
        took
    }

    /// Notes that a device with this many tokens a second took so long.
    pub(crate) fn took(&mut self, time: Millis, rate: f32) {
        self.pace = Some(Pace::and(self.pace, time, rate));
    }

    /// How fast those were who have reported, if any have.
    pub(crate) fn pace(&self) -> Option<Pace> {
        self.pace
    }

    /// Counts a refused message.
    pub(crate) fn refuse(&mut self) {
        self.refused = self.refused.saturating_add(1);
    }

    /// The weights that this device is sending.
    pub(crate) fn pieces(&mut self, number: DeviceNumber) -> Option<&mut Pieces> {
        self.pieces.get_mut(&number)
    }

    /// Expects weights of a device; whether it had begun to send others.
    pub(crate) fn expect(&mut self, number: DeviceNumber, pieces: Pieces) -> bool {
        self.pieces.insert(number, pieces).is_some()
    }

    /// Expects no more of them.
    pub(crate) fn take_pieces(&mut self, number: DeviceNumber) -> Option<Pieces> {
        self.pieces.remove(&number)
    }

    /// Takes no more updates.
    pub(crate) fn close(&mut self) {
        self.stage = Stage::Closing;
        self.pieces.clear();
    }

    /// What becomes of its contributions that are far from the others.
    pub(crate) fn bounds(&self) -> Bounds {
        self.norms.bounds(&self.own_norms())
    }

    /// Counts those set aside as refused, and remembers the norms of all others.
    pub(crate) fn settle(&mut self) {
        let aside = self.bounds().aside;
        self.refused += aside.len() as u32;
        self.norms.add(&self.own_norms(), &aside);
    }

    fn own_norms(&self) -> Vec<(DeviceNumber, f32)> {
        let norm = |part: &Part| Some((part.member.number, part.norm?));
        self.parts.iter().filter_map(norm).collect()
    }

    /// Seconds since it was opened, as far as this process saw it.
    pub(crate) fn seconds(&self, now: Millis) -> f64 {
        self.opened.map_or(0.0, |opened| now.saturating_sub(opened) as f64 / 1000.0)
    }

    /// Goes to the next of `rounds`, which begins with the adapter `base`.
    pub(crate) fn go_on(&mut self, base: Digest, rounds: u32) {
        self.id = self.id.next();
        self.stage = if self.id.0 < rounds { Stage::Gathering } else { Stage::Finished };
        self.attempt = 0;
        self.refused = 0;
        self.base = base;
        self.opened = None;
        self.take_part(&[], 0);
    }

    /// What always holds.
    pub(crate) fn holds(&self) -> Result<(), String> {
        let ensure = |true_of_it: bool, what: &str| match true_of_it {
            true => Ok(()),
            false => Err(format!("round {}: {what}", self.id)),
        };
        let numbers: Vec<_> = self.members().map(|member| member.number).collect();
        ensure(numbers.is_sorted_by(|a, b| a < b), "members ascend, none twice")?;
        let underway = matches!(self.stage, Stage::Collecting | Stage::Closing);
        ensure(underway != self.parts.is_empty(), "there are members while it is open, and only then")?;
        let mut covered = vec![false; self.covered.len()];
        for part in self.parts.iter().filter(|part| part.norm.is_some()) {
            if let Some(slot) = covered.get_mut(part.member.slot.place()) {
                *slot = true;
            }
        }
        ensure(covered == self.covered, "a slot is covered exactly if a member of it has reported")?;
        ensure(covered.iter().filter(|c| !**c).count() == self.open, "open slots are those not covered")?;
        let reported = self.parts.iter().filter(|part| part.norm.is_some()).count();
        ensure(reported == self.reported as usize, "as many have reported as have a norm")?;
        let expected = |number: &DeviceNumber| self.member(*number).is_some() && !self.has_reported(*number);
        ensure(self.pieces.keys().all(expected), "weights come from members that have not reported")?;
        ensure(self.pieces.is_empty() || self.stage == Stage::Collecting, "weights come while it collects")?;
        ensure(self.norms.as_slice().len() <= Norms::MOST, "no more norms are kept than are of use")
    }

    /// Sets who takes part, and what follows from that.
    fn take_part(&mut self, members: &[Member], now: Millis) {
        self.parts = members.iter().map(|&member| Part::asked(member, now)).collect();
        self.parts.sort_unstable_by_key(|part| part.member.number);
        let slots = members.iter().map(|member| member.slot.place() + 1).max().unwrap_or(0);
        self.covered = vec![false; slots];
        self.open = slots;
        self.reported = 0;
        (self.idle, self.pace) = (None, None);
        self.pieces.clear();
        self.limits = self.norms.limits();
    }

    fn place(&self, number: DeviceNumber) -> Option<usize> {
        self.parts.binary_search_by_key(&number, |part| part.member.number).ok()
    }

    fn is_covered(&self, slot: Slot) -> bool {
        self.covered.get(slot.place()).copied().unwrap_or(false)
    }
}
