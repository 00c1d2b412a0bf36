//! The fleet as it can be looked at: what `sprig fleet status` prints and the dashboard shows.

use super::event::Millis;
use super::machine::Machine;
use super::state::Stage;
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
    /// `gathering`, `collecting`, `closing`, `paused` or `finished`.
    pub state: String,
    /// What is waited for, and how long still.
    pub waiting_for: String,
    /// Current round, from 0; equal to `rounds` when finished.
    pub round: u32,
    /// Rounds in all.
    pub rounds: u32,
    /// `per-iteration` or `per-epoch`.
    pub mode: String,
    /// Devices, at most [`LISTED`].
    pub devices: Vec<DeviceView>,
    /// All devices ever seen.
    pub devices_total: u32,
    /// Devices online.
    pub devices_online: u32,
    /// Rounds, ascending, at most the last [`ROUNDS`].
    pub history: Vec<RoundRow>,
    /// Held-out accuracy before the first round.
    pub accuracy_before: Option<f64>,
    /// Held-out loss before the first round.
    pub loss_before: Option<f64>,
    /// Messages that no known device sent, or that came on no topic of the fleet.
    pub strange: u64,
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
    /// `idle`, `training`, `reported` or `absent`.
    pub state: String,
    /// Regions of its memory, from its last report.
    pub regions: Vec<RegionView>,
    /// Bytes it sent, from its last report.
    pub bytes_up: u64,
    /// Bytes it received, from its last report.
    pub bytes_down: u64,
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

/// A finished round: one line of the history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoundRow {
    /// The round, from 0.
    pub round: u32,
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

impl Machine {
    /// The fleet now, but for what only the ledger and the process know.
    pub(super) fn view(&self, now: Millis) -> FleetView {
        let state = self.state();
        let mut numbers: Vec<u32> = self.registry.iter().map(|(number, _)| number).collect();
        if numbers.len() > LISTED {
            // Those online first, both parts ascending.
            numbers.sort_by_key(|&n| self.registry.get(n).is_some_and(|d| !d.online));
            numbers.truncate(LISTED);
        }
        FleetView {
            fleet: self.options.fleet.clone(),
            run: self.options.run.to_string(),
            state: match state.stage {
                Stage::Finished => "finished",
                _ if state.paused => "paused",
                Stage::Gathering => "gathering",
                Stage::Collecting => "collecting",
                Stage::Closing => "closing",
            }
            .into(),
            waiting_for: self.waiting_for(now),
            round: state.round,
            rounds: self.options.rounds,
            mode: self.options.mode().into(),
            devices: numbers.into_iter().filter_map(|number| self.device_view(number)).collect(),
            devices_total: self.registry.len(),
            devices_online: self.registry.online(),
            history: Vec::new(),
            accuracy_before: self.before.and_then(|b| b.accuracy),
            loss_before: self.before.map(|b| b.loss),
            strange: self.strange,
            coordinator_rss: 0,
            uptime_s: 0.0,
        }
    }

    fn device_view(&self, number: u32) -> Option<DeviceView> {
        let device = self.registry.get(number)?;
        let part = self.place(number).map(|at| self.parts[at]);
        let state = match part {
            Some(part) if part.norm.is_some() => "reported",
            _ if !device.online => "absent",
            Some(_) if self.state().stage == Stage::Collecting => "training",
            _ => "idle",
        };
        let (presence, report) = (device.presence.as_ref(), device.report);
        Some(DeviceView {
            id: device.id.to_string(),
            number,
            board: presence.map(|p| p.board.clone()).unwrap_or_default(),
            software: presence.map(|p| p.software.clone()).unwrap_or_default(),
            online: device.online,
            budget_bytes: presence.map_or(0, |p| p.budget),
            peak_bytes: report.map(|r| r.peak),
            planned_bytes: report.map(|r| r.planned),
            rate: self.registry.strength(number),
            tangents: presence.map_or(0, |p| p.tangents),
            examples: presence.map_or(0, |p| p.examples),
            last_round: device.last_accepted,
            accepted: device.accepted,
            refused: device.refused,
            last_refusal: device.last_refusal.map(|reason| format!("{reason:?}")),
            state: state.into(),
            regions: Vec::new(),
            bytes_up: report.map_or(0, |r| r.up),
            bytes_down: report.map_or(0, |r| r.down),
        })
    }
}
