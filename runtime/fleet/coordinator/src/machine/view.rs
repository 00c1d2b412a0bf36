//! The machine as it can be looked at.

use super::Machine;
use crate::countdown::Millis;
use crate::ids::DeviceNumber;
use crate::rows::Standing;
use crate::state::Stage;
use crate::view::{DeviceView, FleetView, LISTED};
use sprig_transport::messages::holds;

impl Machine {
    /// The fleet now, but for what only the ledger and the process know.
    pub(crate) fn view(&self, now: Millis) -> FleetView {
        let round = &self.round;
        let present = self.registry.iter().filter(|(_, device)| !device.is_removed());
        let mut numbers: Vec<DeviceNumber> = present.map(|(number, _)| number).collect();
        if numbers.len() > LISTED {
            // Those online first, both parts ascending.
            numbers.sort_by_key(|&n| self.registry.get(n).is_some_and(|d| !d.is_online()));
            numbers.truncate(LISTED);
        }
        FleetView {
            fleet: self.options.fleet.clone(),
            run: self.options.run.to_string(),
            epoch: self.options.run.epoch(),
            state: match round.stage() {
                Stage::Finished if !self.evaluations.under_way().is_empty() => "evaluating",
                Stage::Finished => "finished",
                _ if self.paused => "paused",
                Stage::Gathering => "gathering",
                Stage::Collecting => "collecting",
                Stage::Closing => "closing",
            }
            .into(),
            waiting_for: self.waiting_for(now),
            round: round.id().0,
            rounds: self.options.rounds,
            mode: self.options.mode().into(),
            learns: self.options.learns.clone(),
            devices: numbers.into_iter().filter_map(|number| self.device_view(number, now)).collect(),
            devices_total: self.registry.present(),
            devices_online: self.registry.online(),
            devices_removed: self.registry.iter().filter(|(_, device)| device.is_removed()).count() as u32,
            history: Vec::new(),
            accuracy_before: self.evaluations.before().and_then(|b| b.accuracy),
            loss_before: self.evaluations.before().map(|b| b.loss),
            judged_on: self.evaluations.before().filter(|b| b.accuracy.is_some()).map(|b| b.n),
            interval: None,
            strangers: self.strangers,
            coordinator_rss: 0,
            certificates: Vec::new(),
            uptime_s: 0.0,
        }
    }

    fn device_view(&self, number: DeviceNumber, now: Millis) -> Option<DeviceView> {
        let device = self.registry.get(number)?;
        let record = *device.record();
        let seconds = |ms: Millis| ms as f64 / 1000.0;
        let state = match self.round.member(number) {
            Some(_) if self.round.has_reported(number) => "reported",
            _ if record.standing != Standing::Good => "quarantined",
            _ if !device.is_online() => "absent",
            Some(_) if self.round.stage() == Stage::Collecting && !self.round.is_refused(number) => {
                "training"
            }
            _ if self.registry.is_outdated(device) => "outdated",
            _ if record.rests_until() > self.round.id() => "resting",
            _ => "idle",
        };
        let (presence, report) = (device.presence(), device.report());
        Some(DeviceView {
            id: device.id().to_string(),
            number: number.0,
            board: presence.map(|p| p.board.clone()).unwrap_or_default(),
            software: presence.map(|p| p.software.clone()).unwrap_or_default(),
            online: device.is_online(),
            budget_bytes: presence.map_or(0, |p| p.budget),
            peak_bytes: report.map(|r| r.peak),
            planned_bytes: report.map(|r| r.planned),
            // A device may send any number; one that is none would be `null` to whoever reads the view.
            round_s: report.map(|r| r.seconds).filter(|seconds| seconds.is_finite()),
            celsius: report.and_then(|r| r.celsius).filter(|celsius| celsius.is_finite()),
            held_back: report.and_then(|r| r.held_back).map(|bits| holds(bits).map(str::to_owned).collect()),
            rate: self.registry.strength(number),
            tangents: presence.map_or(0, |p| p.tangents),
            examples: presence.map_or(0, |p| p.examples),
            last_round: device.last_accepted().map(|round| round.0),
            accepted: device.accepted(),
            refused: device.refused(),
            last_refusal: device.last_refusal().map(|reason| reason.name().to_owned()),
            state: state.into(),
            standing: record.standing,
            heard_s: device.heard().map(|heard| seconds(now.saturating_sub(heard))),
            usual_s: device.usual().map(seconds),
            selected: record.selected,
            missed: record.missed,
            late: record.late,
            failures: record.failures,
            regions: Vec::new(),
            bytes_up: report.map_or(0, |r| r.up),
            bytes_down: report.map_or(0, |r| r.down),
        })
    }
}
