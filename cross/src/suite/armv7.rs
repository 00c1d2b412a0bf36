//! The program of boards with a 32-bit system, which has no vector kernels: a step of training on the real model, under the
//! emulator as a Cortex-A7, ends in this machine's adapter, bit for bit.

use super::report::Outcome;
use super::{Suite, board};
use crate::floor::Floor;
use crate::target::Target;
use crate::toolchain::Toolchain;
use crate::{build, packages};
use anyhow::{Result, ensure};

const BOARD: Target = Target::Armv7;

/// Runs the stage.
pub(super) fn check(suite: &Suite) -> Result<Outcome> {
    let emulator = packages::find_or_install("qemu-arm", "qemu-user")?.display().to_string();
    let floor = match Toolchain::find(BOARD).and_then(|_| Floor::find(BOARD)) {
        Ok(floor) => floor,
        // Where rustup reaches nothing, there is no Rust for these boards.
        Err(error) => return Ok(Outcome::Skipped(format!("{error:#}"))),
    };
    let (here, there) = (build::make(Target::X86_64, false)?, build::make(BOARD, false)?);
    let runner =
        [&emulator, "-cpu", "cortex-a7", "-L", &floor.root().display().to_string()].map(str::to_owned);
    let wanted = board::adapter(suite, &here, &[], "reverse")?;
    let made = board::adapter(suite, &there, &runner, "reverse")?;
    ensure!(made == wanted, "a step ends in {made}, here in {wanted}");
    Ok(Outcome::Passed(format!(
        "{:.1} MB, glibc {}, as on this machine",
        there.bytes as f64 / 1e6,
        there.glibc
    )))
}
