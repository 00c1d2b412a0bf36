//! What an operator may want to read, as text and as JSON.

mod words;

use crate::event::Act;
use crate::ids::{Applied, DeviceNumber, RoundId};
use crate::rows::{HeldOut, RoundRow};
use serde::Serialize;
use std::path::PathBuf;

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
        number: DeviceNumber,
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
    /// A device was not heard for its lease, and is taken for gone.
    Unheard {
        /// Its name.
        device: String,
        /// Seconds of silence.
        seconds: u64,
        /// Devices online now.
        online: u32,
    },
    /// Two boards have one name: one of them was cloned.
    Twins {
        /// The name.
        device: String,
        /// What the one that spoke last runs on.
        board: String,
    },
    /// A device came whose software is older than the least that takes part.
    Outdated {
        /// Its name.
        device: String,
        /// What it runs.
        software: String,
        /// The least version.
        least: String,
    },
    /// An operator decided about a device.
    Decided {
        /// Its name.
        device: String,
        /// What.
        act: Act,
    },
    /// A device is selected no more: what it sent was refused too often.
    Quarantined {
        /// Its name.
        device: String,
        /// Rounds in a row that it failed in.
        rounds: u32,
    },
    /// A round waits for a device no longer.
    Passed {
        /// The round.
        round: RoundId,
        /// The device.
        device: String,
        /// Why.
        why: Passed,
    },
    /// Devices take over shares of others.
    Relieved {
        /// The round.
        round: RoundId,
        /// The names of the first eight.
        devices: Vec<String>,
        /// How many there are.
        count: usize,
    },
    /// No room for another device.
    TurnedAway {
        /// Its name.
        device: String,
        /// Devices the coordinator numbers, at most.
        limit: u32,
    },
    /// A round waits.
    Waiting {
        /// The round.
        round: RoundId,
        /// For what.
        what: String,
    },
    /// A round is open.
    Opened {
        /// The round.
        round: RoundId,
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
        round: RoundId,
        /// The device.
        device: String,
        /// Updates the round has now.
        reported: u32,
    },
    /// An attempt to aggregate sums securely led to no total.
    NotAggregated {
        /// The round.
        round: RoundId,
        /// From 0.
        attempt: u8,
        /// Why.
        why: String,
    },
    /// A message was refused. Of one device and round only the first few are told one by one.
    Refused {
        /// The round the message was for.
        round: RoundId,
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
        applied: Applied,
        /// With what result.
        #[serde(flatten)]
        found: HeldOut,
    },
    /// What a round made was worse than the best adapter so far, which came back.
    Reverted {
        /// The round.
        round: RoundId,
        /// How its adapter did.
        found: HeldOut,
        /// Rounds applied to the one that came back.
        to: Applied,
        /// How that did.
        best: HeldOut,
    },
    /// Another run was under way when this coordinator came; it is taken over.
    TakenOver {
        /// That run.
        run: String,
    },
    /// Another coordinator has come to this fleet.
    Rival {
        /// Its run.
        run: String,
    },
    /// An adapter could not be evaluated.
    NotEvaluated {
        /// Rounds applied to it.
        applied: Applied,
        /// Why.
        reason: String,
    },
    /// The command that is called for what somebody should look at (`[coordinator] alert`) failed.
    AlertFailed {
        /// What it was called for.
        alert: String,
        /// What went wrong.
        problem: String,
    },
    /// It was not called for so many events: they came faster than it is called.
    AlertsLeftOut {
        /// How many.
        count: u64,
    },
    /// A certificate that the coordinator needs ends soon, or has ended.
    Expiring {
        /// Its file.
        path: PathBuf,
        /// The last second in which it holds, since 1970.
        not_after: i64,
        /// Whole days until then; below 0 once it has ended.
        days: i64,
        /// The same in words.
        text: String,
    },
    /// A device has another certificate, of the same key.
    Renewed {
        /// Its name.
        device: String,
        /// The last second in which it holds, since 1970.
        until: i64,
    },
    /// A device asked for another certificate, and has none.
    NotRenewed {
        /// Its name.
        device: String,
        /// Why.
        problem: String,
    },
    /// No more rounds open until resumed.
    Paused,
    /// Going on.
    Resumed,
    /// The last adapter is with the broker, for devices that come late.
    Kept {
        /// Bytes of it, with its moments.
        bytes: u32,
    },
    /// It is too large for that: who comes late needs this coordinator.
    NotKept {
        /// Bytes of it, with its moments.
        bytes: u32,
        /// Bytes that are left with a broker, at most.
        limit: u32,
        /// Seconds that the coordinator stays.
        seconds: f64,
    },
    /// All rounds are done.
    Finished {
        /// The adapter.
        adapter_digest: String,
    },
}

/// Why a round waits for a device no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Passed {
    /// It took much longer than it usually does.
    Silent,
    /// It went away.
    Gone,
    /// What it sent was refused.
    Refused,
}
