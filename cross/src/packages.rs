//! Fetching through the package managers of the machine: pip for files, apt for system packages.

use crate::sys;
use anyhow::{Context, Result, bail};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A Python interpreter that has pip.
pub struct Pip {
    python: PathBuf,
}

impl Pip {
    /// Finds one; on Debian and Ubuntu installs `python3-pip` when there is none and we may.
    pub fn find() -> Result<Self> {
        if let Some(pip) = Self::installed() {
            return Ok(pip);
        }
        apt_install(&["python3-pip"]).context(
            "no Python with pip was found, and it could not be installed; install Python 3 with pip \
             (on Debian or Ubuntu: apt-get install python3-pip) and run this command again",
        )?;
        Self::installed().context("python3-pip was installed, but `python3 -m pip` still does not start")
    }

    fn installed() -> Option<Self> {
        // /usr/bin/python3 last: it is where apt puts pip, whatever comes before it in PATH.
        ["python3", "python", "/usr/bin/python3"]
            .into_iter()
            .find(|python| sys::succeeds(Command::new(python).args(["-m", "pip", "--version"])))
            .map(|python| Self { python: python.into() })
    }

    /// The interpreter.
    pub fn python(&self) -> &Path {
        &self.python
    }

    /// Installs the wheels of `requirements`, and of what they need, into `folder`.
    pub fn install(&self, requirements: &[String], folder: &Path) -> Result<()> {
        let mut pip = sys::command(&self.python, true);
        pip.args(["-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--upgrade"]);
        pip.args(["--only-binary", ":all:", "--target"]).arg(folder).args(requirements);
        sys::check(&mut pip).with_context(|| format!("pip could not install {}", requirements.join(" and ")))
    }

    /// Downloads the wheel of `requirement` (such as `name==1.2`) into `folder` and returns its path. Runs
    /// none of the package's code.
    pub fn wheel(&self, requirement: &str, folder: &Path) -> Result<PathBuf> {
        self.download(requirement, folder, &["--only-binary", ":all:"], ".whl")
    }

    /// Downloads the source distribution of `requirement` into `folder` and returns its path. pip asks the
    /// package for its metadata, which may run its `setup.py`.
    pub fn sdist(&self, requirement: &str, folder: &Path) -> Result<PathBuf> {
        self.download(requirement, folder, &["--no-binary", ":all:"], ".tar.gz")
    }

    /// Unpacks a wheel (zip) into `folder`.
    pub fn unzip(&self, archive: &Path, folder: &Path) -> Result<()> {
        self.unpack("zipfile", archive, folder)
    }

    /// Unpacks a tar archive, compressed or not, into `folder`.
    pub fn untar(&self, archive: &Path, folder: &Path) -> Result<()> {
        self.unpack("tarfile", archive, folder)
    }

    fn unpack(&self, module: &str, archive: &Path, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder)?;
        sys::output(Command::new(&self.python).args(["-m", module, "-e"]).args([archive, folder])).map(drop)
    }

    fn download(&self, requirement: &str, folder: &Path, kind: &[&str], suffix: &str) -> Result<PathBuf> {
        fs::create_dir_all(folder)?;
        let mut pip = sys::command(&self.python, true);
        pip.args(["-m", "pip", "download", "--no-deps", "--no-input", "--disable-pip-version-check"]);
        pip.args(kind).arg("--dest").arg(folder).arg(requirement);
        sys::check(&mut pip).with_context(|| format!("pip could not download {requirement}"))?;
        let mut files = fs::read_dir(folder)?.filter_map(|entry| entry.ok()).map(|entry| entry.path());
        files
            .find(|path| path.to_string_lossy().ends_with(suffix))
            .with_context(|| format!("pip left no {suffix} file for {requirement} in {}", folder.display()))
    }
}

/// Installs Debian packages, as root or through a sudo that asks no password.
pub fn apt_install(packages: &[&str]) -> Result<()> {
    apt(&["update", "--quiet=2"])?;
    let mut arguments = vec!["install", "--yes", "--quiet=2", "--no-install-recommends"];
    arguments.extend(packages);
    apt(&arguments)
}

/// A program of this machine.
pub fn find(program: &str) -> Option<PathBuf> {
    // Debian keeps daemons where only root's PATH looks.
    sys::find_program(program).or_else(|| Some(Path::new("/usr/sbin").join(program)).filter(|p| p.is_file()))
}

/// A program of this machine; the Debian package it is in is installed when it is missing and we may.
pub fn find_or_install(program: &str, package: &str) -> Result<PathBuf> {
    if let Some(path) = find(program) {
        return Ok(path);
    }
    apt_install(&[package]).with_context(|| format!("{program} was not found, and not installed"))?;
    find(program).with_context(|| format!("{package} was installed, but brought no {program}"))
}

/// Runs `program` as root: directly, or through a sudo that asks no password.
pub fn as_root(program: &str) -> Result<Command> {
    if is_root() {
        return Ok(sys::command(program, true));
    }
    if !sys::succeeds(Command::new("sudo").args(["--non-interactive", "true"])) {
        bail!("{program} needs root, and sudo without a password is not available");
    }
    let mut command = sys::command("sudo", true);
    command.args(["--non-interactive", program]);
    Ok(command)
}

/// Whether this process is root's.
pub fn is_root() -> bool {
    // The owner of /proc/self is this process's effective user.
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

fn apt(arguments: &[&str]) -> Result<()> {
    if sys::find_program("apt-get").is_none() {
        bail!("this machine has no apt-get");
    }
    // `env` rather than Command::env: sudo clears the environment. The lock is waited for because another
    // installation may be under way (unattended upgrades on a fresh machine).
    let mut command = as_root("env")?;
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "--option", "DPkg::Lock::Timeout=300"]);
    sys::check(command.args(arguments))
}
