//! What coordinators tell each other that lead a part of the devices each.

use super::codec::{self, FRAME, Fields, Map};
use super::error::Fault;
use super::{Digest, RunId};

/// Fleets whose totals are folded with one's own, at most.
pub const MAX_FOLDED: usize = 32;
/// Numbers of a total at most: 56 KiB, so that it passes where messages of 64 KiB do.
pub const MAX_TOTAL: usize = 7_168;

/// Sent to `total/<n>`: what a fleet's devices found in a round, in sum.
#[derive(Clone, Debug, PartialEq)]
pub struct FleetTotal {
    /// The fleet's run.
    pub run: RunId,
    /// The round, from 0.
    pub round: u32,
    /// The adapter before it.
    pub base: Digest,
    /// SHA-256 of the job's settings.
    pub settings: Digest,
    /// Devices whose numbers are in it.
    pub devices: u32,
    /// Their examples.
    pub examples: u64,
    /// The sums of those numbers; none without devices.
    pub numbers: Vec<i64>,
    /// Runs of the fleets that it is for, at most [`MAX_FOLDED`]: to others it is left over from a run that is past.
    pub partners: Vec<RunId>,
}

super::message!(FleetTotal, FRAME + 18 + 6 + 2 * 35 + 6 + 10 + (4 + 8 * MAX_TOTAL) + (4 + 16 * MAX_FOLDED));

impl FleetTotal {
    fn write(&self, map: &mut Map<'_>) {
        map.bytes(1, &self.run.0);
        map.uint(2, self.round);
        map.bytes(3, &self.base.0);
        map.bytes(4, &self.settings.0);
        map.uint(5, self.devices);
        map.uint(6, self.examples);
        map.integers(7, &self.numbers);
        map.bytes(8, &self.partners.iter().flat_map(|run| run.0).collect::<Vec<u8>>());
    }

    fn read(f: &mut Fields<'_, '_>) -> Result<Self, Fault> {
        Ok(Self {
            run: f.need(1, "run", codec::run)?,
            round: f.need(2, "round", codec::u32)?,
            base: f.need(3, "base", codec::digest)?,
            settings: f.need(4, "settings", codec::digest)?,
            devices: f.need(5, "devices", codec::u32)?,
            examples: f.need(6, "examples", codec::uint)?,
            numbers: f.need(7, "numbers", codec::integers(MAX_TOTAL))?,
            partners: f.need(8, "partners", codec::runs(MAX_FOLDED))?,
        })
    }
}
