//! A device says that it is there.

use super::codec::{self, FRAME, Fields, Map};
use super::error::Fault;

/// Bytes of a board's name at most.
const BOARD: usize = 64;
/// Bytes of a software's name at most.
const SOFTWARE: usize = 32;

/// Retained at `presence/<device>`; the last will is the same with `online` false and the same `session`.
#[derive(Clone, Debug, PartialEq)]
pub struct Presence {
    /// Whether the device is connected.
    pub online: bool,
    /// Drawn at each start of the agent: a will of an earlier session is told apart by it.
    pub session: u64,
    /// The board, at most 64 bytes.
    pub board: String,
    /// Name and version of the agent, at most 32 bytes.
    pub software: String,
    /// Memory budget in bytes.
    pub budget: u64,
    /// Tokens per second of a training step, measured by the device itself.
    pub rate: f32,
    /// Tangents that one pass carries within the budget (K).
    pub tangents: u8,
    /// Examples the device holds.
    pub examples: u32,
}

super::message!(Presence, FRAME + 2 + 10 + (3 + BOARD) + (3 + SOFTWARE) + 10 + 6 + 3 + 6);

impl Presence {
    fn write(&self, map: &mut Map<'_>) {
        map.bool(1, self.online);
        map.uint(2, self.session);
        map.text(3, &self.board, BOARD);
        map.text(4, &self.software, SOFTWARE);
        map.uint(5, self.budget);
        map.f32(6, self.rate);
        map.uint(7, self.tangents);
        map.uint(8, self.examples);
    }

    fn read(f: &mut Fields<'_, '_>) -> Result<Self, Fault> {
        Ok(Self {
            online: f.need(1, "online", codec::bool)?,
            session: f.need(2, "session", codec::uint)?,
            board: f.need(3, "board", codec::text(BOARD))?,
            software: f.need(4, "software", codec::text(SOFTWARE))?,
            budget: f.need(5, "budget", codec::uint)?,
            rate: f.need(6, "rate", codec::f32)?,
            tangents: f.need(7, "tangents", codec::u8)?,
            examples: f.need(8, "examples", codec::u32)?,
        })
    }
}
