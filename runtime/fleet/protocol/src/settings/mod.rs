//! Settings of a fleet (`fleet.toml`, the coordinator's) and of one device (`device.toml`). What every device must know
//! of the training travels as the text of the `[train]` table in the job announcement.

mod algorithm;
mod beside;
mod connection;
mod device;
mod error;
mod fleet;
mod flow;
mod flow_rules;
mod folding;
mod follow;
mod head;
mod hiding;
mod job;
mod known;
mod model;
mod noise;
mod preset;
mod readout;
mod recipe;
mod rounds;
mod seconds;
mod secure;
mod server;
mod simulated;
mod size;
mod train;
mod unsaid;
mod upload;
mod usual;
mod version;

pub use algorithm::Preset;
pub use connection::{Connection, FleetName};
pub use device::{AdapterWhen, AgentSettings, DeviceSettings, LocalData};
pub use error::SettingsError;
pub use fleet::{CoordinatorSettings, FleetSettings};
pub use flow::Flow;
pub use follow::Follow;
pub use head::Head;
pub use job::{JOB_FORMAT, JobSettings};
pub use model::ModelSettings;
pub use noise::NoiseTable;
pub use readout::ReadOut;
pub use rounds::{Downlink, Evaluate, Rounds, RoundsTable};
pub use seconds::Seconds;
pub use secure::{AGGREGATED, MOST_HIDDEN, Sharers, fewest_members};
pub use server::Server;
pub use sprig_learn::spry::Mode;
pub use train::{Train, TrainTable};
pub use upload::Upload;
pub use version::Version;

use serde::Deserialize;
use sprig_ground::PathError;
use sprig_learn::setting::{Setting, quoted};
use std::path::{Path, PathBuf};

/// Largest configuration file, bytes.
const MAX_FILE: u64 = 64 << 10;

fn read(path: &Path) -> Result<String, SettingsError> {
    let failed = PathError::at("read", path);
    let bytes = std::fs::metadata(path).map_err(&failed)?.len();
    if bytes > MAX_FILE {
        return Err(SettingsError::TooLarge { path: path.to_owned(), bytes, limit: MAX_FILE });
    }
    Ok(std::fs::read_to_string(path).map_err(failed)?)
}

/// `text`, which `path` held; an error names the line.
fn parse<T: for<'de> Deserialize<'de>>(path: &Path, text: &str) -> Result<T, SettingsError> {
    let problem = |e| SettingsError::Parse { path: path.to_owned(), problem: explained(text, &e) };
    toml::from_str(text).map_err(problem)
}

/// Where in `text` what is wrong, and with which key.
fn explained(text: &str, error: &toml::de::Error) -> String {
    let span = error.span().unwrap_or_default();
    let (before, rest) = text.split_at_checked(span.start).unwrap_or((text, ""));
    let (number, begins) = (before.matches('\n').count() + 1, before.rfind('\n').map_or(0, |at| at + 1));
    let whole = text[begins..].lines().next().unwrap_or("").trim();
    let within = span.len() <= rest.find('\n').unwrap_or(rest.len()) && whole.contains('=');
    let shown: String = whole.chars().take(80).collect();
    let quoted = if within { format!(", in `{shown}`") } else { String::new() };
    format!("line {number}: {}{quoted}", error.message().replace('\n', " "))
}

/// Words settings as keys of these files: `[train] len = 96`.
pub fn keys(setting: Setting, value: Option<&str>) -> String {
    let (table, key) = match setting {
        Setting::Model => ("model", "path"),
        Setting::Budget | Setting::Threads => ("model", setting.key()),
        Setting::Data => ("data", "train"),
        _ => ("train", setting.key()),
    };
    match value {
        None => format!("[{table}] {key}"),
        Some(value) => format!("[{table}] {key} = {}", quoted(value)),
    }
}

/// Puts the file's name in front.
fn named(path: &Path, error: SettingsError) -> SettingsError {
    SettingsError::Parse { path: path.to_owned(), problem: error.to_string() }
}

fn join(folder: &Path, path: &mut PathBuf) {
    if path.is_relative() {
        *path = folder.join(&*path);
    }
}
