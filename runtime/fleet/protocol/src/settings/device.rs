//! `device.toml`: one board's settings.

use super::{Connection, ModelSettings, Seconds, SettingsError, Train};
use super::{join, named, parse, read, size};
use serde::{Deserialize, Serialize};
use sprig_budget::{Bytes, Size};
use sprig_ground::{file, names};
use sprig_learn::privacy::Epsilon;
use std::path::{Path, PathBuf};

/// Seconds of the least patience: a device asks twice for what it misses.
const LEAST_PATIENCE: f64 = 6.0;

/// `device.toml`: one board.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceSettings {
    /// Broker and identity.
    pub fleet: Connection,
    /// The model, and how much of the machine.
    pub model: ModelSettings,
    /// The board's own data.
    pub data: LocalData,
    /// What the agent keeps.
    #[serde(default)]
    pub agent: AgentSettings,
}

/// The board's own data.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LocalData {
    /// Records to learn from: a file (JSONL, a JSON array, CSV or TSV with a header), or a folder whose files that end in .jsonl,
    /// .csv or .tsv are read in the order of their names. They never leave the board. While rounds of steps are under way, files that change are read again between two of them.
    pub train: PathBuf,
    /// ε of differential privacy: this device's sums for a read-out, or scalars for a fleet with [train.noise], get noise before
    /// they leave, and it takes part in nothing else. Every run spends as much again. None is added if absent, unless the fleet asks for it.
    pub dp: Option<Epsilon>,
    /// This device's numbers leave it only under the veils of secure aggregation (secure_aggregation of [train] or
    /// [train.readout]): it takes part in nothing else.
    #[serde(default)]
    pub secure_aggregation: bool,
}

/// What an agent keeps on disk.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AgentSettings {
    /// Folder for the outbox and the prefix cache.
    pub state: PathBuf,
    /// Where the fleet's adapter goes (GGUF LoRA), the file that the coordinator exports; none is written if absent.
    pub adapter: Option<PathBuf>,
    /// When it is written: once the run is over, or after every round that this device has followed, which wears a card out.
    pub adapter_when: AdapterWhen,
    /// Name of the board, where detection is wrong.
    pub board: Option<String>,
    /// Most bytes on disk for activations below the adapted blocks.
    #[serde(with = "size")]
    pub prefix_cache: Size,
    /// Seconds before an update without receipt is sent again; doubles up to a minute.
    pub resend_seconds: Seconds<3600>,
    /// Seconds for which, in a run that is over, an adapter is waited for that neither the broker nor a coordinator sends;
    /// then the agent ends, or says so once and goes on waiting if it stays. As long it waits for another run where that one was
    /// over before it came.
    pub patience_seconds: Seconds<604_800>,
    /// Stays connected when a run is finished, for the fleet's next one; otherwise the agent ends with it.
    pub stay: bool,
    /// Goes on as planned when other processes need memory, instead of holding less until they are done.
    pub ignore_pressure: bool,
    /// Address of `/metrics` (OpenMetrics) and `/healthz`, such as `127.0.0.1:9464`; none if absent.
    pub metrics: Option<String>,
    /// Allows other machines to read them: they have no password.
    pub metrics_beyond_loopback: bool,
}

/// When a device writes the fleet's adapter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AdapterWhen {
    /// Once the run is over.
    #[default]
    End,
    /// After every round.
    Round,
}

names!(AdapterWhen, "time to write the adapter", [End = "end", Round = "round"]);

impl LocalData {
    /// Refuses a training in which this device's numbers would leave it otherwise than it says here.
    ///
    /// # Errors
    /// It is to hide them, and the fleet does not aggregate securely.
    pub fn admits(&self, train: &Train) -> Result<(), SettingsError> {
        if !self.secure_aggregation || train.is_secure() {
            return Ok(());
        }
        let remedy = "this fleet has each device send its numbers as they are; have its coordinator use secure_aggregation under \
                      [train] or [train.readout], or leave it out here";
        Err(SettingsError::value("data", "secure_aggregation", true, remedy))
    }
}

impl Default for AgentSettings {
    fn default() -> Self {
        Self {
            state: PathBuf::from("state"),
            adapter: None,
            adapter_when: AdapterWhen::End,
            board: None,
            prefix_cache: Size::Bytes(Bytes::mib(512)),
            resend_seconds: Seconds::of(5.0),
            patience_seconds: Seconds::of(60.0),
            stay: false,
            ignore_pressure: false,
            metrics: None,
            metrics_beyond_loopback: false,
        }
    }
}

impl DeviceSettings {
    /// Reads `device.toml`; paths in it are relative to its folder.
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        let mut s: Self = parse(path, &read(path)?)?;
        let folder = file::folder_of(path);
        s.fleet.resolve(folder);
        s.model.resolve(folder);
        join(folder, &mut s.data.train);
        join(folder, &mut s.agent.state);
        s.agent.adapter.iter_mut().for_each(|p| join(folder, p));
        s.fleet = s.fleet.checked().map_err(|e| named(path, e))?;
        s.fleet.device().map_err(|e| named(path, e))?;
        let patience = s.agent.patience_seconds;
        if patience.get() < LEAST_PATIENCE {
            let remedy =
                format!("use {LEAST_PATIENCE} or more: a device asks every 3 seconds for what it misses");
            return Err(named(path, SettingsError::value("agent", "patience_seconds", patience, remedy)));
        }
        Ok(s)
    }
}
