//! The tests of the crates that run on boards, built for aarch64 and run under the user-mode emulator as
//! each core that the boards have; and under larger pages.

use super::report::{Outcome, Report};
use super::{Suite, board, pages};
use crate::build;
use crate::floor::Floor;
use crate::target::Target;
use crate::toolchain::{Toolchain, sysroot};
use crate::{packages, sys};
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::Command;

const BOARD: Target = Target::Aarch64;
const EMULATOR: &str = "qemu-aarch64";
/// The loader of the foreign architecture's own C library, where that is installed.
const FOREIGN_LOADER: &str = "/lib/ld-linux-aarch64.so.1";
const CRATES: &[&str] =
    &["sprig-budget", "sprig-device", "sprig-engine", "sprig-learn", "sprig-mcq", "sprig-transport"];

/// Raspberry Pi 3 and Zero 2 W; Raspberry Pi 4 (neither has the dot product); Raspberry Pi 5 (has it).
const CORES: &[&str] = &["cortex-a53", "cortex-a72", "cortex-a76"];

const PAGES: &str = "aarch64 pages of 16 KiB";

/// Runs the set-up, the build and one stage a core.
pub(super) fn stages(report: &mut Report, suite: &Suite) {
    let cores: Vec<String> = CORES.iter().map(|core| format!("aarch64 {core}")).collect();
    let others = ["aarch64 build", "aarch64 board", "aarch64 bits", PAGES];
    if !others.into_iter().chain(cores.iter().map(String::as_str)).any(|stage| report.wants(stage)) {
        return;
    }
    let mut toolchain = None;
    report.needed("aarch64 set-up", || match set_up() {
        Ok(found) => {
            let note = found.name.to_owned();
            toolchain = Some(found);
            Ok(Outcome::Passed(note))
        }
        // Not a fault of the code under test: say what is missing and go on.
        Err(error) => Ok(Outcome::Skipped(format!("{error:#}"))),
    });
    let Some(toolchain) = toolchain else { return };
    // Another distribution has no mirror of Debian's: not a fault of the code under test.
    let with = |work: fn(&Suite, &Floor) -> Result<Outcome>| match Floor::find(BOARD) {
        Ok(floor) => work(suite, &floor),
        Err(error) => Ok(Outcome::Skipped(format!("{error:#}"))),
    };
    report.stage("aarch64 board", || with(board));
    report.stage("aarch64 bits", || with(bits));
    if !["aarch64 build", PAGES]
        .into_iter()
        .chain(cores.iter().map(String::as_str))
        .any(|stage| report.wants(stage))
        || !report.needed("aarch64 build", || tests(&toolchain, suite, None))
    {
        return;
    }
    for (core, stage) in CORES.iter().zip(&cores) {
        report.stage(stage, || tests(&toolchain, suite, Some(core)));
    }
    report.stage(PAGES, || {
        let mut cargo = cargo(&toolchain, suite, &runner("max"));
        pages::check(suite, select(cargo.arg("test")).arg("--no-run"))
    });
}

/// Installs what is missing: the toolchain and the emulator.
fn set_up() -> Result<Toolchain> {
    if sys::find_program(EMULATOR).is_none() {
        packages::apt_install(&["qemu-user"])?;
    }
    Toolchain::find(BOARD)
}

/// Its cargo, set up to run what it built behind the words of `runner`.
fn cargo(toolchain: &Toolchain, suite: &Suite, runner: &[String]) -> Command {
    let mut cargo = toolchain.cargo(|program| suite.command(program), suite.tools.path());
    cargo.env(BOARD.variable("RUNNER"), runner.join(" "));
    cargo
}

/// The board's binary, linked for the oldest C library that boards have, and run with that as the weakest core.
fn board(suite: &Suite, floor: &Floor) -> Result<Outcome> {
    board::check(suite, &build::make(BOARD, false)?, &emulated(CORES[0], floor))
}

/// The words that run a board's binary as `core`.
fn emulated(core: &str, floor: &Floor) -> [String; 5] {
    [EMULATOR, "-cpu", core, "-L", &floor.root().display().to_string()].map(str::to_owned)
}

/// Steps of training on the real model end in the same adapter, bit for bit, as every core and as this machine.
fn bits(suite: &Suite, floor: &Floor) -> Result<Outcome> {
    let (here, there) = (build::make(Target::X86_64, false)?, build::make(BOARD, false)?);
    let mut ends = 0;
    for estimator in ["forward", "reverse"] {
        let wanted = board::adapter(suite, &here, &[], estimator)?;
        for core in CORES {
            let made = board::adapter(suite, &there, &emulated(core, floor), estimator)?;
            ensure!(made == wanted, "{estimator} as {core} ends in {made}, here in {wanted}");
            ends += 1;
        }
    }
    Ok(Outcome::Passed(format!("{ends} trainings as on this machine")))
}

/// Builds the tests, and runs them as `core` when one is given.
fn tests(toolchain: &Toolchain, suite: &Suite, core: Option<&str>) -> Result<Outcome> {
    let mut cargo = cargo(toolchain, suite, &runner(core.unwrap_or("max")));
    // Emulated arithmetic is 10 to 50 times slower; the host runs the full number of cases.
    cargo.env("PROPTEST_CASES", "16");

    let nextest = suite.tools.has_nextest();
    if nextest {
        cargo.args(["nextest", "run", "--profile", "emulated"]);
    } else {
        cargo.arg("test");
    }
    select(&mut cargo);
    match core {
        None => drop(cargo.arg("--no-run")),
        Some(_) if nextest => {}
        // What the profile's default filter says, for the plain runner.
        Some(_) => drop(cargo.args(["--", "--skip", "real_model"])),
    }
    sys::check(&mut cargo).context(toolchain.name)?;
    Ok(Outcome::Passed(String::new()))
}

/// The tests that boards run, for a cargo that is to test.
fn select(cargo: &mut Command) -> &mut Command {
    cargo.args(["--locked", "--lib", "--target", BOARD.triple()]);
    cargo.args(CRATES.iter().flat_map(|name| ["--package", name]))
}

/// The emulator as `core`. Where the foreign C library is installed the cross one must not be used: its
/// loader would take up the other's libc, of another build, and threads would hang.
fn runner(core: &str) -> Vec<String> {
    let mut words = vec![EMULATOR.to_owned(), "-cpu".to_owned(), core.to_owned()];
    if !Path::new(FOREIGN_LOADER).exists() {
        words.extend(["-L".to_owned(), sysroot(BOARD)]);
    }
    words
}
