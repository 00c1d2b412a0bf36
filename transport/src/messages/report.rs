//! What a round took on a device.

use super::RunId;
use super::codec::{self, FRAME, Fields, Map};
use super::error::Fault;

/// Regions of a report at most.
pub const MAX_REGIONS: usize = 32;
/// Bytes of a region's name at most.
const NAME: usize = 32;

/// What may hold a device back, in the order of the bits of [`Report::held_back`].
pub const HOLDS: [&str; 5] =
    ["under-voltage", "clock capped", "throttled", "soft temperature limit", "clock lowered to cool"];

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
    /// Temperature of the hottest sensor after the training, in °C; none where the board does not tell.
    pub celsius: Option<f32>,
    /// What held the board back then, a bit for each of [`HOLDS`]; none where it does not tell.
    pub held_back: Option<u8>,
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

/// What the bits of [`Report::held_back`] mean; of a later release, those that this one has words for.
pub fn holds(bits: u8) -> impl Iterator<Item = &'static str> {
    HOLDS.iter().enumerate().filter(move |(bit, _)| bits >> bit & 1 == 1).map(|(_, name)| *name)
}

super::message!(
    Report,
    FRAME + 18 + 6 + 5 * 10 + 6 + 6 + 2 * 10 + (3 + MAX_REGIONS * (1 + 3 + NAME + 10 + 10)) + 6 + 3
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
        if let Some(celsius) = self.celsius {
            map.f32(13, celsius);
        }
        if let Some(bits) = self.held_back {
            map.uint(14, bits);
        }
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
            celsius: f.maybe(13, "celsius", codec::f32)?,
            held_back: f.maybe(14, "held_back", codec::u8)?,
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
