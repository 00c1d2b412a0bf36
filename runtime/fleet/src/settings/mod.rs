//! Settings of a fleet (`fleet.toml`, the coordinator's) and of one device (`device.toml`). What every device must know
//! of the training travels as the text of the `[train]` table in the job announcement.

mod connection;
mod job;
mod train;

pub use connection::Connection;
pub use job::JobSettings;
pub use train::{Mode, Server, Train, Upload};

use crate::coordinator::{Downlink, Options};
use serde::Deserialize;
use sprig_budget::{Bytes, Size, process};
use sprig_transport::messages::RunId;
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;

/// Largest configuration file, bytes.
const MAX_FILE: u64 = 64 << 10;

/// `fleet.toml`: what the coordinator runs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FleetSettings {
    /// Broker and identity.
    pub fleet: Connection,
    /// Model for evaluation and export.
    pub model: ModelSettings,
    /// How rounds go.
    #[serde(default)]
    pub rounds: Rounds,
    /// What every device trains.
    pub train: Train,
    /// Where the coordinator keeps its ledger and shows itself.
    #[serde(default)]
    pub coordinator: CoordinatorSettings,
}

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

/// The model file and the machine's share.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSettings {
    /// GGUF file.
    pub path: PathBuf,
    /// Most bytes the whole process may hold.
    #[serde(default = "default_budget", deserialize_with = "size")]
    pub budget: Size,
    /// Threads; all cores if absent.
    pub threads: Option<u16>,
}

/// The board's own data.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalData {
    /// Records to learn from (JSONL); they never leave the board.
    pub train: PathBuf,
}

/// What an agent keeps on disk.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AgentSettings {
    /// Folder for the outbox and the prefix cache.
    pub state: PathBuf,
    /// Name of the board, where detection is wrong.
    pub board: Option<String>,
    /// Most bytes on disk for activations below the adapted blocks.
    #[serde(deserialize_with = "size")]
    pub prefix_cache: Size,
    /// Seconds before an update without receipt is sent again; doubles up to a minute.
    pub resend_seconds: f64,
}

impl Default for AgentSettings {
    fn default() -> Self {
        Self {
            state: PathBuf::from("state"),
            board: None,
            prefix_cache: Size::Bytes(Bytes::mib(512)),
            resend_seconds: 5.0,
        }
    }
}

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

/// The coordinator's own.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CoordinatorSettings {
    /// Folder of the ledger.
    pub state: PathBuf,
    /// Address of the dashboard; none if absent.
    pub dashboard: Option<String>,
    /// Allows other machines to look at the dashboard: it has no password.
    pub dashboard_beyond_loopback: bool,
    /// Held-out records, evaluated every few rounds.
    pub eval_data: Option<PathBuf>,
    /// Where the finished adapter goes (GGUF LoRA).
    pub adapter: Option<PathBuf>,
    /// Where the dashboard's page goes when the run is over, as it stands then.
    pub page: Option<PathBuf>,
}

impl Default for CoordinatorSettings {
    fn default() -> Self {
        Self {
            state: PathBuf::from("state"),
            dashboard: None,
            dashboard_beyond_loopback: false,
            eval_data: None,
            adapter: None,
            page: None,
        }
    }
}

/// A configuration that cannot be used. All are for the user to mend.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It is not a configuration.
    #[error("{}: {bytes} bytes exceed the limit of {MAX_FILE} for a configuration; is it the right file?", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// It does not say what it should; the message has line and column.
    #[error("{}: {problem}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        problem: String,
    },
    /// A value is out of range, or two contradict each other.
    #[error("[{table}] {field} = {found}: {remedy}")]
    Value {
        /// Table of the configuration.
        table: &'static str,
        /// Key in it.
        field: &'static str,
        /// What it says.
        found: String,
        /// What it may say.
        remedy: String,
    },
}

impl SettingsError {
    pub(crate) fn value(
        table: &'static str,
        field: &'static str,
        found: impl std::fmt::Display,
        remedy: impl Into<String>,
    ) -> Self {
        Self::Value { table, field, found: found.to_string(), remedy: remedy.into() }
    }
}

