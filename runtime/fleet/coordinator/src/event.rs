//! What happens to the coordinator, and what it wants done about it.

use super::state::{DeviceRow, Member, State};
use super::view::RoundRow;
use serde::{Deserialize, Serialize};
use sprig_transport::messages::{DeviceId, Digest, Presence, Reason, Report, RoundResult, Update, Want};
use std::fmt;

/// Milliseconds of a clock that never jumps.
pub type Millis = u64;

/// Something that happened. Devices are named by the topic a message came on, never by its content.
#[derive(Clone, Debug)]
pub enum Event {
    /// The broker can be reached, for the first time or again.
    Connected,
    /// The broker cannot be reached.
    Disconnected(String),
    /// A device came or went.
    Presence(DeviceId, Presence),
    /// A device's part of a round, and the bytes it came in.
    Update(DeviceId, Update, Vec<u8>),
    /// A device's account of a round, and the bytes it came in.
    Report(DeviceId, Report, Vec<u8>),
    /// A device misses rounds.
    Want(DeviceId, Want),
    /// A piece of a dense update, as it came.
    Chunk(DeviceId, Digest, u32, Vec<u8>),
    /// A message that could not be read.
    Unreadable(Option<DeviceId>, Unreadable),
    /// A dense update was looked through: root mean square of its weights, or why it is refused.
    Checked(u32, Digest, Result<f32, (Reason, String)>),
    /// A round was applied.
    Closed(Outcome),
    /// An adapter was evaluated: rounds applied to it, and its result or why there is none.
    Evaluated(u32, Result<Judgement, String>),
    /// Stop after what has been asked for.
    Pause,
    /// Go on.
    Resume,
    /// Time passed.
    Tick,
}

/// Why a message could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
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
pub struct Outcome {
    /// The round.
    pub round: u32,
    /// The adapter after it.
    pub after: Digest,
    /// Updates applied.
    pub applied: u32,
    /// Mean loss over all examples of the round; NaN without updates.
    pub loss: f32,
    /// What the devices are sent.
    pub result: RoundResult,
    /// As [`RoundRow::bytes_up`].
    pub bytes_up: u64,
    /// As [`RoundRow::bytes_down`].
    pub bytes_down: u64,
}

/// An adapter's result on held-out data.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// Mean loss.
    pub loss: f64,
    /// Share of examples answered right, 0 to 1; `None` where the task has none.
    pub accuracy: Option<f64>,
    /// Examples.
    pub n: u32,
}

/// What is to be done, in order. What follows a commit depends on it.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Make durable.
    Commit(Entry),
    /// Send.
    Publish {
        /// Where to.
        topic: String,
        /// The frame.
        payload: Vec<u8>,
        /// Whether the broker keeps it for those who come later.
        retain: bool,
    },
    /// Apply the round's updates, but those of the devices named: outliers against their own round.
    Close {
        /// The round.
        round: u32,
        /// Numbers of devices set aside, ascending.
        aside: Vec<u32>,
    },
    /// Look through a dense update whose last piece is in the ledger.
    Check {
        /// The device.
        number: u32,
        /// SHA-256 that the update claims.
        digest: Digest,
        /// Its length.
        bytes: u32,
    },
    /// Evaluate the adapter that `applied` rounds made.
    Evaluate {
        /// Rounds applied.
        applied: u32,
    },
    /// Send a device what it misses.
    Serve(DeviceId, Want),
    /// Tell whoever watches.
    Tell(Notice),
}

/// A row of the ledger.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// Where the coordinator is.
    State(State),
    /// Who takes part in the round.
    Members(Vec<Member>),
    /// A device's number and counters.
    Device(DeviceRow),
    /// An accepted update: its round, the device's number, its norm, its bytes.
    Update(u32, u32, f32, Vec<u8>),
    /// A piece of a dense update.
    Chunk(u32, u32, Vec<u8>),
    /// The pieces of a dense update that was refused go.
    Discard(u32),
    /// A device's account of a round.
    Report(u32, Vec<u8>),
    /// A finished round.
    History(RoundRow),
    /// The adapter before the first round, evaluated.
    Before(Judgement),
    /// The updates of a closed round go: its result is in the ledger.
    Forget(u32),
}

