//! Settings of a fleet (`fleet.toml`, the coordinator's) and of one device (`device.toml`). What every device must know
//! of the training travels as the text of the `[train]` table in the job announcement.

mod connection;
mod device;
mod error;
mod fleet;
mod job;
mod model;
mod optimisers;
mod preset;
mod rounds;
mod simulated;
mod train;

pub use connection::Connection;
pub use device::{AgentSettings, DeviceSettings, LocalData};
pub use error::SettingsError;
pub use fleet::{CoordinatorSettings, FleetSettings};
pub use job::JobSettings;
pub use model::ModelSettings;
pub use optimisers::{AdamW, Server};
pub use preset::Preset;
pub use rounds::{Downlink, Rounds};
pub use sprig_learn::spry::Mode;
pub use train::{Train, Upload};

use serde::Deserialize;
use sprig_budget::Size;
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
    toml::from_str(text).map_err(|e| {
        let before = e.span().and_then(|span| text.get(..span.start)).unwrap_or("");
        let (line, message) = (before.matches('\n').count() + 1, e.message().replace('\n', " "));
        SettingsError::Parse { path: path.to_owned(), problem: format!("line {line}: {message}") }
    })
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

/// The same where it may be absent.
fn some_size<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Size>, D::Error> {
    size(from).map(Some)
}

/// `"300MiB"`, `"80%"`.
fn size<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Size, D::Error> {
    String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
}
