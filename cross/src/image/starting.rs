//! What starts a system: files of the first partition, which selects one of two, and of a boot partition.

use super::firmware::Firmware;
use crate::root::Root;
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

const GRUB: &str = include_str!("../../image/grub.cfg");
const AUTOBOOT: &str = "[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3\n";
/// Bytes of GRUB's environment, which it writes in place and never makes.
const ENVIRONMENT: usize = 1024;
/// Where the archive's hook unpacked the firmware's package.
pub(super) const RASPBERRY_PI: &str = "usr/lib/raspi";
/// What its firmware is told: that of a 64-bit Linux with device trees of Linux's own, and next to no memory for graphics.
const CONFIG: &str =
    "# Sprig's image. The system that starts is selected by autoboot.txt of the first partition.
arm_64bit=1
upstream_kernel=1
kernel=vmlinuz
initramfs initrd.img followkernel
enable_uart=1
gpu_mem=16
";

impl Firmware {
    /// Puts what this board starts by into both, from a system that has it, and takes it out of there.
    pub(super) fn fill(self, root: &Root, boot: &Path, selector: &Path) -> Result<()> {
        match self {
            Self::Uefi => {
                let (grub, settings) = (selector.join("EFI/BOOT"), selector.join("EFI/debian"));
                fs::create_dir_all(&grub)?;
                fs::create_dir_all(&settings)?;
                let monolithic = root.at("usr/lib/grub/arm64-efi/monolithic/grubaa64.efi");
                fs::copy(&monolithic, grub.join("BOOTAA64.EFI")).context("the system has no GRUB")?;
                fs::write(settings.join("grub.cfg"), GRUB.replace("@CMDLINE@", &self.line()))?;
                Ok(fs::write(settings.join("grubenv"), environment())?)
            }
            Self::RaspberryPi { .. } => {
                fs::write(selector.join("autoboot.txt"), AUTOBOOT)?;
                fs::write(boot.join("config.txt"), CONFIG)?;
                fs::write(boot.join("cmdline.txt"), format!("{}\n", self.line()))?;
                let unpacked = root.at(RASPBERRY_PI);
                copy_all(&unpacked.join("usr/lib/raspi-firmware"), boot, |_| true)?;
                // Boards before the 4 have their first stage on the card.
                fs::copy(boot.join("bootcode.bin"), selector.join("bootcode.bin"))?;
                fs::remove_dir_all(&unpacked)?;
                copy_all(&trees(root)?, boot, |name| name.starts_with("bcm27") || name.starts_with("bcm2837"))
            }
        }
    }
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
        assert!(AUTOBOOT.len() < SECTOR);
        let block = environment();
        assert_eq!(block.len(), ENVIRONMENT);
        let end = block.windows(3).position(|bytes| bytes == b"###").unwrap();
        assert!(end < SECTOR);
    }

    /// The board's script writes what is made here, letter for letter in length.
    #[test]
    fn the_boards_script_knows_both_selectors() {
        let script = include_str!("../../image/root/usr/lib/sprig/boot-slot");
        for line in [
            "# GRUB Environment Block\\nkept=%s\\nnext=%s\\n",
            "[all]\\ntryboot_a_b=1\\nboot_partition=%s\\n[tryboot]\\nboot_partition=%s\\n",
        ] {
            assert!(script.contains(line), "{line}");
        }
    }
}
