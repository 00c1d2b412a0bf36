//! `cargo xtask overlay`: what is laid over the root file system that NVIDIA's tools flash onto a Jetson. At its first start the
//! board installs the package and takes up what it was given.

use super::given::{Given, GivenArgs};
use crate::deb::Package;
use crate::{build, deb, sys};
use anyhow::{Result, ensure};
use serde::Serialize;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// Where the board finds what it was given, and no longer after its first start.
pub const GIVEN: &str = "opt/sprig-first-boot";
const SCRIPT: &str = include_str!("../../l4t/first-boot");
const SERVICE: &str = include_str!("../../l4t/sprig-first-boot.service");
const UNIT: &str = "sprig-first-boot.service";

/// Arguments of `cargo xtask overlay`.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Args {
    /// Jetson that it is for, by its name as `sprig device` knows it
    #[arg(long, value_name = "NAME")]
    pub board: String,
    #[command(flatten)]
    pub given: GivenArgs,
    /// Archive to write [default: image/sprig-BOARD.tar in the target folder]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Print what was made as one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// An overlay.
#[derive(Debug, Serialize)]
pub struct Overlay {
    pub path: PathBuf,
    pub board: String,
    pub version: String,
    pub bytes: u64,
    pub sha256: String,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let overlay = Overlay::make(args)?;
    if args.json {
        println!("{}", serde_json::to_string(&overlay)?);
    } else {
        println!("{}", overlay.path.display());
        eprintln!(
            "for {}, version {}, {:.1} MB, sha256 {}\nsudo tar -C Linux_for_Tegra/rootfs -xpf {} before flashing: docs/jetson.md",
            overlay.board,
            overlay.version,
            overlay.bytes as f64 / 1e6,
            overlay.sha256,
            overlay.path.display()
        );
    }
    Ok(())
}

impl Overlay {
    /// Makes it.
    pub fn make(args: &Args) -> Result<Self> {
        let board = build::board(&args.board)?;
        ensure!(
            board.name.starts_with("jetson-"),
            "an overlay is for a Jetson's own system; for a {} there is `cargo xtask image --board {}`",
            board.title,
            board.name
        );
        let out = args
            .out
            .clone()
            .unwrap_or_else(|| sys::target_dir().join("image").join(format!("sprig-{}.tar", board.name)));
        check_out(&out)?;
        fs::create_dir_all(sys::target_dir())?;
        let work = tempfile::tempdir_in(sys::target_dir())?;
        let given = Given::of(&args.given, work.path())?;
        let package = Package::make(&board.name, "")?;
        let tree = work.path().join("tree");
        lay_out(&tree, &given, &package)?;
        let making = work.path().join("overlay.tar");
        pack(&tree, &making)?;
        // It has the board's key.
        let mode = if args.given.fleet.is_some() { 0o600 } else { 0o644 };
        fs::set_permissions(&making, fs::Permissions::from_mode(mode))?;
        super::install_sparse(&making, &out)?;
        Ok(Self {
            bytes: fs::metadata(&out)?.len(),
            sha256: sys::sha256(&out)?,
            path: out,
            board: board.name,
            version: package.version,
        })
    }
}

/// The files, where the board has them.
fn lay_out(tree: &Path, given: &Given, package: &Package) -> Result<()> {
    let (folder, units) = (tree.join(GIVEN), tree.join("etc/systemd/system"));
    let wanted = units.join("multi-user.target.wants");
    fs::create_dir_all(&folder)?;
    fs::create_dir_all(&wanted)?;
    fs::rename(given.state.join("shared/sprig"), folder.join("state"))?;
    if let Some(identity) = &given.identity {
        let mut copy = sys::command("cp", true);
        sys::check(copy.arg("-r").arg(identity.join(".")).arg(folder.join("state/agent")))?;
    }
    fs::copy(&package.path, folder.join(format!("sprig_{}_arm64.deb", package.version)))?;
    let script = folder.join("first-boot");
    fs::write(&script, SCRIPT)?;
    fs::write(units.join(UNIT), SERVICE)?;
    symlink(format!("/etc/systemd/system/{UNIT}"), wanted.join(UNIT))?;
    let mut modes = sys::command("chmod", true);
    // Keys among the rest are for nobody else's eyes.
    sys::check(modes.arg("-R").arg("u=rwX,go=").arg(&folder))?;
    Ok(fs::set_permissions(script, fs::Permissions::from_mode(0o700))?)
}

/// Packs it, the same bytes from the same files; folders that every system has keep what they are there.
fn pack(tree: &Path, archive: &Path) -> Result<()> {
    let mut tar = sys::command("tar", true);
    tar.args(["--create", "--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--format=gnu"]);
    tar.arg(format!("--mtime=@{}", deb::date())).arg("--file").arg(archive).arg("--directory").arg(tree);
    tar.args(["--no-recursion", "etc/systemd/system/sprig-first-boot.service"]);
    tar.arg("etc/systemd/system/multi-user.target.wants/sprig-first-boot.service");
    sys::check(tar.args(["--recursion", GIVEN]))
}

/// Over another overlay, and over nothing else.
fn check_out(out: &Path) -> Result<()> {
    let Ok(found) = fs::metadata(out) else { return Ok(()) };
    ensure!(found.is_file(), "{} is no file; name another", out.display());
    let mut list = sys::command("tar", false);
    let listed = sys::output(list.arg("--list").arg("--file").arg(out)).unwrap_or_default();
    ensure!(listed.contains(GIVEN), "{} is there, and no overlay; name another file", out.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overlay_is_for_jetsons_and_goes_over_nothing_but_another() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("notes.tar");
        fs::write(&file, "mine").unwrap();
        let refused = |board: &str| {
            let args = Args { board: board.to_owned(), out: Some(file.clone()), ..Args::default() };
            Overlay::make(&args).unwrap_err().to_string()
        };
        assert!(refused("raspberry-pi-4b-4gb").contains("cargo xtask image --board raspberry-pi-4b-4gb"));
        assert!(refused("jetson-orin-nano-8gb").contains("no overlay"));
        assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    }
}