impl FleetSettings {
    /// Reads `fleet.toml`; paths in it are relative to its folder.
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        let mut s: Self = read(path)?;
        let folder = folder(path);
        s.fleet.resolve(&folder);
        s.model.resolve(&folder);
        join(&folder, &mut s.coordinator.state);
        s.coordinator.eval_data.iter_mut().for_each(|p| join(&folder, p));
        s.coordinator.adapter.iter_mut().for_each(|p| join(&folder, p));
        s.coordinator.page.iter_mut().for_each(|p| join(&folder, p));
        s.check().map_err(|e| named(path, e))?;
        Ok(s)
    }

    /// What the coordinator is told; `run` names the run if one begins.
    ///
    /// # Errors
    /// [`SettingsError::Value`], naming the setting.
    pub fn options(&self, job: &JobSettings, run: RunId) -> Result<Options, SettingsError> {
        let (r, rules) = (&self.rounds, self.train.rules()?);
        let state = self.coordinator.state.clone();
        Ok(Options {
            min_devices: r.min_devices,
            quorum: r.quorum,
            deadline: Duration::from_secs_f64(r.deadline_seconds),
            attempts: r.attempts,
            dealing: self.train.dealing()?,
            sync: r.down,
            evaluate_every: if r.evaluate_every == 0 { u32::MAX } else { r.evaluate_every },
            dense: self.train.up == Upload::Weights,
            seed: self.train.seed,
            ..Options::new(&self.fleet.name, run, job.to_text(), state, r.count, r.devices, rules)
        })
    }

    fn check(&self) -> Result<(), SettingsError> {
        let wrong = |field, found: u32, remedy: &str| SettingsError::value("rounds", field, found, remedy);
        let r = &self.rounds;
        if r.count == 0 || r.count > 10_000_000 {
            return Err(wrong("count", r.count, "use 1 to 10000000 rounds"));
        }
        if r.devices == 0 || r.devices > 65_535 {
            return Err(wrong("devices", r.devices, "use 1 to 65535 devices a round"));
        }
        if r.min_devices == 0 || r.min_devices > r.devices {
            return Err(wrong("min_devices", r.min_devices, "use 1 up to `devices`"));
        }
        if r.quorum == 0 || r.quorum > r.devices {
            return Err(wrong("quorum", r.quorum, "use 1 up to `devices`"));
        }
        if r.attempts == 0 {
            return Err(wrong("attempts", 0, "use 1 or more"));
        }
        if !(r.deadline_seconds >= 0.1 && r.deadline_seconds <= 604_800.0) {
            let found = r.deadline_seconds;
            return Err(SettingsError::value(
                "rounds",
                "deadline_seconds",
                found,
                "use 0.1 to 604800 (a week)",
            ));
        }
        self.fleet.check()?;
        self.train.check()
    }
}

impl DeviceSettings {
    /// Reads `device.toml`; paths in it are relative to its folder.
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        let mut s: Self = read(path)?;
        let folder = folder(path);
        s.fleet.resolve(&folder);
        s.model.resolve(&folder);
        join(&folder, &mut s.data.train);
        join(&folder, &mut s.agent.state);
        let checked = s.fleet.check().and_then(|()| s.fleet.device().map(drop)).and_then(|()| {
            match s.agent.resend_seconds >= 0.1 && s.agent.resend_seconds <= 3600.0 {
                true => Ok(()),
                false => {
                    let found = s.agent.resend_seconds;
                    Err(SettingsError::value("agent", "resend_seconds", found, "use 0.1 to 3600"))
                }
            }
        });
        checked.map_err(|e| named(path, e))?;
        Ok(s)
    }
}

impl ModelSettings {
    fn resolve(&mut self, folder: &Path) {
        join(folder, &mut self.path);
    }

    /// The budget in bytes.
    pub fn budget(&self) -> Result<Bytes, SettingsError> {
        if let Size::Bytes(bytes) = self.budget {
            return Ok(bytes);
        }
        let Some(total) = process::memory_at_hand() else {
            let remedy = "this machine does not tell its memory (/proc/meminfo); write a number of bytes";
            return Err(SettingsError::value("model", "budget", self.budget, remedy));
        };
        Ok(self.budget.resolve(total))
    }

    /// Threads to use.
    pub fn threads(&self) -> usize {
        self.threads.map_or_else(
            || std::thread::available_parallelism().map_or(1, usize::from).min(64),
            |n| usize::from(n).clamp(1, 64),
        )
    }
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, SettingsError> {
    let io = |source| SettingsError::Io { path: path.to_owned(), source };
    let bytes = std::fs::metadata(path).map_err(io)?.len();
    if bytes > MAX_FILE {
        return Err(SettingsError::TooLarge { path: path.to_owned(), bytes });
    }
    let text = std::fs::read_to_string(path).map_err(io)?;
    toml::from_str(&text).map_err(|e| {
        let before = e.span().and_then(|span| text.get(..span.start)).unwrap_or("");
        let (line, message) = (before.matches('\n').count() + 1, e.message().replace('\n', " "));
        SettingsError::Parse { path: path.to_owned(), problem: format!("line {line}: {message}") }
    })
}

/// Puts the file's name in front.
fn named(path: &Path, error: SettingsError) -> SettingsError {
    SettingsError::Parse { path: path.to_owned(), problem: error.to_string() }
}

fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn join(folder: &Path, path: &mut PathBuf) {
    if path.is_relative() {
        *path = folder.join(&*path);
    }
}

fn default_budget() -> Size {
    Size::Percent(80.0)
}

/// `"300MiB"`, `"80%"`.
fn size<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Size, D::Error> {
    String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
}
