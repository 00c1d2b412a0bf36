//! The `[rounds]` table: how many there are, and what each waits for.

use super::SettingsError;
use serde::Deserialize;
use sprig_ground::names;

/// How rounds go.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rounds {
    /// Rounds of the run.
    pub count: u32,
    /// Devices selected for a round (M).
    pub devices: u32,
    /// Devices that must be present before a round starts; at most `devices`.
    pub min_devices: u32,
    /// Updates that close a round at its deadline.
    pub quorum: u32,
    /// Seconds a round waits for its updates.
    pub deadline_seconds: f64,
    /// Deadlines a round may pass without a quorum.
    pub attempts: u8,
    /// Rounds between evaluations on held-out data; 0 for the first and the last alone.
    pub evaluate_every: u32,
    /// What carries a round's result to the devices: `scalars`, `weights`, or `auto` for the fewer bytes.
    pub down: Downlink,
}

/// What carries a round's result to the devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Downlink {
    /// The smaller of the two.
    #[default]
    Auto,
    /// All updates of the round, to be replayed.
    Scalars,
    /// The adapter and its moments.
    Weights,
}

names!(Downlink, "way down", [Auto = "auto", Scalars = "scalars", Weights = "weights"]);

impl Default for Rounds {
    fn default() -> Self {
        Self {
            count: 100,
            devices: 10,
            min_devices: 1,
            quorum: 1,
            deadline_seconds: 300.0,
            attempts: 3,
            evaluate_every: 10,
            down: Downlink::Auto,
        }
    }
}

impl Rounds {
    /// Checks every value, and those that belong together.
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        let wrong = |field, found: u32, remedy: &str| SettingsError::value("rounds", field, found, remedy);
        if self.count == 0 || self.count > 10_000_000 {
            return Err(wrong("count", self.count, "use 1 to 10000000 rounds"));
        }
        if self.devices == 0 || self.devices > 65_535 {
            return Err(wrong("devices", self.devices, "use 1 to 65535 devices a round"));
        }
        if self.min_devices == 0 || self.min_devices > self.devices {
            return Err(wrong("min_devices", self.min_devices, "use 1 up to `devices`"));
        }
        if self.quorum == 0 || self.quorum > self.devices {
            return Err(wrong("quorum", self.quorum, "use 1 up to `devices`"));
        }
        if self.attempts == 0 {
            return Err(wrong("attempts", 0, "use 1 or more"));
        }
        if !(self.deadline_seconds >= 0.1 && self.deadline_seconds <= 604_800.0) {
            let remedy = "use 0.1 to 604800 (a week)";
            return Err(SettingsError::value("rounds", "deadline_seconds", self.deadline_seconds, remedy));
        }
        Ok(())
    }
}
