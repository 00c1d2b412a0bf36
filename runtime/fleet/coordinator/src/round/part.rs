//! A member's part in a round.

use crate::countdown::Millis;
use crate::rows::Member;

/// A member, and its update's norm once that is in the ledger.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub member: Member,
    pub norm: Option<f32>,
    /// When it was asked, as far as this process saw it.
    pub asked: Millis,
    pub hope: Hope,
}

/// What is expected of a member without an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hope {
    /// It has its time.
    Awaited,
    /// That is over; its update would still be welcome.
    Overdue,
    /// It went away.
    Gone,
    /// What it sent was refused.
    Refused,
}

impl Part {
    /// A member that is asked `now`.
    pub(super) fn asked(member: Member, now: Millis) -> Self {
        Self { member, norm: None, asked: now, hope: Hope::Awaited }
    }
}
