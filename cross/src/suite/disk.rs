//! Room on the disk: what runs out of it fails in a hundred tests that have nothing to do with it.

use super::report::Outcome;
use crate::sys;
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

/// What builds of all stages take in the target folder: 9.6 GB were seen on a fresh machine, 4.4 of them for the next build of an
/// edited crate (`CARGO_INCREMENTAL=0` leaves those out).
const BUILDS: u64 = 10 << 30;
/// What tests write beside them (0.4 GB at a time), tools and packages that are installed on the way.
const BESIDE: u64 = 3 << 30;

/// Says how much room there is, and whether a whole run may take more. That is no reason to stop: parts take less.
pub(super) fn check() -> Result<Outcome> {
    let target = sys::target_dir();
    fs::create_dir_all(&target)?;
    let Some(free) = sys::free_bytes(&target) else {
        return Ok(Outcome::Passed("no `df` to ask for it".to_owned()));
    };
    let wanted = BUILDS.saturating_sub(taken(&target)?) + BESIDE;
    let mut told = format!("{:.1} GB are free, and {:.1} may be taken", gb(free), gb(wanted));
    if free < wanted {
        told += "; `cargo clean` removes all builds, and CARGO_TARGET_DIR names another place for them";
    }
    Ok(Outcome::Passed(told))
}

fn gb(bytes: u64) -> f64 {
    bytes as f64 / 1e9
}

/// Bytes that a folder takes.
fn taken(folder: &Path) -> Result<u64> {
    let printed = sys::output(sys::command("du", false).args(["--summarize", "--block-size=1"]).arg(folder))?;
    let bytes = printed.split_whitespace().next().and_then(|word| word.parse().ok());
    bytes.with_context(|| format!("du printed {printed}"))
}