/// What an operator may want to read.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Notice {
    /// Connected to the broker.
    Connected,
    /// Connection lost; it is being made again.
    Disconnected {
        /// Why.
        reason: String,
    },
    /// A device is here.
    Joined {
        /// Its name.
        device: String,
        /// Its number.
        number: u32,
        /// What it runs on.
        board: String,
        /// Devices online now.
        online: u32,
    },
    /// A device is gone.
    Left {
        /// Its name.
        device: String,
        /// Devices online now.
        online: u32,
    },
    /// No room for another device.
    TurnedAway {
        /// Its name.
        device: String,
        /// The limit, `max_devices`.
        limit: u32,
    },
    /// A round waits.
    Waiting {
        /// The round.
        round: u32,
        /// For what.
        what: String,
    },
    /// A round is open.
    Opened {
        /// The round.
        round: u32,
        /// Rounds in all.
        rounds: u32,
        /// From 0.
        attempt: u8,
        /// Devices that take part.
        selected: u32,
        /// Seconds to the deadline.
        seconds: u64,
    },
    /// An update is in the ledger.
    Accepted {
        /// The round.
        round: u32,
        /// The device.
        device: String,
        /// Updates the round has now.
        reported: u32,
    },
    /// A message was refused. Of one device and round only the first few are told one by one.
    Refused {
        /// The round the message was for.
        round: u32,
        /// Whose topic it came on.
        device: String,
        /// Why.
        reason: String,
        /// More exactly.
        text: String,
    },
    /// A round is done.
    Closed(RoundRow),
    /// An adapter was evaluated.
    Evaluated {
        /// Rounds applied to it.
        applied: u32,
        /// With what result.
        #[serde(flatten)]
        judgement: Judgement,
    },
    /// An adapter could not be evaluated.
    Unjudged {
        /// Rounds applied to it.
        applied: u32,
        /// Why.
        reason: String,
    },
    /// No more rounds open until resumed.
    Paused,
    /// Going on.
    Resumed,
    /// All rounds are done.
    Finished {
        /// The adapter.
        adapter_digest: String,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::Connected => write!(f, "connected to the broker"),
            Notice::Disconnected { reason } => write!(f, "connection lost ({reason}); connecting again"),
            Notice::Joined { device, number, board, online } => {
                write!(f, "{device} ({board}) joined as number {number}; {online} online")
            }
            Notice::Left { device, online } => write!(f, "{device} left; {online} online"),
            Notice::TurnedAway { device, limit } => {
                write!(f, "{device} turned away: {limit} devices are the limit (max_devices)")
            }
            Notice::Waiting { round, what } => write!(f, "round {round} waits for {what}"),
            Notice::Opened { round, rounds, attempt, selected, seconds } => {
                write!(f, "round {round} of {rounds}: {selected} devices, {seconds} s")?;
                if *attempt > 0 { write!(f, ", attempt {}", attempt + 1) } else { Ok(()) }
            }
            Notice::Accepted { round, device, reported } => {
                write!(f, "round {round}: {device} reported ({reported})")
            }
            Notice::Refused { round, device, reason, text } => {
                write!(f, "round {round}: refused from {device}: {reason}: {text}")
            }
            Notice::Closed(row) => {
                write!(
                    f,
                    "round {} {}: {} of {} reported",
                    row.round, row.state, row.reported, row.selected
                )?;
                if row.refused > 0 {
                    write!(f, ", {} refused", row.refused)?;
                }
                if let Some(loss) = row.loss {
                    write!(f, ", loss {loss:.4}")?;
                }
                write!(
                    f,
                    ", {:.1} s, adapter {}",
                    row.seconds,
                    &row.adapter_digest[..8.min(row.adapter_digest.len())]
                )
            }
            Notice::Evaluated { applied, judgement } => {
                write!(f, "held out after {applied} rounds: loss {:.4}", judgement.loss)?;
                match judgement.accuracy {
                    Some(accuracy) => write!(f, ", {:.1} % of {}", 100.0 * accuracy, judgement.n),
                    None => write!(f, ", {} examples", judgement.n),
                }
            }
            Notice::Unjudged { applied, reason } => {
                write!(f, "no evaluation after {applied} rounds: {reason}")
            }
            Notice::Paused => write!(f, "paused"),
            Notice::Resumed => write!(f, "resumed"),
            Notice::Finished { adapter_digest } => write!(f, "finished; adapter {adapter_digest}"),
        }
    }
}
