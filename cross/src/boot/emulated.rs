//! What the emulator is for an image: a machine with UEFI, or a Raspberry Pi 3 whose firmware has just loaded U-Boot.

use crate::image::table;
use crate::{packages, sys};
use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the emulator's own firmware is, in Debian's package.
const FIRMWARE: &str = "/usr/share/AAVMF";
/// A core without dot products, as of a Raspberry Pi 4, two of them, and the memory of its smallest.
const VIRTUAL: [&str; 8] = ["-machine", "virt", "-cpu", "cortex-a72", "-smp", "2", "-m", "1024"];
/// The only Raspberry Pi that the emulator knows and that has 64 bits; its network is at USB, and its console the second.
const RASPBERRY_PI: [&str; 6] = ["-machine", "raspi3b", "-device", "usb-net,netdev=net", "-serial", "null"];
/// What its firmware, which the emulator has none of, would load: Linux's device tree of it, and U-Boot.
const TREE: &str = "bcm2837-rpi-3-b.dtb";
const LOADER: &str = "u-boot.bin";
/// The partition that has it, and there what GRUB tells Linux.
const SELECTOR: &str = "selector";
const GRUB: &str = "EFI/debian/grub.cfg";
/// Most bytes of the first partition, which is held in memory.
const MOST: u64 = 256 << 20;
/// The emulator takes setting the watchdog for the restart that the watchdog is there for.
const TOLD: (&str, &str) = ("sprig.slot=$slot", "sprig.slot=$slot modprobe.blacklist=bcm2835_wdt");

/// It, with files of its own in a folder.
pub(super) enum Emulated {
    Virtual {
        variables: PathBuf,
    },
    RaspberryPi {
        folder: PathBuf,
        /// Where on its card the first partition begins, in bytes.
        selector: u64,
    },
}

impl Emulated {
    /// That for `image`.
    pub(super) fn of(image: &Path, folder: &Path) -> Result<Self> {
        packages::find_or_install("qemu-system-aarch64", "qemu-system-arm")?;
        let file = File::open(image).with_context(|| format!("no image {}", image.display()))?;
        if table::has_older(&file)? {
            return Self::raspberry_pi(&file, folder);
        }
        if !Path::new(FIRMWARE).join("AAVMF_CODE.fd").is_file() {
            packages::apt_install(&["qemu-efi-aarch64"])?;
        }
        let variables = folder.join("variables.fd");
        fs::copy(Path::new(FIRMWARE).join("AAVMF_VARS.fd"), &variables)?;
        Ok(Self::Virtual { variables })
    }

    /// Takes what starts it out of the first partition, of which it makes one that Linux does not set the watchdog with.
    fn raspberry_pi(image: &File, folder: &Path) -> Result<Self> {
        let parts = table::partitions(image)?;
        let part = parts.iter().find(|part| part.name == SELECTOR).context("the image selects no system")?;
        ensure!(part.bytes <= MOST, "the image's first partition has {} bytes, more than {MOST}", part.bytes);
        let mut bytes = vec![0; usize::try_from(part.bytes)?];
        image.read_exact_at(&mut bytes, part.begins)?;
        fs::write(folder.join(SELECTOR), bytes)?;
        let settings = folder.join("grub.cfg");
        for (name, to) in [(LOADER, LOADER), (TREE, TREE), (GRUB, "grub.cfg")] {
            copy(folder, &format!("::/{name}"), &folder.join(to).display().to_string())
                .with_context(|| format!("the image has no {name} to start from"))?;
        }
        let text = fs::read_to_string(&settings)?.replace(TOLD.0, TOLD.1);
        ensure!(text.contains(TOLD.1), "{GRUB} does not name the system to start");
        fs::write(&settings, text)?;
        copy(folder, &settings.display().to_string(), &format!("::/{GRUB}"))?;
        Ok(Self::RaspberryPi { folder: folder.to_owned(), selector: part.begins })
    }

    /// Puts onto a new card what is another there than in the image.
    pub(super) fn prepare(&self, card: &Path) -> Result<()> {
        let Self::RaspberryPi { folder, selector } = self else { return Ok(()) };
        let part = folder.join(SELECTOR);
        let bytes = fs::metadata(&part)?.len();
        let mut write = Command::new(packages::find_or_install("qemu-io", "qemu-utils")?);
        write.args(["-f", "qcow2", "-c", &format!("write -s {} {selector} {bytes}", part.display())]);
        sys::output(write.arg(card)).map(drop)
    }

    /// The emulator with a card, and a network whose port `ssh` leads to the board.
    pub(super) fn with(&self, card: &Path, ssh: u16) -> Command {
        let mut emulator = sys::command("qemu-system-aarch64", true);
        emulator.args(["-display", "none", "-monitor", "none"]);
        emulator.args(["-netdev", &format!("user,id=net,hostfwd=tcp:127.0.0.1:{ssh}-:22")]);
        let card = card.display();
        match self {
            Self::Virtual { variables } => {
                let code = format!("if=pflash,format=raw,readonly=on,file={FIRMWARE}/AAVMF_CODE.fd");
                emulator.args(VIRTUAL).args(["-drive", &code]);
                emulator.args(["-drive", &format!("if=pflash,format=raw,file={}", variables.display())]);
                emulator.args(["-drive", &format!("if=none,id=card,file={card}")]);
                emulator.args(["-device", "virtio-blk-pci,drive=card", "-device", "virtio-rng-pci"]);
                emulator.args(["-device", "virtio-net-pci,netdev=net,romfile="]);
                emulator.args(["-device", "i6300esb", "-action", "watchdog=reset"]);
            }
            Self::RaspberryPi { folder, .. } => {
                // Cards know no flush, by which the emulator would bring its own tables to disk: what is written is there.
                emulator
                    .args(RASPBERRY_PI)
                    .args(["-drive", &format!("if=sd,cache=writethrough,file={card}")]);
                emulator.arg("-kernel").arg(folder.join(LOADER)).arg("-dtb").arg(folder.join(TREE));
            }
        }
        emulator
    }
}

/// Copies a file out of the first partition in `folder`, or into it.
fn copy(folder: &Path, from: &str, to: &str) -> Result<()> {
    let mut copy = Command::new(packages::find_or_install("mcopy", "mtools")?);
    sys::output(copy.args(["-o", "-i"]).arg(folder.join(SELECTOR)).args([from, to])).map(drop)
}
