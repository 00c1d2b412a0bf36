//! `cargo xtask image`: what is written to a board's card. Two read-only systems, of which an update replaces the one that does
//! not run, a partition that selects one, and one for all that changes.

mod card;
mod disk;
pub mod firmware;
pub mod fleet;
pub mod given;
mod identifier;
pub mod overlay;
mod sbom;
mod starting;
mod state;
mod system;
pub mod table;
pub mod update;

use crate::deb::Package;
use crate::{build, sys};
use anyhow::{Result, bail, ensure};
use card::Card;
use disk::Parts;
use firmware::Firmware;
use given::{Given, GivenArgs};
use serde::Serialize;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use system::System;
use update::{Signer, Update};

/// Arguments of `cargo xtask image`.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Args {
    /// Board that it is for, by its name as `sprig device` knows it: generic-aarch64, which is any with UEFI, or a Raspberry Pi's
    #[arg(long, value_name = "NAME")]
    pub board: String,
    #[command(flatten)]
    pub given: GivenArgs,
    /// Public keys that may log in as root over SSH (authorized_keys); without any, SSH is off
    #[arg(long, value_name = "FILE")]
    pub ssh: Option<PathBuf>,
    /// Networks: a file with the lines ssid=NAME and passphrase=WORDS
    #[arg(long, value_name = "FILE")]
    pub wifi: Option<PathBuf>,
    /// Image to write [default: image/sprig-BOARD.img in the target folder]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Sign an update bundle of the same system beside it, as the fleet in this folder (as `sprig provision` wrote it)
    #[arg(long, value_name = "DIR")]
    pub sign: Option<PathBuf>,
    /// Added to the version, such as +2
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub suffix: String,
    /// Make it a second time, and fail where that is not the same image, bit for bit
    #[arg(long)]
    pub twice: bool,
    /// Disk to write it to, such as /dev/sdb; everything on it is lost
    #[arg(long, value_name = "DISK")]
    pub device: Option<PathBuf>,
    /// Do not ask before the disk is written over
    #[arg(long, requires = "device")]
    pub yes: bool,
    /// Print what was made as one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// An image.
#[derive(Debug, Serialize)]
pub struct Image {
    pub path: PathBuf,
    pub board: String,
    pub version: String,
    pub bytes: u64,
    pub sha256: String,
    /// What it is made of (CycloneDX).
    pub sbom: PathBuf,
    /// The same system as an update.
    pub update: Option<PathBuf>,
    pub system_bytes: u64,
    pub program_bytes: u64,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let image = Image::make(args)?;
    if args.twice {
        make_again(args, &image)?;
    }
    if args.json {
        println!("{}", serde_json::to_string(&image)?);
    } else {
        println!("{}", image.path.display());
        eprintln!(
            "for {}, version {}, {:.0} MB of which a system takes {:.0}\nsha256 {}\nmade of {}",
            image.board,
            image.version,
            image.bytes as f64 / 1e6,
            image.system_bytes as f64 / 1e6,
            image.sha256,
            image.sbom.display()
        );
        if let Some(update) = &image.update {
            eprintln!("update {}: on the board, sprig-update FILE", update.display());
        }
    }
    if let Some(device) = &args.device {
        let card = Card::find(device, image.bytes)?;
        card.confirm(args.yes)?;
        card.write(&image.path)?;
        eprintln!("image: done; put the card into the board");
    }
    Ok(())
}

