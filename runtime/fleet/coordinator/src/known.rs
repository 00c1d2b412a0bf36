//! Devices as the ledger alone knows them: what can be said of them while no coordinator is running.

use crate::ledger::{Ledger, LedgerError};
use crate::rows::{DeviceRow, Standing};
use crate::view::DeviceView;
use sprig_transport::messages::{Digest, Report, holds};

/// All devices of the run in `ledger` but those removed, by number.
pub(crate) fn devices(ledger: &Ledger) -> Result<Vec<DeviceView>, LedgerError> {
    // Only a run without a state would begin with the adapter named here.
    let rows = ledger.load(Digest([0; 32]))?.devices;
    let present = rows.iter().filter(|row| row.record.unwrap_or_default().standing != Standing::Removed);
    present.map(|row| Ok(device(row, ledger.report(row.number)?.as_ref()))).collect()
}

/// What a device told of itself is not in the ledger, nor is whether it is here.
fn device(row: &DeviceRow, report: Option<&Report>) -> DeviceView {
    let record = row.record.unwrap_or_default();
    let state = if record.standing == Standing::Good { "unknown" } else { "quarantined" };
    DeviceView {
        id: row.id.clone(),
        number: row.number.0,
        board: String::new(),
        software: String::new(),
        online: false,
        budget_bytes: report.map_or(0, |r| r.budget),
        peak_bytes: report.map(|r| r.peak),
        planned_bytes: report.map(|r| r.planned),
        round_s: report.map(|r| r.seconds).filter(|seconds| seconds.is_finite()),
        celsius: report.and_then(|r| r.celsius).filter(|celsius| celsius.is_finite()),
        held_back: report.and_then(|r| r.held_back).map(|bits| holds(bits).map(str::to_owned).collect()),
        rate: 0.0,
        tangents: 0,
        examples: 0,
        last_round: row.last_accepted.map(|round| round.0),
        accepted: row.accepted,
        refused: row.refused,
        last_refusal: None,
        state: state.to_owned(),
        standing: record.standing,
        heard_s: None,
        usual_s: None,
        selected: record.selected,
        missed: record.missed,
        late: record.late,
        failures: record.failures,
        regions: Vec::new(),
        bytes_up: report.map_or(0, |r| r.up),
        bytes_down: report.map_or(0, |r| r.down),
    }
}
