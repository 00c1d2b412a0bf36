//! Whom a round waits for, and for how long: nobody who is gone, whose update was refused, or who takes much longer than
//! it usually does; and a device that is free takes over such a share.

use super::Machine;
use crate::countdown::Millis;
use crate::decision::{Decision, Entry};
use crate::ids::DeviceNumber;
use crate::notice::{Notice, Passed};
use crate::options::Options;
use crate::pace::GRACE;
use crate::round::Hope;
use crate::rows::Member;
use crate::select;
use crate::state::Stage;
use sprig_transport::messages::DeviceId;

/// Silent devices are looked for no more often than this.
const LOOK: Millis = 1000;
/// Devices that a notice names, at most.
const NAMED: usize = 8;

impl Machine {
    /// Notes that something was heard of a device.
    pub(super) fn heard(&mut self, id: &DeviceId, now: Millis) {
        if let Some(number) = self.registry.number(id) {
            self.registry.heard(number, now);
        }
    }

    /// Looks who has not been heard for its lease, and who has had its time in the round.
    pub(super) fn look(&mut self, now: Millis, out: &mut Decision) {
        if self.connected.is_none() || now < self.looked.saturating_add(LOOK) {
            return;
        }
        self.looked = now;
        let lease = self.options.lease;
        for number in self.registry.expire(now, lease) {
            let device = self.name(number);
            let online = self.registry.online();
            out.tell(Notice::Unheard { device, seconds: lease.as_secs(), online });
            self.pass(number, Hope::Gone, now, out);
        }
        if self.round.stage() == Stage::Collecting && !self.paused {
            let over: Vec<_> =
                self.round.awaited().filter(|&(n, asked)| self.is_over(n, asked, now)).collect();
            let short = self.round.reported() < self.options.quorum;
            for (number, _) in over.into_iter().filter(|_| short) {
                self.pass(number, Hope::Overdue, now, out);
            }
            self.relieve(now, out);
        }
    }

    /// Waits for a member no longer, unless it has reported, and has another take its share, if one is free.
    pub(super) fn pass(&mut self, number: DeviceNumber, hope: Hope, now: Millis, out: &mut Decision) {
        if self.round.stage() != Stage::Collecting || !self.round.hope(number, hope, now) {
            return;
        }
        let why = match hope {
            Hope::Awaited => return,
            Hope::Overdue => Passed::Silent,
            Hope::Gone => Passed::Gone,
            Hope::Refused => Passed::Refused,
        };
        out.tell(Notice::Passed { round: self.round.id(), device: self.name(number), why });
        self.relieve(now, out);
    }

    /// A member that was gone is back.
    pub(super) fn welcome(&mut self, number: DeviceNumber, now: Millis) {
        if self.round.stage() == Stage::Collecting {
            self.round.hope(number, Hope::Awaited, now);
        }
    }

    /// Whether the round has what it needs, and nobody is worth waiting for.
    pub(super) fn is_enough(&self, now: Millis) -> bool {
        self.round.reported() >= self.options.quorum.max(1)
            && self.round.awaited().all(|(number, asked)| self.is_over(number, asked, now))
    }

    /// Whether nobody has been waited for in vain long enough for this attempt.
    pub(super) fn is_idle(&mut self, now: Millis) -> bool {
        self.round.idle(now).is_some_and(|since| now >= since.saturating_add(GRACE))
    }

    /// Whoever is waited for has all its time again: nothing could be heard for a while.
    pub(super) fn ask_again(&mut self, now: Millis) {
        self.round.ask_again(now);
        if let Some(aggregation) = &mut self.aggregation {
            aggregation.hears(now);
        }
    }

    /// Whether a member has had its time.
    fn is_over(&self, number: DeviceNumber, asked: Millis, now: Millis) -> bool {
        let Some(pace) = self.round.pace() else { return false };
        let usual = self.registry.get(number).and_then(|device| device.usual());
        now >= asked.saturating_add(pace.allowance(usual, self.registry.strength(number)))
    }

    /// Has free devices take over shares of which nobody is waited for.
    fn relieve(&mut self, now: Millis, out: &mut Decision) {
        // Who takes part in an aggregation is agreed on before its first stage.
        if self.paused || self.connected.is_none() || self.options.secure {
            return;
        }
        let vacant = self.round.vacant();
        if vacant.is_empty() {
            return;
        }
        let others = self.free(&vacant, self.round.attempt());
        if others.is_empty() {
            return;
        }
        self.round.join(&others, now);
        out.commit(Entry::Members(self.round.members().copied().collect()));
        self.hand_out_to(&others, now, out);
        let devices = others.iter().take(NAMED).map(|member| self.name(member.number)).collect();
        out.tell(Notice::Relieved { round: self.round.id(), devices, count: others.len() });
    }

    /// Devices that are free, with the shares of `vacant`.
    pub(super) fn free(&self, vacant: &[Member], attempt: u8) -> Vec<Member> {
        let Options { seed, deadline, .. } = *self.options;
        let round = self.round.id();
        let mut free = self.registry.candidates(round, 0, deadline);
        free.retain(|&number| self.round.member(number).is_none());
        let chosen = select::choose(free, vacant.len(), seed, round, attempt);
        chosen.into_iter().zip(vacant).map(|(number, &vacant)| Member { number, ..vacant }).collect()
    }

    /// A device's name.
    pub(super) fn name(&self, number: DeviceNumber) -> String {
        self.registry.get(number).map_or_else(|| number.to_string(), |device| device.id().to_string())
    }
}
