//! The `[model]` table, of coordinator and devices.

use super::{SettingsError, join, size};
use serde::Deserialize;
use sprig_budget::{Bytes, Size, process};
use std::path::{Path, PathBuf};

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

impl ModelSettings {
    pub(super) fn resolve(&mut self, folder: &Path) {
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

fn default_budget() -> Size {
    Size::Percent(80.0)
}
