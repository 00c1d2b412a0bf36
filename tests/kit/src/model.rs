//! The real model that the slower tests run on.

use std::path::{Path, PathBuf};

/// The root folder of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// SmolLM2-135M-Instruct in Q4_1: `SPRIG_MODEL`, else `target/models/` under the workspace.
///
/// # Panics
/// Where the file is absent, with the command that fetches it.
pub fn real_model() -> PathBuf {
    let usual = || workspace().join("target/models/SmolLM2-135M-Instruct.Q4_1.gguf");
    let path = std::env::var_os("SPRIG_MODEL").map_or_else(usual, PathBuf::from);
    assert!(path.is_file(), "{} is absent: run `cargo xtask model` first", path.display());
    path
}
