//! What starts a system: the files of the first partition, which selects one of two.

use super::firmware::Firmware;
use crate::root::Root;
use crate::{packages, sys};
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

const GRUB: &str = include_str!("../../image/grub.cfg");
/// What U-Boot does, in place of its own default: it goes to the card at once. The default starts USB, after which Linux says of
/// the emulator's controller "Not connected", and waits for a key, which noise on a serial line with nothing at its end can be.
const U_BOOT: &str = "cross/image/u-boot.env";
/// Bytes of U-Boot's environment on these boards (its `CONFIG_ENV_SIZE`).
const U_BOOT_BYTES: &str = "0x4000";
/// Bytes of GRUB's environment, which it writes in place and never makes.
const ENVIRONMENT: usize = 1024;
/// Where the archive's hook unpacked the firmware's package.
const RASPBERRY_PI: &str = "usr/lib/raspi";
/// Linux's device trees of its boards: of the 3 and Zero 2 W, of the 4, of the 5.
const TREES: [&str; 3] = ["bcm2837", "bcm2711", "bcm2712"];
/// What its firmware is told: that of U-Boot with device trees of Linux's own, and next to no memory for graphics.
const CONFIG: &str = "# Sprig's image: U-Boot starts GRUB, which selects the system (EFI/debian/grub.cfg).
arm_64bit=1
upstream_kernel=1
kernel=u-boot.bin
enable_uart=1
gpu_mem=16
";

impl Firmware {
    /// Puts what this board starts by there, from a system that has it, and takes it out of that; a line on each package that dpkg
    /// does not know of, as dpkg would tell it.
    pub(super) fn fill(self, root: &Root, selector: &Path) -> Result<String> {
        let (grub, settings) = (selector.join("EFI/BOOT"), selector.join("EFI/debian"));
        fs::create_dir_all(&grub)?;
        fs::create_dir_all(&settings)?;
        let monolithic = root.at("usr/lib/grub/arm64-efi/monolithic/grubaa64.efi");
        fs::copy(&monolithic, grub.join("BOOTAA64.EFI")).context("the system has no GRUB")?;
        fs::write(settings.join("grub.cfg"), GRUB.replace("@CMDLINE@", &self.line()))?;
        fs::write(settings.join("grubenv"), environment())?;
        match self {
            Self::Uefi => Ok(String::new()),
            Self::RaspberryPi { .. } => raspberry_pi(root, selector),
        }
    }
}

/// Puts there what a Raspberry Pi's firmware is and starts.
fn raspberry_pi(root: &Root, selector: &Path) -> Result<String> {
    let unpacked = root.at(RASPBERRY_PI);
    copy_all(&unpacked.join("usr/lib/raspi-firmware"), selector, |_| true)?;
    copy_all(&trees(root)?, selector, |name| TREES.iter().any(|of| name.starts_with(of)))?;
    let loader = root.at("usr/lib/u-boot/rpi_arm64/u-boot.bin");
    fs::copy(&loader, selector.join("u-boot.bin")).context("the system has no U-Boot")?;
    fs::write(selector.join("config.txt"), CONFIG)?;
    let mut environment = sys::command(packages::find_or_install("mkenvimage", "u-boot-tools")?, true);
    environment
        .args(["-s", U_BOOT_BYTES, "-o"])
        .arg(selector.join("uboot.env"))
        .arg(sys::workspace_root().join(U_BOOT));
    sys::check(&mut environment)?;
    // What may be done with it is told where every package tells it.
    let licence = "usr/share/doc/raspi-firmware";
    fs::create_dir_all(root.at(licence))?;
    fs::copy(unpacked.join(licence).join("copyright"), root.at(licence).join("copyright"))?;
    let told = fs::read_to_string(unpacked.join("told")).context("nothing tells which firmware it is")?;
    fs::remove_dir_all(&unpacked)?;
    Ok(told)
}

/// The kept system is the first, and none is on trial.
fn environment() -> Vec<u8> {
    let mut block = b"# GRUB Environment Block\nkept=a\nnext=-\n".to_vec();
    block.resize(ENVIRONMENT, b'#');
    block
}

/// The folder of Linux's own device trees.
fn trees(root: &Root) -> Result<std::path::PathBuf> {
    let folders = fs::read_dir(root.at("usr/lib"))?.filter_map(Result::ok);
    let mut kernels = folders.filter(|entry| entry.file_name().to_string_lossy().starts_with("linux-image-"));
    Ok(kernels.next().context("the system has no device trees")?.path().join("broadcom"))
}

fn copy_all(from: &Path, to: &Path, wanted: impl Fn(&str) -> bool) -> Result<()> {
    for entry in fs::read_dir(from).with_context(|| format!("no {}", from.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type()?.is_file() && wanted(&name.to_string_lossy()) {
            fs::copy(entry.path(), to.join(&name))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A power cut leaves a sector as it was or as it should be.
    #[test]
    fn what_selects_a_system_is_written_within_a_sector() {
        const SECTOR: usize = 512;
        let block = environment();
        assert_eq!(block.len(), ENVIRONMENT);
        let end = block.windows(3).position(|bytes| bytes == b"###").unwrap();
        assert!(end < SECTOR);
    }

    /// The board's script writes what is made here, letter for letter in length.
    #[test]
    fn the_boards_script_knows_the_selector() {
        let script = include_str!("../../image/root/usr/lib/sprig/boot-slot");
        assert!(script.contains("# GRUB Environment Block\\nkept=%s\\nnext=%s\\n"));
    }
}
