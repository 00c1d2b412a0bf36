//! The fleet as it can be looked at: what `sprig fleet status` prints and the dashboard shows.

use crate::rows::{RoundRow, Standing};
use serde::{Deserialize, Serialize};

/// Devices listed in a view, at most: those online first. A page of thousands serves nobody.
pub const LISTED: usize = 1000;
/// Rounds listed in a view, at most: the last ones. `sprig fleet history` has all.
pub const ROUNDS: usize = 2000;

/// The fleet now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FleetView {
    /// Its name.
    pub fleet: String,
    /// This run, hexadecimal.
    pub run: String,
    /// Its epoch: 1 more for each time that it went on from a copy of its ledger.
    pub epoch: u32,
    /// `gathering`, `collecting`, `closing`, `paused`, `evaluating` (all rounds are done, the last one is being judged) or
    /// `finished`.
    pub state: String,
    /// What is waited for, and how long still.
    pub waiting_for: String,
    /// Current round, from 0; equal to `rounds` when finished.
    pub round: u32,
    /// Rounds in all.
    pub rounds: u32,
    /// `per-iteration` or `per-epoch`.
    pub mode: String,
    /// What is learnt, for people: the task with its labels, and the model.
    #[serde(default)]
    pub learns: String,
    /// Devices, at most [`LISTED`].
    pub devices: Vec<DeviceView>,
    /// All devices ever seen, but for those removed.
    pub devices_total: u32,
    /// Devices online.
    pub devices_online: u32,
    /// Devices that an operator removed for good.
    pub devices_removed: u32,
    /// Rounds, ascending, at most the last [`ROUNDS`].
    pub history: Vec<RoundRow>,
    /// Held-out accuracy before the first round.
    pub accuracy_before: Option<f64>,
    /// Held-out loss before the first round.
    pub loss_before: Option<f64>,
    /// Answers that a held-out accuracy is the share of.
    #[serde(default)]
    pub judged_on: Option<u32>,
    /// 95 % interval (Wilson) of the last held-out accuracy of the history.
    #[serde(default)]
    pub interval: Option<[f64; 2]>,
    /// Messages that no known device sent, or that came on no topic of the fleet.
    #[serde(rename = "strange")]
    pub strangers: u64,
    /// Certificates that the coordinator needs.
    #[serde(default)]
    pub certificates: Vec<CertificateView>,
    /// Memory of the coordinator, resident bytes.
    pub coordinator_rss: u64,
    /// Seconds since it was started.
    pub uptime_s: f64,
}

/// A device now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceView {
    /// Its name.
    pub id: String,
    /// Its number.
    pub number: u32,
    /// What it runs on.
    pub board: String,
    /// What runs on it.
    pub software: String,
    /// Whether it is here.
    pub online: bool,
    /// Its memory budget.
    pub budget_bytes: u64,
    /// The most it held, from its last report.
    pub peak_bytes: Option<u64>,
    /// What its plan says, from its last report.
    pub planned_bytes: Option<u64>,
    /// Seconds that the training of its last reported round took.
    pub round_s: Option<f32>,
    /// Temperature of its hottest sensor then, in °C; none where its board does not tell.
    pub celsius: Option<f32>,
    /// What held its board back then, in words; none where it does not tell, empty where nothing did.
    pub held_back: Option<Vec<String>>,
    /// Tokens a second of a training step, as it measured.
    pub rate: f32,
    /// Tangents it carries in a pass.
    pub tangents: u8,
    /// Examples it trains on.
    pub examples: u32,
    /// Round of its last update in the ledger.
    pub last_round: Option<u32>,
    /// Updates in the ledger.
    pub accepted: u32,
    /// Messages refused.
    pub refused: u32,
    /// Why the last one was, since the coordinator was started.
    pub last_refusal: Option<String>,
    /// `idle`, `training`, `reported`, `resting` (after failures), `outdated` (its software), `quarantined` or `absent`;
    /// `unknown` where no coordinator is running.
    pub state: String,
    /// Whether it may take part, and if not, who took it out.
    pub standing: Standing,
    /// Seconds since anything was heard of it; none since the coordinator was started.
    pub heard_s: Option<f64>,
    /// Seconds that it usually takes from its task to its update.
    pub usual_s: Option<f64>,
    /// Rounds it was selected for, those that are over.
    pub selected: u32,
    /// Of these, rounds in which it sent nothing in time.
    pub missed: u32,
    /// Updates that came after their round was over.
    pub late: u32,
    /// Rounds in a row in which it failed.
    pub failures: u32,
    /// Regions of its memory, from its last report.
    pub regions: Vec<RegionView>,
    /// Bytes it sent, from its last report.
    pub bytes_up: u64,
    /// Bytes it received, from its last report.
    pub bytes_down: u64,
}

/// A certificate now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateView {
    /// Its file.
    pub path: String,
    /// The last second in which it holds, since 1970.
    pub not_after: i64,
    /// Whole days until then; below 0 once it has ended.
    pub days: i64,
    /// Whether that is soon.
    pub near: bool,
}

/// A region of a device's memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionView {
    /// Its name.
    pub name: String,
    /// Bytes planned.
    pub planned: u64,
    /// Bytes measured.
    pub measured: Option<u64>,
}