impl Image {
    /// Makes it.
    pub fn make(args: &Args) -> Result<Self> {
        let board = build::board(&args.board)?;
        let firmware = Firmware::of(&board)?;
        let out = args
            .out
            .clone()
            .unwrap_or_else(|| sys::target_dir().join("image").join(format!("sprig-{}.img", board.name)));
        check_out(&out)?;
        // Before anything is built: what is missing is told now.
        if let Some(device) = &args.device {
            Card::find(device, 0)?;
        }
        let signer = args.sign.as_deref().map(Signer::of).transpose()?;
        fs::create_dir_all(sys::target_dir())?;
        let work = tempfile::tempdir_in(sys::target_dir())?;
        let mut given = Given::of(&args.given, work.path())?;
        given.let_in(args.wifi.as_deref(), args.ssh.as_deref(), work.path())?;
        ensure!(crate::packages::is_root(), "an image is put together as root; run this command as root");
        let package = Package::make(&board.name, &args.suffix)?;
        let system = System::make(firmware, &package, work.path())?;
        given.put(&system.selector)?;
        let sbom = sbom::write(&out, &system)?;
        eprintln!("image: partitions");
        let parts = Parts { firmware, system: &system, state: &given.state, work: work.path() };
        let disk = parts.put_together()?;
        let update = match signer {
            None => None,
            Some(signer) => {
                eprintln!("image: update");
                let path = out.with_extension("raucb");
                let (boot, work) = (&*disk.boot, work.path());
                let update = Update { firmware, system: &system.image, boot, version: &system.version, work };
                signer.sign(&update, &path)?;
                Some(path)
            }
        };
        // It has the board's key, or a network's words.
        let mode = if args.given.fleet.is_some() || args.wifi.is_some() { 0o600 } else { 0o644 };
        fs::set_permissions(&disk.path, fs::Permissions::from_mode(mode))?;
        install_sparse(&disk.path, &out)?;
        Ok(Self {
            bytes: fs::metadata(&out)?.len(),
            sha256: sys::sha256(&out)?,
            path: out,
            board: board.name,
            version: system.version.clone(),
            sbom,
            update,
            system_bytes: fs::metadata(&system.image)?.len(),
            program_bytes: package.program.bytes,
        })
    }
}

/// Makes the image again, and holds it against the first.
fn make_again(args: &Args, first: &Image) -> Result<()> {
    let folder = tempfile::tempdir_in(sys::target_dir())?;
    let out = Some(folder.path().join("again.img"));
    let again = Image::make(&Args { out, sign: None, device: None, ..args.clone() })?;
    if again.sha256 != first.sha256 {
        let open = |image: &Image| fs::File::open(&image.path);
        let parts = table::differences(&open(first)?, &open(&again)?)?;
        bail!("made twice, the images differ in {}: {} and {}", parts.join(", "), first.sha256, again.sha256);
    }
    eprintln!("image: made twice, the same");
    Ok(())
}

/// Whether an image may be put there: over another image, and over nothing else.
fn check_out(out: &Path) -> Result<()> {
    let Ok(found) = fs::metadata(out) else { return Ok(()) };
    ensure!(found.is_file(), "{} is no file; a disk is named with --device", out.display());
    let mut head = vec![0; 1024];
    let read = fs::File::open(out).and_then(|mut file| std::io::Read::read(&mut file, &mut head))?;
    // The table of partitions begins in the second sector (UEFI specification, section 5.3.2).
    let is_image = read == head.len() && head[512..520] == *b"EFI PART";
    ensure!(is_image, "{} is there, and no image; name another file", out.display());
    Ok(())
}

/// Moves an image to where it is wanted, whole or not at all, without writing what is empty.
fn install_sparse(from: &Path, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder)?;
    }
    let making = to.with_extension("img.making");
    let mut copy = sys::command("cp", true);
    sys::check(copy.args(["--sparse=always", "--preserve=mode"]).arg(from).arg(&making))?;
    Ok(fs::rename(making, to)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_goes_over_nothing_but_another() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("notes.txt");
        assert!(check_out(&file).is_ok());
        fs::write(&file, "mine").unwrap();
        assert!(check_out(&file).unwrap_err().to_string().contains("no image"));
        assert!(check_out(folder.path()).unwrap_err().to_string().contains("--device"));
        let mut image = vec![0; 2048];
        image[512..520].copy_from_slice(b"EFI PART");
        fs::write(&file, image).unwrap();
        assert!(check_out(&file).is_ok());
    }

    #[test]
    fn what_is_missing_is_told_before_anything_is_built() {
        let refused = |args: Args| format!("{:#}", Image::make(&args).map(drop).unwrap_err());
        let args = |board: &str| Args { board: board.to_owned(), ..Args::default() };
        assert!(refused(args("jetson-nano-4gb")).contains("NVIDIA"));
        let none = Some(PathBuf::from("/nowhere"));
        assert!(refused(Args { sign: none.clone(), ..args("generic-aarch64") }).contains("sprig provision"));
        assert!(
            refused(Args {
                given: GivenArgs { fleet: none.clone(), ..GivenArgs::default() },
                ..args("generic-aarch64")
            })
            .contains("/nowhere")
        );
        assert!(
            refused(Args {
                given: GivenArgs { model: none, ..GivenArgs::default() },
                ..args("generic-aarch64")
            })
            .contains("/nowhere")
        );
    }
}
