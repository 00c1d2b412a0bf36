//! An image in the system emulator, from its first start through power cuts and an update.

use super::report::Outcome;
use crate::{boot, packages};
use anyhow::Result;

/// Runs the stage for the board of this name.
pub(super) fn check(board: &str) -> Result<Outcome> {
    if !packages::is_root() {
        return Ok(Outcome::Skipped("an image is put together as root".to_owned()));
    }
    let told = boot::check(board)?;
    let seconds = told.seen.last().map_or(0.0, |last| last.seconds);
    Ok(Outcome::Passed(format!("joined, learnt, lost its power and was updated, in {seconds:.0} s")))
}
