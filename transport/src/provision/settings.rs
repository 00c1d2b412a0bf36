//! `fleet.toml` and `device.toml`, ready but for the model and the data.

use super::identity::Identity;

/// Most devices that are asked in a round where the settings are not changed.
const MOST_ASKED: usize = 10;

/// The coordinator's settings for a fleet that begins with so many devices.
pub(super) fn coordinator(identity: &Identity, devices: usize) -> String {
    let some = devices.clamp(1, MOST_ASKED);
    format!(
        r#"# Coordinator of the fleet {fleet}: sprig coordinate --config fleet.toml
# Paths are relative to this file.

[fleet]
name = "{fleet}"
broker = "{url}"
ca = "ca.crt"
cert = "coordinator.crt"
key = "coordinator.key"

[model]
# The same file as on the devices.
path = "model.gguf"

[rounds]
count = 100
# Devices asked in a round, those that must be there before one starts, and answers that close it.
devices = {MOST_ASKED}
min_devices = {least}
quorum = {quorum}
deadline_seconds = 300

[train]
# What the devices learn: `lm` (text), `label` (text and label) or `choice` (question and choices).
task = "lm"
# labels = ["yes", "no"]

[coordinator]
dashboard = "127.0.0.1:8080"
# Devices' certificates are renewed over the connection while the authority's key is there.
authority = ".."
# eval_data = "held_out.jsonl"
# adapter = "adapter.gguf"
"#,
        fleet = identity.fleet,
        url = identity.url(),
        // One in four may be away, and half of those asked may not answer.
        least = some - some / 4,
        quorum = some.div_ceil(2),
    )
}

/// A device's settings.
pub(super) fn device(identity: &Identity, id: &str) -> String {
    format!(
        r#"# A device of the fleet {fleet}: sprig agent --config device.toml
# Paths are relative to this file.

[fleet]
name = "{fleet}"
id = "{id}"
broker = "{url}"
ca = "ca.crt"
cert = "device.crt"
key = "device.key"

[model]
path = "model.gguf"
# What the whole process may hold: "300MiB", or a share of the machine's memory.
# budget = "300MiB"

[data]
# This device's own records, one JSON object a line; they never leave it.
train = "train.jsonl"

[agent]
# Where the fleet's adapter goes when the run is over.
# adapter = "adapter.gguf"
# Wait for the fleet's next run, instead of ending with this one.
# stay = true
"#,
        fleet = identity.fleet,
        url = identity.url(),
    )
}
