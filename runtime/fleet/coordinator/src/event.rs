//! What happens to the coordinator.

use crate::folding::Tidings;
use crate::ids::{Applied, DeviceNumber, RoundId};
use crate::rows::HeldOut;
use crate::validate::Refusal;
use serde::{Deserialize, Serialize};
use sprig_transport::messages::{DeviceId, Digest, Presence, Report, RoundResult, Update, Want};

/// Something that happened. Devices are named by the topic a message came on, never by its content.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// The broker can be reached, for the first time or again.
    Connected,
    /// The broker cannot be reached.
    Disconnected {
        /// Why.
        reason: String,
    },
    /// The broker has passed on a job: it keeps this one now.
    Job {
        /// It is this run's.
        ours: bool,
    },
    /// A device came or went.
    Presence {
        /// Which.
        device: DeviceId,
        /// What it says of itself.
        presence: Presence,
    },
    /// A device's part of a round.
    Update {
        /// Which device.
        device: DeviceId,
        /// The message.
        update: Update,
        /// The bytes it came in.
        frame: Vec<u8>,
    },
    /// A device's account of a round.
    Report {
        /// Which device.
        device: DeviceId,
        /// The message.
        report: Report,
        /// The bytes it came in.
        frame: Vec<u8>,
    },
    /// A device misses rounds.
    Want {
        /// Which device.
        device: DeviceId,
        /// What it has, and asks for.
        want: Want,
    },
    /// A piece of a dense update, as it came.
    Chunk {
        /// Which device.
        device: DeviceId,
        /// SHA-256 of the whole.
        digest: Digest,
        /// Which piece, from 0.
        n: u32,
        /// The piece, sealed.
        frame: Vec<u8>,
    },
    /// A message that could not be read.
    Unreadable {
        /// Which device, if that is known.
        device: Option<DeviceId>,
        /// Why not.
        why: Unreadable,
    },
    /// A dense update was looked through.
    Checked {
        /// The device.
        number: DeviceNumber,
        /// SHA-256 that the update claims.
        digest: Digest,
        /// Root mean square of its weights, or why it is refused.
        norm: Result<f32, Refusal>,
    },
    /// Veiled sums are whole.
    Gathered {
        /// The device.
        number: DeviceNumber,
        /// SHA-256 that the update claims.
        digest: Digest,
        /// Their bytes, or why they are refused.
        values: Result<Vec<u8>, Refusal>,
    },
    /// The updates of the round are put together.
    Totalled {
        /// Their sums; none without updates.
        numbers: Vec<i64>,
        /// Devices whose they are, and their examples.
        said: (u32, u64),
    },
    /// The coordinator of another fleet said something.
    Tidings {
        /// The fleet.
        fleet: String,
        /// What.
        tidings: Tidings,
    },
    /// A round was applied.
    Closed(Outcome),
    /// An adapter was evaluated.
    Evaluated {
        /// Rounds applied to it.
        applied: Applied,
        /// Its result, or why there is none.
        found: Result<HeldOut, String>,
    },
    /// An operator decided about a device.
    Standing {
        /// Which.
        device: DeviceId,
        /// What.
        act: Act,
    },
    /// The last adapter is with the broker, or is too large for that.
    Left {
        /// SHA-256 of the snapshot's frame.
        digest: Digest,
        /// Its length.
        bytes: u32,
        /// Whether the broker has it.
        kept: bool,
    },
    /// Stop after what has been asked for.
    Pause,
    /// Go on.
    Resume,
    /// Time passed.
    Tick,
}

/// What an operator may decide about a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Act {
    /// It is selected no more, until it is allowed.
    Quarantine,
    /// It may take part, whatever it did.
    Allow,
    /// Another board has its name from now on.
    Replace,
    /// It is gone for good, and its name is free.
    Remove,
}

/// Why a message could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// Damaged on its way: its checksum does not match. It will be sent again.
    Damaged,
    /// Whole, but not a message of this protocol.
    Malformed,
    /// Another version of the protocol.
    Version,
    /// Longer than such a message may be.
    TooLarge,
}

/// What applying a round's updates gave.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outcome {
    /// The round.
    pub round: RoundId,
    /// The adapter after it.
    pub after: Digest,
    /// Updates applied.
    pub applied: u32,
    /// Devices of other fleets whose numbers are in what was applied.
    pub others: u32,
    /// Mean loss over all examples of the round; NaN without updates.
    pub loss: f32,
    /// As in an update, of all that were applied.
    pub bins: Vec<[u64; 3]>,
    /// Rounds applied to the adapter that came back instead of what the round made, if one did.
    pub reverted: Option<Applied>,
    /// As [`RoundRow::weights`](crate::rows::RoundRow::weights).
    pub weights: Option<Vec<f64>>,
    /// What the devices are sent.
    pub result: RoundResult,
    /// As [`RoundRow::bytes_up`](crate::rows::RoundRow::bytes_up).
    pub bytes_up: u64,
    /// As [`RoundRow::bytes_down`](crate::rows::RoundRow::bytes_down).
    pub bytes_down: u64,
}
