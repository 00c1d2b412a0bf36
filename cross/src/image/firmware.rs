//! What starts a board: the firmware that an image is laid out for, and the packages that it takes.

use anyhow::{Result, bail};
use sprig_device::Board;

/// Debian's release that images are of.
pub const RELEASE: &str = "trixie";
/// What every board's system has beside Debian's smallest.
const COMMON: [&str; 18] = [
    "busybox",
    "ca-certificates",
    "dbus",
    "e2fsprogs",
    "initramfs-tools",
    "iproute2",
    "iwd",
    "kmod",
    "openssh-server",
    "rauc",
    "rauc-service",
    "systemd-repart",
    "systemd-resolved",
    "systemd-sysv",
    "systemd-timesyncd",
    "udev",
    "wireless-regdb",
    "zstd",
];
/// What Linux is told wherever it runs: limits of memory hold, and whoever cannot go on starts again.
const COMMON_LINE: &str = "ro cgroup_enable=memory panic=10 systemd.gpt_auto=0";

/// How a board starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// By UEFI: the generic machine, virtual or real.
    Uefi,
    /// A Raspberry Pi's own, which starts U-Boot, which has UEFI: its `tryboot` takes a kernel that can ask for it, and Debian's
    /// cannot.
    RaspberryPi {
        /// Debian's release has no device tree of it yet; the backported kernel does.
        backports: bool,
    },
}

impl Firmware {
    /// That of `board`; a board that no image is made for is refused with what to do instead.
    pub fn of(board: &Board) -> Result<Self> {
        let name = board.name.as_str();
        match name {
            "generic-aarch64" => Ok(Self::Uefi),
            _ if name.starts_with("raspberry-pi-") => {
                let newest = ["raspberry-pi-5", "raspberry-pi-cm5"].iter().any(|new| name.starts_with(new));
                Ok(Self::RaspberryPi { backports: newest })
            }
            _ if name.starts_with("jetson-") => bail!(
                "a {} is flashed by NVIDIA's own tools alone: lay `cargo xtask overlay --board {name}` over its \
                 system before, or install the package of `cargo xtask deb --board {name}` after; docs/jetson.md goes \
                 through both",
                board.title
            ),
            _ => bail!(
                "no image is made for {name}; there are some for generic-aarch64 and every Raspberry Pi"
            ),
        }
    }

    /// Which boards an update is for.
    pub fn compatible(self) -> &'static str {
        match self {
            Self::Uefi => "sprig-uefi-arm64",
            Self::RaspberryPi { backports: false } => "sprig-raspberry-pi",
            Self::RaspberryPi { backports: true } => "sprig-raspberry-pi-5",
        }
    }

    /// Packages of its system.
    pub fn packages(self) -> Vec<&'static str> {
        let own: &[&str] = match self {
            Self::Uefi => &[],
            Self::RaspberryPi { .. } => &["firmware-brcm80211", "u-boot-rpi"],
        };
        let kernel = match self {
            Self::RaspberryPi { backports: true } => "linux-image-arm64/trixie-backports",
            _ => "linux-image-arm64",
        };
        COMMON.iter().chain(&[kernel, "grub-efi-arm64-bin"]).chain(own).copied().collect()
    }

    /// Suites beside the release.
    pub fn suites(self) -> &'static [&'static str] {
        match self {
            Self::RaspberryPi { backports: true } => &["trixie-backports"],
            _ => &[],
        }
    }

    /// Components of the archive. What makes a Raspberry Pi start, and its radio work, is not free.
    pub fn components(self) -> &'static str {
        match self {
            Self::Uefi => "main",
            Self::RaspberryPi { .. } => "main,non-free-firmware",
        }
    }

    /// What mmdebstrap does beside installing packages: the Raspberry Pi's firmware is unpacked and not installed, whose scripts
    /// would keep a boot partition of their own, and leaves a line on what it is.
    pub fn options(self) -> &'static [&'static str] {
        match self {
            Self::Uefi => &[],
            Self::RaspberryPi { .. } => &[
                "--customize-hook=cd \"$1/tmp\" && APT_CONFIG=\"$MMDEBSTRAP_APT_CONFIG\" apt-get --quiet download raspi-firmware \
                 && dpkg -x raspi-firmware_*.deb \"$1/usr/lib/raspi\" && dpkg-deb --show --showformat '${Package} ${Version} \
                 ${Architecture} ${source:Package}\\n' raspi-firmware_*.deb > \"$1/usr/lib/raspi/told\" && rm raspi-firmware_*.deb",
            ],
        }
    }

    /// Linux's command line, but for which system it is.
    pub fn line(self) -> String {
        let console = match self {
            Self::Uefi => "console=tty0 console=ttyAMA0",
            // As Linux's own device trees number them, which is not as Raspberry Pi's do.
            Self::RaspberryPi { backports: false } => "console=tty0 console=ttyS1,115200",
            Self::RaspberryPi { backports: true } => "console=tty0 console=ttyAMA10,115200",
        };
        format!("{console} {COMMON_LINE}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::board;

    #[test]
    fn every_board_has_an_image_or_is_told_what_it_has_instead() {
        let of = |name| Firmware::of(&board(name).unwrap());
        assert_eq!(of("generic-aarch64").unwrap(), Firmware::Uefi);
        assert_eq!(of("raspberry-pi-zero-2-w").unwrap(), Firmware::RaspberryPi { backports: false });
        assert_eq!(of("raspberry-pi-400").unwrap(), Firmware::RaspberryPi { backports: false });
        assert_eq!(of("raspberry-pi-500-8gb").unwrap(), Firmware::RaspberryPi { backports: true });
        let refused = of("jetson-nano-4gb").unwrap_err().to_string();
        assert!(refused.contains("cargo xtask deb --board jetson-nano-4gb"), "{refused}");
        assert!(of("generic-x86-64").is_err());
    }

    #[test]
    fn limits_of_memory_hold_in_every_image() {
        for firmware in [Firmware::Uefi, Firmware::RaspberryPi { backports: true }] {
            assert!(firmware.line().contains("cgroup_enable=memory"));
        }
    }
}
