//! What an agent tells whoever watches it.

use serde::Serialize;
use sprig_run::Moved;
use sprig_transport::expiry::Ending;
use sprig_transport::renewal::Told;
use std::path::PathBuf;

/// One thing that happened. Its JSON form has the name under `event`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum AgentEvent {
    /// The broker took us.
    Connected,
    /// The broker is gone; the link tries again by itself.
    Disconnected {
        /// Why.
        reason: String,
    },
    /// A certificate of the connection ends soon, or has ended.
    Expiring {
        /// The file.
        path: PathBuf,
        /// The last second in which it holds, since 1970.
        not_after: i64,
        /// Whole days until then; below 0 once it has ended.
        days: i64,
        /// The same in words.
        problem: String,
    },
    /// The device's certificate was renewed.
    Renewed {
        /// The file.
        path: PathBuf,
        /// The last second in which it holds, since 1970.
        not_after: i64,
        /// The same in words.
        text: String,
    },
    /// It was not, and stays.
    NotRenewed {
        /// Why.
        problem: String,
    },
    /// An operator should know something of the board that it runs on.
    Board {
        /// Its name.
        board: String,
        /// What, and what can be done.
        problem: String,
    },
    /// The training to take part in.
    Job {
        /// Run, hexadecimal.
        run: String,
    },
    /// The run was over before this device came, which waits for another.
    Lingers {
        /// So many seconds.
        seconds: u64,
    },
    /// Its job says what this program does not know, and may leave out.
    Unknown {
        /// The keys, after their tables.
        keys: Vec<String>,
    },
    /// Its job cannot be followed by this program; another is waited for.
    Unreadable {
        /// Run, hexadecimal.
        run: String,
        /// Why, and who must act.
        problem: String,
    },
    /// Texts of this device's data are longer than the fleet's examples may be, and lose their end.
    Cut {
        /// So many.
        texts: usize,
        /// Of so many.
        of: usize,
        /// Tokens that are kept.
        len: usize,
        /// Tokens that would keep all.
        all: usize,
    },
    /// This device's data have changed, and were read again: the next round is of the new ones.
    Data {
        /// Examples now.
        examples: usize,
        /// Examples before.
        before: usize,
    },
    /// They have changed, and the new ones cannot be used: the training goes on with the old ones.
    DataRefused {
        /// Why, with file and line, and what can be done.
        problem: String,
    },
    /// What will be held in memory.
    Planned {
        /// Bytes in all.
        plan_bytes: u64,
        /// Of.
        budget_bytes: u64,
    },
    /// Of so many examples it is known what the untouched model makes of their answers, against which preferences are
    /// measured.
    Referred {
        /// So many.
        examples: usize,
        /// Of.
        of: usize,
    },
    /// Sums or scalars leave with noise: of this device's examples the run spends so much.
    Noise {
        /// ε of differential privacy.
        epsilon: f64,
        /// δ.
        delta: f64,
    },
    /// Others on this machine needed memory, or no longer do: less or more is held from now on.
    Pressure {
        /// The first round not applied, as the agent knows it.
        round: u32,
        /// Bytes planned from now on.
        plan_bytes: u64,
        /// Rungs of the ladder that are taken, each with what it costs.
        ladder: Vec<String>,
        /// Bytes that could still be had on this machine.
        room_bytes: Option<u64>,
        /// Share of the last seconds in which some task waited for memory, percent.
        stalled_percent: Option<f64>,
    },
    /// The coordinator's state was reached.
    Synced {
        /// First round not applied.
        round: u32,
        /// Digest of the adapter.
        digest: String,
        /// `record`, `records`, `snapshot` or `start`.
        by: &'static str,
    },
    /// A state of another history arrived, or bytes that lead nowhere; a snapshot was asked for.
    Diverged {
        /// What was found.
        problem: String,
    },
    /// Our part of a round begins.
    Training {
        /// The round.
        round: u32,
        /// Groups of weights.
        groups: u16,
    },
    /// The coordinator cannot read what we sent; it is not sent again before the next round.
    Unread {
        /// Why, in a word: `version`, `malformed` or `too large`.
        reason: &'static str,
        /// More exactly.
        text: String,
    },
    /// Our part of a round is not begun: less time is left than the last one took.
    Declined {
        /// The round.
        round: u32,
        /// Seconds that are left.
        left_s: f32,
        /// Seconds that the last one took.
        usual_s: f32,
    },
    /// A round whose update was accepted is asked for again, and done once more: the coordinator's ledger was put back.
    AskedAgain {
        /// The round.
        round: u32,
    },
    /// So much of a read-out's pass is done.
    Read {
        /// The round.
        round: u32,
        /// Examples read.
        examples: usize,
        /// Of.
        of: usize,
    },
    /// It is done and durable.
    Trained {
        /// The round.
        round: u32,
        /// Mean loss of our examples before it; `None` where the update has noise.
        loss: Option<f32>,
        /// How long it took.
        seconds: f32,
    },
    /// It was given up: the round ended without us.
    Abandoned {
        /// The round.
        round: u32,
    },
    /// What leaves with noise has told so much of this device's examples, with this round.
    Spent {
        /// The round.
        round: u32,
        /// ε of differential privacy, of all rounds of the run together.
        epsilon: f64,
        /// δ.
        delta: f64,
    },
    /// The device takes no part in a round that it was asked to.
    Passed {
        /// The round.
        round: u32,
        /// Why.
        why: String,
    },
    /// The update is on its way, for the first time or again.
    Sent {
        /// The round.
        round: u32,
        /// Bytes of the message.
        bytes: u64,
    },
    /// The coordinator has it in its ledger, or refused it.
    Receipt {
        /// The round.
        round: u32,
        /// `accepted`, `duplicate` or why it was refused.
        verdict: String,
    },
    /// A message that is none was dropped.
    Dropped {
        /// Where from.
        topic: String,
        /// Why.
        problem: String,
    },
    /// The fleet's adapter was written.
    Adapter {
        /// Rounds applied to it.
        round: u32,
        /// The file.
        path: PathBuf,
        /// Digest of the adapter's numbers, as in the other events.
        digest: String,
    },
    /// It could not be written; the training goes on.
    AdapterFailed {
        /// Rounds applied to it.
        round: u32,
        /// The file.
        path: PathBuf,
        /// Why, and what can be done.
        problem: String,
    },
    /// The run is over, and nobody sends its adapter.
    Unserved {
        /// Why, and what can be done.
        problem: String,
    },
    /// The run is over.
    Finished {
        /// Rounds it had.
        rounds: u32,
        /// Digest of the final adapter.
        digest: String,
    },
}

impl AgentEvent {
    pub(super) fn of_certificate(told: Told) -> Self {
        let text = told.to_string();
        match told {
            Told::Ending(Ending { path, not_after, days }) => {
                Self::Expiring { path, not_after, days, problem: text }
            }
            Told::Renewed { path, not_after } => Self::Renewed { path, not_after, text },
            Told::Failed { .. } => Self::NotRenewed { problem: text },
        }
    }

    pub(super) fn pressure(round: u32, moved: &Moved) -> Self {
        Self::Pressure {
            round,
            plan_bytes: moved.plan.total().0,
            ladder: moved.plan.ladder.iter().map(|rung| rung.why.clone()).collect(),
            room_bytes: moved.reading.room.map(|room| room.0),
            stalled_percent: moved.reading.stalled,
        }
    }
}
