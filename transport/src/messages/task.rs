//! What one device shall do in a round.

use super::codec::{self, FRAME, Fields, Map};
use super::error::Fault;
use super::{Digest, GroupSet, RunId};

/// Retained at `task/<device>`.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// The run.
    pub run: RunId,
    /// Number of the round.
    pub round: u32,
    /// Attempt at this round, from 0.
    pub attempt: u8,
    /// The device's number, the same throughout the run.
    pub number: u32,
    /// Its share of the groups.
    pub groups: GroupSet,
    /// The adapter to start from.
    pub base: Digest,
    /// Seconds left until the deadline when this was sent.
    pub seconds: u32,
}

super::message!(Task, FRAME + 18 + 6 + 3 + 6 + 11 + 35 + 6);

impl Task {
    fn write(&self, map: &mut Map<'_>) {
        map.bytes(1, &self.run.0);
        map.uint(2, self.round);
        map.uint(3, self.attempt);
        map.uint(4, self.number);
        map.groups(5, self.groups);
        map.bytes(6, &self.base.0);
        map.uint(7, self.seconds);
    }

    fn read(f: &mut Fields<'_, '_>) -> Result<Self, Fault> {
        Ok(Self {
            run: f.need(1, "run", codec::run)?,
            round: f.need(2, "round", codec::u32)?,
            attempt: f.need(3, "attempt", codec::u8)?,
            number: f.need(4, "number", codec::u32)?,
            groups: f.need(5, "groups", codec::groups)?,
            base: f.need(6, "base", codec::digest)?,
            seconds: f.need(7, "seconds", codec::u32)?,
        })
    }
}
