//! What a round took on a device.

use super::RunId;
use super::codec::{self, FRAME, Fields, Map};
use super::error::Fault;

/// Regions of a report at most.
pub const MAX_REGIONS: usize = 32;
/// Bytes of a region's name at most.
const NAME: usize = 32;

/// Sent to `report/<device>` after a round. Sizes are in bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The run.
    pub run: RunId,
    /// Number of the round.
    pub round: u32,
    /// The memory budget.
    pub budget: u64,
    /// What the plan said.
    pub planned: u64,
    /// High-water mark of the resident set.
    pub peak: u64,
    /// High-water mark of the heap.
    pub heap_peak: u64,
    /// Resident pages of the weights' file.
    pub weights: u64,
    /// Duration of the round's training in seconds.
    pub seconds: f32,
    /// Tokens trained on.
    pub tokens: u32,
    /// Bytes sent.
    pub up: u64,
    /// Bytes received.
    pub down: u64,
    /// The plan's regions, at most [`MAX_REGIONS`].
    pub regions: Vec<Region>,
}

/// One region of the memory plan, in bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Region {
    /// At most 32 bytes.
    pub name: String,
    /// What the plan said.
    pub planned: u64,
    /// What was measured, where it can be.
    pub measured: Option<u64>,
}

super::message!(
    Report,
    FRAME + 18 + 6 + 5 * 10 + 6 + 6 + 2 * 10 + (3 + MAX_REGIONS * (1 + 3 + NAME + 10 + 10))
);

impl Report {
    fn write(&self, map: &mut Map<'_>) {
        map.bytes(1, &self.run.0);
        map.uint(2, self.round);
        map.uint(3, self.budget);
        map.uint(4, self.planned);
        map.uint(5, self.peak);
        map.uint(6, self.heap_peak);
        map.uint(7, self.weights);
        map.f32(8, self.seconds);
        map.uint(9, self.tokens);
        map.uint(10, self.up);
        map.uint(11, self.down);
        map.maps(12, &self.regions, |region, map| {
            map.text(0, &region.name, NAME);
            map.uint(1, region.planned);
            if let Some(measured) = region.measured {
                map.uint(2, measured);
            }
        });
    }

    fn read(f: &mut Fields<'_, '_>) -> Result<Self, Fault> {
        Ok(Self {
            run: f.need(1, "run", codec::run)?,
            round: f.need(2, "round", codec::u32)?,
            budget: f.need(3, "budget", codec::uint)?,
            planned: f.need(4, "planned", codec::uint)?,
            peak: f.need(5, "peak", codec::uint)?,
            heap_peak: f.need(6, "heap_peak", codec::uint)?,
            weights: f.need(7, "weights", codec::uint)?,
            seconds: f.need(8, "seconds", codec::f32)?,
            tokens: f.need(9, "tokens", codec::u32)?,
            up: f.need(10, "up", codec::uint)?,
            down: f.need(11, "down", codec::uint)?,
            regions: f.need(12, "regions", codec::maps(MAX_REGIONS, Region::read))?,
        })
    }
}

impl Region {
    fn read(f: &mut Fields<'_, '_>) -> Result<Self, Fault> {
        Ok(Self {
            name: f.need(0, "name", codec::text(NAME))?,
            planned: f.need(1, "planned", codec::uint)?,
            measured: f.maybe(2, "measured", codec::uint)?,
        })
    }
}
