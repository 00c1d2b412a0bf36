//! The `[model]` table, of coordinator and devices.

use super::{join, size};
use serde::{Deserialize, Serialize};
use sprig_budget::Size;
use std::path::{Path, PathBuf};

/// The model file and the machine's share.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSettings {
    /// GGUF file.
    pub path: PathBuf,
    /// Most bytes the whole process may hold; the board's share of its memory, as `sprig device` shows it, if absent.
    #[serde(default, with = "size::option")]
    pub budget: Option<Size>,
    /// Threads, up to 64; one a core if absent.
    pub threads: Option<u16>,
}

impl ModelSettings {
    pub(super) fn resolve(&mut self, folder: &Path) {
        join(folder, &mut self.path);
    }

    /// Threads to use.
    pub fn threads(&self) -> usize {
        sprig_run::threads(self.threads)
    }
}
