//! Rows of the ledger that the coordinator decides by: devices, a round's members, finished rounds, evaluations.

use crate::ids::{Applied, DeviceNumber, RoundId, Slot};
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};
use sprig_learn::calibration::{Bins, Summary};
use sprig_learn::evaluate::{Evaluation, interval};
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
    /// How it did in the rounds it was selected for; none of a device that was not yet, or of an earlier program.
    #[n(5)]
    pub record: Option<Record>,
}

/// How a device did in the rounds that it was selected for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Record {
    /// Rounds it was selected for, those that are over for it.
    #[n(0)]
    pub selected: u32,
    /// Updates that came after their round was over.
    #[n(1)]
    pub late: u32,
    /// Rounds it was selected for and sent nothing in time.
    #[n(2)]
    pub missed: u32,
    /// Rounds in a row in which it was silent or what it sent was refused.
    #[n(3)]
    pub failures: u32,
    /// The last of them.
    #[n(4)]
    pub failed_at: RoundId,
    /// Whether it may take part.
    #[n(5)]
    pub standing: Standing,
}

/// Whether a device may take part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cbor(index_only)]
pub enum Standing {
    /// It may.
    #[default]
    #[n(0)]
    Good,
    /// Not until an operator allows it: he took it out.
    #[n(1)]
    Quarantined,
    /// Not until an operator allows it: what it sent was refused too often.
    #[n(2)]
    Failing,
    /// Never again: an operator took it out for good, and its name is free.
    #[n(3)]
    Removed,
}

impl Record {
    /// Rounds that a device rests after it failed, at most.
    const LONGEST: u32 = 64;
    /// Failures in a row, the last of them a refusal, after which only an operator brings a device back.
    pub(crate) const TOO_OFTEN: u32 = 5;

    /// Counts a round that it failed in.
    pub(crate) fn fail(&mut self, round: RoundId) {
        self.failures = self.failures.saturating_add(1);
        self.failed_at = round;
    }

    /// The first round for which it is selected again: after one failure it misses one round, after each further one in a
    /// row twice as many, up to [`LONGEST`](Self::LONGEST).
    pub(crate) fn rests_until(&self) -> RoundId {
        match self.failures {
            0 => RoundId::FIRST,
            n => {
                let rest = 1u32.checked_shl(n - 1).unwrap_or(u32::MAX).min(Self::LONGEST);
                RoundId(self.failed_at.0.saturating_add(1).saturating_add(rest))
            }
        }
    }
}

/// A finished round: one line of the history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoundRow {
    /// The round, from 0.
    pub round: RoundId,
    /// `closed`; `abandoned` where no device reported; `reverted` where it made the adapter worse on held-out data, and the best
    /// one before it came back.
    pub state: String,
    /// `per-iteration` or `per-epoch`.
    pub mode: String,
    /// Devices that were asked.
    pub selected: u32,
    /// Devices whose updates were applied.
    pub reported: u32,
    /// Devices of other fleets that are folded with this one, whose numbers were applied with theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub others: Option<u32>,
    /// Messages refused while the round was open; of a crash, those of the last two seconds before it may be missing.
    pub refused: u32,
    /// Mean training loss over all examples of the round; claims beyond three medians count as those.
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
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, Encode, Decode)]
pub struct HeldOut {
    /// Mean loss.
    #[n(0)]
    pub loss: f64,
    /// Its standard error, where what is judged are tokens: those of a text go together, and the accuracy has no interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[n(1)]
    pub loss_error: Option<f64>,
    /// Share of examples answered right, 0 to 1; `None` where the task has none.
    #[n(2)]
    pub accuracy: Option<f64>,
    /// Examples.
    #[n(3)]
    pub n: u32,
}

/// The adapter that did best on held-out data so far.
#[derive(Clone, Copy, Debug, PartialEq, Encode, Decode)]
pub(crate) struct Best {
    /// Rounds applied to it.
    #[n(0)]
    pub applied: Applied,
    /// How it did.
    #[n(1)]
    pub found: HeldOut,
}

impl HeldOut {
    /// Normal quantile of a two-sided 95 % interval.
    const Z: f64 = 1.96;

    /// What an evaluation of so many `records` found.
    pub fn of(found: &Evaluation, records: usize) -> Self {
        let n = found.n.try_into().unwrap_or(u32::MAX);
        let loss_error = (found.n != records as u64).then_some(found.loss_error);
        Self { loss: found.loss, loss_error, accuracy: Some(found.accuracy), n }
    }

    /// Whether this is worse than `best` beyond the interval of that: its accuracy below the 95 % Wilson interval, or its loss
    /// above the mean by more than both standard errors say where there are those.
    pub fn is_worse(&self, best: &HeldOut) -> bool {
        match (self.loss_error.zip(best.loss_error), self.accuracy.zip(best.accuracy)) {
            (Some((own, other)), _) => {
                self.loss.is_nan() || self.loss > best.loss + Self::Z * own.hypot(other)
            }
            (None, Some((own, other))) => own < interval(other, u64::from(best.n))[0],
            (None, None) => !self.loss.is_finite(),
        }
    }

    /// Whether this is at least as good as `other`, by what [`is_worse`](Self::is_worse) goes by.
    pub fn is_as_good(&self, other: &HeldOut) -> bool {
        match self.accuracy.zip(other.accuracy).filter(|_| self.loss_error.is_none()) {
            Some((own, other)) => own >= other,
            None => self.loss <= other.loss,
        }
    }
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
