//! Whom a round waits for, who takes the share of another, and how each part went in the end.

use super::Round;
use super::part::{Hope, Part};
use crate::countdown::Millis;
use crate::ids::DeviceNumber;
use crate::registry::Course;
use crate::rows::Member;

impl Round {
    /// Those of them whose time is not over, and when they were asked.
    pub(crate) fn awaited(&self) -> impl Iterator<Item = (DeviceNumber, Millis)> {
        let awaited = self.open_parts().filter(|part| part.hope == Hope::Awaited);
        awaited.map(|part| (part.member.number, part.asked))
    }

    /// Parts without an update whose share has none either.
    pub(super) fn open_parts(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(|part| part.norm.is_none() && !self.is_covered(part.member.slot))
    }

    /// What is expected of a member that has not reported; whether that is news. Of one that was refused nothing is, whatever
    /// it does: it knows itself done with the round.
    pub(crate) fn hope(&mut self, number: DeviceNumber, hope: Hope, now: Millis) -> bool {
        let Some(part) = self.place(number).map(|at| &mut self.parts[at]) else { return false };
        if part.norm.is_some() || part.hope == hope || part.hope == Hope::Refused {
            return false;
        }
        part.hope = hope;
        if hope == Hope::Awaited {
            part.asked = now;
        }
        true
    }

    /// Whether what it sent was refused.
    pub(crate) fn is_refused(&self, number: DeviceNumber) -> bool {
        self.place(number).is_some_and(|at| self.parts[at].hope == Hope::Refused)
    }

    /// Since when nobody is waited for, although shares lack an update; never while all that it has are members who went
    /// away: those may come back.
    pub(crate) fn idle(&mut self, now: Millis) -> Option<Millis> {
        let nobody = self.open > 0 && self.awaited().next().is_none();
        let begun = self.reported > 0 || self.open_parts().any(|part| part.hope != Hope::Gone);
        self.idle = if nobody && begun { self.idle.or(Some(now)) } else { None };
        self.idle
    }

    /// Whoever is waited for has all its time again: nothing could be heard for a while.
    pub(crate) fn ask_again(&mut self, now: Millis) {
        let awaited = self.parts.iter_mut().filter(|part| part.hope == Hope::Awaited);
        awaited.for_each(|part| part.asked = now);
    }

    /// How each member's part went; the round takes no more updates.
    pub(crate) fn courses(&self) -> impl Iterator<Item = (DeviceNumber, Course)> {
        self.parts.iter().map(|part| {
            let course = match (part.norm, part.hope) {
                (Some(_), _) => Course::InTime,
                (None, Hope::Refused) => Course::Refused,
                (None, Hope::Gone) => Course::Left,
                (None, _) if self.is_covered(part.member.slot) => Course::NotNeeded,
                (None, _) => Course::Silent,
            };
            (part.member.number, course)
        })
    }

    /// Those of them of which nobody is waited for.
    pub(crate) fn vacant(&self) -> Vec<Member> {
        let mut vacant = self.absent();
        let awaited = |slot| self.open_parts().any(|p| p.member.slot == slot && p.hope == Hope::Awaited);
        vacant.retain(|member| !awaited(member.slot));
        vacant
    }

    /// Has `others` take part beside those who were asked, in the same attempt.
    pub(crate) fn join(&mut self, others: &[Member], now: Millis) {
        self.parts.extend(others.iter().map(|&member| Part::asked(member, now)));
        self.parts.sort_unstable_by_key(|part| part.member.number);
    }
}
