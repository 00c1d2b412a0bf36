//! Rows of the ledger that the coordinator decides by: devices, a round's members, finished rounds, evaluations.

use crate::ids::{DeviceNumber, RoundId, Slot};
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};
use sprig_learn::calibration::{Bins, Summary};
use sprig_transport::messages::GroupSet;

/// A device's part in the current round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Member {
    /// Its number.
    pub number: DeviceNumber,
    /// Its groups.
    pub groups: GroupSet,
    /// Which of the round's shares that is: a replacement has the share of the device it replaces.
    pub slot: Slot,
}

/// A device as the ledger knows it.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub(crate) struct DeviceRow {
    /// Its number: from 1, never given to another.
    #[n(0)]
    pub number: DeviceNumber,
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
    pub last_accepted: Option<RoundId>,
}

/// A finished round: one line of the history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoundRow {
    /// The round, from 0.
    pub round: RoundId,
    /// `closed`, or `abandoned` where no device reported.
    pub state: String,
    /// `per-iteration` or `per-epoch`.
    pub mode: String,
    /// Devices that were asked.
    pub selected: u32,
    /// Devices whose updates were applied.
    pub reported: u32,
    /// Messages refused while the round was open; of a crash, those of the last two seconds before it may be missing.
    pub refused: u32,
    /// Mean training loss over all examples of the round.
    pub loss: Option<f32>,
    /// How well the model knew what it knew: its answers to the round's examples, each before the step that it led to, on all
    /// devices whose updates were applied. None where there are no answers to choose among.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// What the parts of the loss weighed as the round was closed, where devices send them one by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<Vec<f64>>,
    /// Held-out accuracy of the adapter after the round, where it was evaluated.
    pub accuracy: Option<f64>,
    /// Held-out loss of the adapter after the round, where it was evaluated.
    pub loss_held_out: Option<f64>,
    /// Bytes of PUBLISH packets (header, topic, payload) that the coordinator received since the round before closed, or
    /// since this process began: updates and dense weights, reports, presences and wishes of all devices, also what was
    /// refused. Acknowledgements and TLS come on top.
    pub bytes_up: u64,
    /// The same of what it sent: announcements once, however many devices the broker passes them on to, tasks, receipts,
    /// and what devices that catch up were served. What a device itself sent and heard is in its report.
    pub bytes_down: u64,
    /// Seconds from its opening to its end, as far as this process saw them.
    pub seconds: f64,
    /// SHA-256 of the adapter after the round.
    pub adapter_digest: String,
}

/// How sure a model was of its answers, and whether rightly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Answers, expected calibration error and gap.
    #[serde(flatten)]
    pub summary: Summary,
    /// The counts, 15 bins of equal width: answers, those that were right, the sum of their confidences in steps of 2⁻³². They
    /// add up exactly, over devices, rounds and fleets.
    pub bins: Vec<[u64; 3]>,
}

impl Calibration {
    /// What `bins` say.
    pub(crate) fn of(bins: &Bins) -> Self {
        Self { summary: bins.summary(), bins: bins.rows() }
    }
}

/// An adapter's result on held-out data.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeldOut {
    /// Mean loss.
    pub loss: f64,
    /// Share of examples answered right, 0 to 1; `None` where the task has none.
    pub accuracy: Option<f64>,
    /// Examples.
    pub n: u32,
}

/// Bytes of a member in the ledger.
const MEMBER: usize = 14;

/// Members as one value of the ledger.
pub(super) fn encode_members(members: &[Member]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(members.len() * MEMBER);
    for m in members {
        bytes.extend_from_slice(&m.number.0.to_le_bytes());
        bytes.extend_from_slice(&m.groups.first.to_le_bytes());
        bytes.extend_from_slice(&m.groups.step.to_le_bytes());
        bytes.extend_from_slice(&m.groups.count.to_le_bytes());
        bytes.extend_from_slice(&m.slot.0.to_le_bytes());
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
                number: DeviceNumber(four(row, 0)),
                groups: GroupSet { first: two(row, 4), step: two(row, 6), count: two(row, 8) },
                slot: Slot(four(row, 10)),
            })
            .collect(),
    )
}
