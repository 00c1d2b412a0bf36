//! A root file system of a board's architecture: made of Debian's packages, kept as an archive, and worked in under the
//! user-mode emulator.

use crate::{deb, packages, sys};
use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use sprig_ground::hex;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the kernel is told by what foreign programs are run.
const BINFMT: &str = "/proc/sys/fs/binfmt_misc";

/// What a root file system is made of.
pub struct Debian<'a> {
    /// Debian's release.
    pub release: &'a str,
    /// Packages beside those that every system has.
    pub include: &'a [&'a str],
    /// Components of the archive.
    pub components: &'a str,
    /// Suites beside the release.
    pub suites: &'a [&'a str],
    /// Options of mmdebstrap.
    pub options: &'a [&'a str],
}

impl Debian<'_> {
    /// It as an archive; made once, from the mirror that this machine uses, and kept.
    pub fn archive(&self, mirror: &str) -> Result<PathBuf> {
        let all = [self.include, self.suites, self.options].map(|words| words.join(" "));
        let digest = Sha256::digest(format!("{} {} {}", self.release, self.components, all.join("|")));
        let name = format!("{}-arm64-{}.tar", self.release, &hex::encode(&digest)[..8]);
        let kept = sys::target_dir().join("deb").join(name);
        if kept.is_file() {
            return Ok(kept);
        }
        fs::create_dir_all(kept.parent().context("a file needs a folder")?)?;
        // By which it sees what this machine runs.
        packages::find_or_install("arch-test", "arch-test")?;
        eprintln!("Debian {}: made once, under the emulator, and kept; minutes", self.release);
        let making = kept.with_extension("making.tar");
        let mut make = sys::command(packages::find_or_install("mmdebstrap", "mmdebstrap")?, true);
        make.args(["--quiet", "--architectures=arm64", "--format=tar"]);
        // Whatever is made of the same packages is the same archive.
        make.env("SOURCE_DATE_EPOCH", deb::date().to_string());
        make.arg(format!("--components={}", self.components));
        make.arg(format!("--include={}", self.include.join(",")));
        make.args(self.options).arg(self.release).arg(&making).arg(mirror);
        for suite in self.suites {
            make.arg(format!("deb {mirror} {suite} {}", self.components.replace(',', " ")));
        }
        sys::check(&mut make)?;
        fs::rename(&making, &kept)?;
        Ok(kept)
    }
}

/// Has the kernel run programs of boards through the emulator.
pub fn emulate() -> Result<()> {
    packages::find_or_install("qemu-aarch64-static", "qemu-user-static")?;
    let known = Path::new(BINFMT).join("qemu-aarch64");
    if known.exists() {
        return Ok(());
    }
    let register = Path::new(BINFMT).join("register");
    if !register.exists() {
        sys::check(sys::command("mount", true).args(["-t", "binfmt_misc", "binfmt_misc", BINFMT]))?;
    }
    if !known.exists() {
        let rule = fs::read("/usr/lib/binfmt.d/qemu-aarch64.conf").context("qemu-user-static has no rule")?;
        fs::write(register, rule.trim_ascii())?;
    }
    Ok(())
}

/// A root file system in a folder of its own, which goes with it.
pub struct Root(tempfile::TempDir);

impl Root {
    /// Unpacks an archive.
    pub fn unpack(archive: &Path) -> Result<Self> {
        if !packages::is_root() {
            bail!("a root file system of another architecture needs root; run this command as root");
        }
        let folder = tempfile::tempdir_in(sys::target_dir())?;
        let mut tar = Command::new("tar");
        tar.arg("--directory").arg(folder.path()).args(["--extract", "--numeric-owner", "--file"]);
        sys::check(tar.arg(archive))?;
        Ok(Self(folder))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// A file or folder in it.
    pub fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    /// A command that runs in it.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("chroot");
        // What Debian's programs are told about the terminal and the tongue is not this machine's.
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command.arg(self.0.path()).args(words);
        command
    }

    /// What such a command prints.
    pub fn run(&self, words: &[&str]) -> Result<String> {
        sys::output(&mut self.command(words))
    }

    /// Installs a package from a file.
    pub fn install(&self, package: &Path) -> Result<()> {
        fs::copy(package, self.at("tmp/sprig.deb"))?;
        self.run(&["dpkg", "--install", "/tmp/sprig.deb"])?;
        Ok(fs::remove_file(self.at("tmp/sprig.deb"))?)
    }
}
