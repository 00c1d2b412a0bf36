//! What one device shall do in a round.

use super::codec::{self, FRAME, Fields, Map};
use super::error::Fault;
use super::{Digest, GroupSet, RunId};

/// Bytes that either side says at a stage of secure aggregation, at most: packages for 511 others.
pub const MAX_WORD: usize = 44 << 10;

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
    /// Where updates are aggregated securely, what the coordinator tells the device at the present stage; empty elsewhere.
    pub word: Vec<u8>,
}

super::message!(Task, FRAME + 18 + 6 + 3 + 6 + 11 + 35 + 6 + (4 + MAX_WORD));

impl Task {
    fn write(&self, map: &mut Map<'_>) {
        map.bytes(1, &self.run.0);
        map.uint(2, self.round);
        map.uint(3, self.attempt);
        map.uint(4, self.number);
        map.groups(5, self.groups);
        map.bytes(6, &self.base.0);
        map.uint(7, self.seconds);
        if !self.word.is_empty() {
            map.bytes(8, &self.word);
        }
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
            word: f.maybe(8, "word", codec::bytes(MAX_WORD))?.unwrap_or_default(),
        })
    }
}
