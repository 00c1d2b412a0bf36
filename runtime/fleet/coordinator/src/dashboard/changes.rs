//! What a page has to be told: the fleet whole at first, then what changed.

use crate::{DeviceView, FleetView, RoundId, RoundRow};
use serde::Serialize;
use std::collections::HashMap;

/// A view with only the devices and rounds that changed.
#[derive(Serialize)]
struct Patch<'a> {
    #[serde(flatten)]
    view: FleetView,
    /// Devices no longer listed.
    gone: Vec<&'a str>,
}

/// The whole view, as JSON.
pub(super) fn whole(view: &FleetView) -> String {
    // Names and figures always have a form in JSON.
    serde_json::to_string(view).unwrap_or_default()
}

/// What turns `old` into `new`, as JSON.
pub(super) fn patch(old: &FleetView, new: &FleetView) -> String {
    let known: HashMap<&str, &DeviceView> = old.devices.iter().map(|d| (d.id.as_str(), d)).collect();
    let devices = new.devices.iter().filter(|d| known.get(d.id.as_str()) != Some(d)).cloned().collect();
    let listed: HashMap<&str, ()> = new.devices.iter().map(|d| (d.id.as_str(), ())).collect();
    let gone = old.devices.iter().map(|d| d.id.as_str()).filter(|id| !listed.contains_key(id)).collect();
    let rounds: HashMap<RoundId, &RoundRow> = old.history.iter().map(|r| (r.round, r)).collect();
    let history = new.history.iter().filter(|r| rounds.get(&r.round) != Some(r)).cloned().collect();
    let view = FleetView { devices, history, ..head(new) };
    serde_json::to_string(&Patch { view, gone }).unwrap_or_default()
}

/// Whether `new` continues `old`; otherwise a page needs the whole view.
pub(super) fn continues(old: &FleetView, new: &FleetView) -> bool {
    let first = |view: &FleetView| view.history.first().map(|r| r.round);
    old.run == new.run && old.fleet == new.fleet && first(old) <= first(new)
}

/// The view without devices and rounds.
fn head(view: &FleetView) -> FleetView {
    FleetView {
        fleet: view.fleet.clone(),
        run: view.run.clone(),
        state: view.state.clone(),
        waiting_for: view.waiting_for.clone(),
        mode: view.mode.clone(),
        learns: view.learns.clone(),
        certificates: view.certificates.clone(),
        devices: Vec::new(),
        history: Vec::new(),
        ..*view
    }
}
