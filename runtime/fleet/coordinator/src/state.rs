//! What the coordinator must still know after a restart.

use super::event::Judgement;
use super::view::RoundRow;
use minicbor::{Decode, Encode};
use sprig_transport::messages::{Digest, GroupSet, RoundResult};

/// Where a round is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Stage {
    /// Waits for devices.
    #[n(0)]
    Gathering,
    /// Waits for updates.
    #[n(1)]
    Collecting,
    /// Its updates are being applied; no more are taken.
    #[n(2)]
    Closing,
    /// No round is left.
    #[n(3)]
    Finished,
}

/// Where the coordinator is: written whenever it moves.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct State {
    /// Current round, from 0.
    #[n(0)]
    pub round: u32,
    /// Where it is.
    #[n(1)]
    pub stage: Stage,
    /// Attempts that came before this one.
    #[n(2)]
    pub attempt: u8,
    /// Whether an operator paused the fleet.
    #[n(3)]
    pub paused: bool,
    /// SHA-256 of the adapter before this round.
    #[cbor(n(4), with = "minicbor::bytes")]
    pub base: [u8; 32],
    /// Norms of updates that were applied last, at most [`State::NORMS`].
    #[n(5)]
    pub norms: Vec<f32>,
    /// Adapters, by rounds applied, whose evaluation is under way.
    #[n(6)]
    pub evaluating: Vec<u32>,
    /// Messages refused in this round when this was written.
    #[n(7)]
    pub refused: u32,
}

/// A device's part in the current round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Member {
    /// Its number.
    pub number: u32,
    /// Its groups.
    pub groups: GroupSet,
    /// Which of the round's shares that is: a replacement has the share of the device it replaces.
    pub slot: u32,
}

/// A device as the ledger knows it.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct DeviceRow {
    /// Its number: from 1, never given to another.
    #[n(0)]
    pub number: u32,
    /// Its name.
    #[n(1)]
    pub id: String,
    /// Updates in the ledger so far.
    #[n(2)]
    pub accepted: u32,
    /// Messages refused so far; of a crash, those of the last two seconds before it may be missing.
    #[n(3)]
    pub refused: u32,
    /// Round of its last update in the ledger.
    #[n(4)]
    pub last_accepted: Option<u32>,
}

/// All that a restart begins with.
#[derive(Clone, Debug)]
pub struct Saved {
    /// Where the coordinator was.
    pub state: State,
    /// Who took part in the current round.
    pub members: Vec<Member>,
    /// All devices, ascending numbers without gaps.
    pub devices: Vec<DeviceRow>,
    /// Updates of the current round in the ledger: number and norm.
    pub accepted: Vec<(u32, f32)>,
    /// What the round before gave; `None` before the first.
    pub result: Option<RoundResult>,
    /// Rows of all rounds that wait for an evaluation, or none.
    pub unjudged: Vec<RoundRow>,
    /// The adapter before the first round, evaluated.
    pub before: Option<Judgement>,
}

impl State {
    /// Norms kept for the running median.
    pub const NORMS: usize = 255;

    /// Before the first round.
    pub fn fresh(base: Digest) -> Self {
        State {
            round: 0,
            stage: Stage::Gathering,
            attempt: 0,
            paused: false,
            base: base.0,
            norms: Vec::new(),
            evaluating: Vec::new(),
            refused: 0,
        }
    }
}

impl Saved {
    /// Before the first round.
    pub fn fresh(base: Digest) -> Self {
        Saved {
            state: State::fresh(base),
            members: Vec::new(),
            devices: Vec::new(),
            accepted: Vec::new(),
            result: None,
            unjudged: Vec::new(),
            before: None,
        }
    }
}

/// Bytes of a member in the ledger.
const MEMBER: usize = 14;

/// Members as one value of the ledger.
pub(super) fn encode_members(members: &[Member]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(members.len() * MEMBER);
    for m in members {
        bytes.extend_from_slice(&m.number.to_le_bytes());
        bytes.extend_from_slice(&m.groups.first.to_le_bytes());
        bytes.extend_from_slice(&m.groups.step.to_le_bytes());
        bytes.extend_from_slice(&m.groups.count.to_le_bytes());
        bytes.extend_from_slice(&m.slot.to_le_bytes());
    }
    bytes
}

/// The reverse of [`encode_members`]; `None` for anything else.
pub(super) fn decode_members(bytes: &[u8]) -> Option<Vec<Member>> {
    let (rows, rest) = bytes.as_chunks::<MEMBER>();
    if !rest.is_empty() {
        return None;
    }
    let four =
        |row: &[u8; MEMBER], at: usize| u32::from_le_bytes([row[at], row[at + 1], row[at + 2], row[at + 3]]);
    let two = |row: &[u8; MEMBER], at: usize| u16::from_le_bytes([row[at], row[at + 1]]);
    Some(
        rows.iter()
            .map(|row| Member {
                number: four(row, 0),
                groups: GroupSet { first: two(row, 4), step: two(row, 6), count: two(row, 8) },
                slot: four(row, 10),
            })
            .collect(),
    )
}
