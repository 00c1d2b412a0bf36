//! The `[model]` table, of coordinator and devices.

use super::{join, some_size};
use serde::Deserialize;
use sprig_budget::Size;
use std::path::{Path, PathBuf};

/// The model file and the machine's share.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSettings {
    /// GGUF file.
    pub path: PathBuf,
    /// Most bytes the whole process may hold; the board's share of its memory if absent.
    #[serde(default, deserialize_with = "some_size")]
    pub budget: Option<Size>,
    /// Threads; all cores if absent.
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
