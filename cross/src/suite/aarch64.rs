//! The tests of the crates that run on boards, built for aarch64 and run under the user-mode emulator as
//! each core that the boards have.

use super::report::{Outcome, Report};
use super::{Suite, board};
use crate::{packages, sys};
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "aarch64-unknown-linux-gnu";
const LINKER: &str = "aarch64-linux-gnu-gcc";
const EMULATOR: &str = "qemu-aarch64";
/// Where Debian's and Ubuntu's cross C library lies.
const SYSROOT: &str = "/usr/aarch64-linux-gnu";
/// The loader of the foreign architecture's own C library, where that is installed.
const FOREIGN_LOADER: &str = "/lib/ld-linux-aarch64.so.1";
const CRATES: &[&str] = &["sprig-budget", "sprig-engine", "sprig-learn", "sprig-mcq"];

/// Raspberry Pi 3 and Zero 2 W; Raspberry Pi 4 (neither has the dot product); Raspberry Pi 5 (has it).
const CORES: &[&str] = &["cortex-a53", "cortex-a72", "cortex-a76"];

/// A cargo and rustc that hold the standard library of the target.
struct Toolchain {
    cargo: PathBuf,
    rustc: Option<PathBuf>,
    name: &'static str,
}

/// Runs the set-up, the build and one stage a core.
pub(super) fn stages(report: &mut Report, suite: &Suite) {
    let cores: Vec<String> = CORES.iter().map(|core| format!("aarch64 {core}")).collect();
    let builds = ["aarch64 build", "aarch64 board"];
    if !builds.into_iter().chain(cores.iter().map(String::as_str)).any(|stage| report.wants(stage)) {
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
    report.stage("aarch64 board", || toolchain.board(suite));
    if !["aarch64 build"].into_iter().chain(cores.iter().map(String::as_str)).any(|stage| report.wants(stage))
        || !report.needed("aarch64 build", || toolchain.tests(suite, None))
    {
        return;
    }
    for (core, stage) in CORES.iter().zip(&cores) {
        report.stage(stage, || toolchain.tests(suite, Some(core)));
    }
}

/// Installs what is missing: linker, C library and emulator through apt, the standard library through
/// rustup where rustup can fetch it, else Debian's own Rust of the foreign architecture.
fn set_up() -> Result<Toolchain> {
    let libc = Path::new(SYSROOT).join("lib/libc.so.6");
    if sys::find_program(LINKER).is_none() || sys::find_program(EMULATOR).is_none() || !libc.is_file() {
        packages::apt_install(&["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross", "qemu-user"])?;
    }
    // SPRIG_AARCH64_RUST=debian takes the second way where the first would do.
    let debian_only = std::env::var("SPRIG_AARCH64_RUST").is_ok_and(|value| value == "debian");
    if !debian_only && rustup_has_target() {
        return Ok(Toolchain { cargo: "cargo".into(), rustc: None, name: "rustup" });
    }
    let debian = Toolchain {
        cargo: "/usr/bin/cargo".into(),
        rustc: Some("/usr/bin/rustc".into()),
        name: "Debian's Rust",
    };
    if !debian.has_target() {
        if !std::fs::read_to_string("/etc/os-release").is_ok_and(|text| text.contains("\nID=debian")) {
            bail!(
                "`rustup target add {TARGET}` does not work here, and this is not Debian, whose Rust would do"
            );
        }
        sys::check(packages::as_root("dpkg")?.args(["--add-architecture", "arm64"]))?;
        // The -web packages are the recent Rust that stable releases of Debian carry.
        packages::apt_install(&["rustc-web", "cargo-web", "libstd-rust-web-dev:arm64"])?;
    }
    if !debian.has_target() {
        bail!("Debian's Rust was installed, but holds no standard library for {TARGET}");
    }
    Ok(debian)
}

fn rustup_has_target() -> bool {
    let installed = sys::output(Command::new("rustup").args(["target", "list", "--installed"]));
    if installed.is_ok_and(|list| list.lines().any(|line| line == TARGET)) {
        return true;
    }
    // A machine that cannot reach rustup's server must not wait for its retries.
    let mut rustup = Command::new("timeout");
    sys::succeeds(rustup.args(["120", "rustup", "target", "add", TARGET]).env("RUSTUP_MAX_RETRIES", "1"))
}

impl Toolchain {
    fn has_target(&self) -> bool {
        let Some(rustc) = &self.rustc else { return rustup_has_target() };
        let print = ["--print", "target-libdir", "--target", TARGET];
        sys::output(Command::new(rustc).args(print)).is_ok_and(|folder| {
            let files = std::fs::read_dir(folder.trim());
            files.is_ok_and(|mut files| {
                files.any(|file| {
                    file.is_ok_and(|file| file.file_name().to_string_lossy().starts_with("libstd-"))
                })
            })
        })
    }

    /// Where its output goes.
    fn target_dir(&self) -> PathBuf {
        match self.rustc {
            // Another compiler's output; rustup's shares the host's procedural macros.
            Some(_) => sys::target_dir().join("debian"),
            None => sys::target_dir(),
        }
    }

    /// Its cargo, set up to link for the target and to run what it built as `core`.
    fn cargo(&self, suite: &Suite, core: &str) -> Command {
        let mut cargo = suite.command(&self.cargo.to_string_lossy());
        if let Some(rustc) = &self.rustc {
            // The rustup shim before it in PATH would answer to `rustc` and `rustdoc`.
            cargo.env("RUSTC", rustc).env("PATH", path_from(Path::new("/usr/bin"), suite.tools.path()));
            cargo.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO");
        }
        cargo.env("CARGO_TARGET_DIR", self.target_dir());
        let variable = TARGET.to_uppercase().replace('-', "_");
        cargo.env(format!("CARGO_TARGET_{variable}_LINKER"), LINKER);
        cargo.env(format!("CARGO_TARGET_{variable}_RUNNER"), runner(core).join(" "));
        cargo
    }

    /// The board's binary, run as the weakest core.
    fn board(&self, suite: &Suite) -> Result<Outcome> {
        let core = CORES[0];
        sys::check(board::build(&mut self.cargo(suite, core)).args(["--target", TARGET]))?;
        board::check(suite, &self.target_dir().join(TARGET).join("dist/sprig"), &runner(core))
    }

    /// Builds the tests, and runs them as `core` when one is given.
    fn tests(&self, suite: &Suite, core: Option<&str>) -> Result<Outcome> {
        let mut cargo = self.cargo(suite, core.unwrap_or("max"));
        // Emulated arithmetic is 10 to 50 times slower; the host runs the full number of cases.
        cargo.env("PROPTEST_CASES", "16");

        let nextest = suite.tools.has_nextest();
        if nextest {
            cargo.args(["nextest", "run", "--profile", "emulated"]);
        } else {
            cargo.arg("test");
        }
        cargo.args(["--locked", "--lib", "--target", TARGET]);
        for name in CRATES {
            cargo.args(["--package", name]);
        }
        match core {
            None => drop(cargo.arg("--no-run")),
            Some(_) if nextest => {}
            // What the profile's default filter says, for the plain runner.
            Some(_) => drop(cargo.args(["--", "--skip", "real_model"])),
        }
        sys::check(&mut cargo).context(self.name)?;
        Ok(Outcome::Passed(String::new()))
    }
}

/// The emulator as `core`. Where the foreign C library is installed the cross one must not be used: its
/// loader would take up the other's libc, of another build, and threads would hang.
fn runner(core: &str) -> Vec<String> {
    let mut words = vec![EMULATOR.to_owned(), "-cpu".to_owned(), core.to_owned()];
    if !Path::new(FOREIGN_LOADER).exists() {
        words.extend(["-L".to_owned(), SYSROOT.to_owned()]);
    }
    words
}

fn path_from(first: &Path, rest: OsString) -> OsString {
    let folders = std::iter::once(first.to_path_buf()).chain(std::env::split_paths(&rest));
    std::env::join_paths(folders).unwrap_or(rest)
}
