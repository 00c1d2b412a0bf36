//! An image in the system emulator, from its first start through power cuts to an update.

use super::report::Outcome;
use crate::{boot, packages};
use anyhow::Result;

/// Runs the stage for the board of this name, with an update or up to there.
pub(super) fn check(board: &str, update: bool) -> Result<Outcome> {
    if !packages::is_root() {
        return Ok(Outcome::Skipped("an image is put together as root".to_owned()));
    }
    let told = boot::check(board, update)?;
    let seconds = told.seen.last().map_or(0.0, |last| last.seconds);
    let through = if update {
        "joined, learnt, lost its power and was updated"
    } else {
        "joined, learnt and lost its power"
    };
    Ok(Outcome::Passed(format!("{through}, in {seconds:.0} s")))
}
