//! A system of an image: Debian, Sprig and the files of `cross/image/root`, read-only, with what starts it beside it.

use super::firmware::{Firmware, RELEASE};
use crate::deb::{self, Package};
use crate::debian::mirror;
use crate::root::{Debian, Root, emulate};
use crate::{packages, sys};
use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use sprig_ground::hex;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Services that a board starts with.
const SERVICES: [&str; 9] = [
    "iwd",
    "sprig-agent",
    "sprig-first-boot",
    "sprig-health",
    "ssh",
    "systemd-networkd",
    "systemd-repart",
    "systemd-resolved",
    "systemd-timesyncd",
];
/// Options of mmdebstrap: the initramfs is made once, when all that belongs into it is there; and no manuals, which nobody reads
/// on a board, but whose licences.
const OPTIONS: [&str; 7] = [
    "--variant=minbase",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-include=/usr/share/doc/*/copyright",
    "--essential-hook=chroot \"$1\" dpkg-divert --quiet --local --rename --add /usr/sbin/update-initramfs && ln -s /bin/true \"$1/usr/sbin/update-initramfs\"",
    "--customize-hook=rm \"$1/usr/sbin/update-initramfs\" && chroot \"$1\" dpkg-divert --quiet --rename --remove /usr/sbin/update-initramfs",
];

/// What an image is put together from.
pub struct System {
    /// The read-only system.
    pub image: PathBuf,
    /// Files of a boot partition.
    pub boot: PathBuf,
    /// Files of the first partition.
    pub selector: PathBuf,
    /// What it is made of, as dpkg tells it: package, version, architecture and source, a line each.
    pub packages: String,
    /// Names this state of it.
    pub version: String,
}

impl System {
    /// Makes it in the folder `work`.
    pub fn make(firmware: Firmware, package: &Package, work: &Path) -> Result<Self> {
        emulate()?;
        let mirror = mirror().context("no mirror of Debian in /etc/apt")?;
        let debian = Debian {
            release: RELEASE,
            include: &firmware.packages(),
            components: firmware.components(),
            suites: firmware.suites(),
            options: &[&OPTIONS, firmware.options()].concat(),
        };
        let archive = debian.archive(&mirror)?;
        let root = Root::unpack(&archive)?;
        eprintln!("image: sprig {} and its settings", package.version);
        root.install(&package.path)?;
        lay_over(&root, firmware)?;
        let version = format!("{}+{}", package.version, &state(&archive, package)?[..12]);
        fs::write(root.at("usr/lib/sprig/version"), format!("{version}\n"))?;
        let (boot, selector) = (work.join("boot"), work.join("selector"));
        fs::create_dir_all(&boot)?;
        fs::create_dir_all(&selector)?;
        initramfs(&root, &boot)?;
        let told = "${Package} ${Version} ${Architecture} ${source:Package}\n";
        let mut packages = root.run(&["dpkg-query", "--show", &format!("--showformat={told}")])?;
        packages += &firmware.fill(&root, &selector)?;
        tidy(&root)?;
        let image = work.join("system.img");
        pack(&root, &image)?;
        Ok(Self { image, boot, selector, packages, version })
    }
}

/// A digest of what goes into a system.
fn state(archive: &Path, package: &Package) -> Result<String> {
    let mut hasher = Sha256::new();
    for part in [sys::sha256(archive)?, package.sha256.clone(), sys::sha256_of_tree(&overlay())?] {
        hasher.update(part);
    }
    Ok(hex::encode(&hasher.finalize()))
}

fn overlay() -> PathBuf {
    sys::workspace_root().join("cross/image/root")
}

/// Puts the image's own files over the system.
fn lay_over(root: &Root, firmware: Firmware) -> Result<()> {
    let mut copy = Command::new("cp");
    copy.args(["--recursive", "--no-preserve=ownership", "--preserve=mode"]);
    sys::check(copy.arg(overlay().join(".")).arg(root.path()))?;
    let rauc = root.at("etc/rauc/system.conf");
    let text = fs::read_to_string(&rauc)?.replace("@COMPATIBLE@", firmware.compatible());
    fs::write(&rauc, text)?;
    fs::create_dir_all(root.at("state"))?;
    // Bound to what the state has; a system that finds no name for itself here waits for one that may be written.
    fs::write(root.at("etc/machine-id"), "")?;
    fs::write(root.at("etc/hostname"), "sprig\n")?;
    let resolved = root.at("etc/resolv.conf");
    let _ = fs::remove_file(&resolved);
    symlink("../run/systemd/resolve/stub-resolv.conf", &resolved)?;
    for service in SERVICES {
        root.run(&["systemctl", "enable", "--quiet", service])?;
    }
    Ok(())
}

/// Makes what Linux starts with, and takes it and the kernel out of the system.
fn initramfs(root: &Root, boot: &Path) -> Result<()> {
    let modules = fs::read_dir(root.at("lib/modules"))?.next().context("the system has no kernel")??;
    let version = modules.file_name().to_string_lossy().into_owned();
    let mut make = root.command(&["mkinitramfs", "-o", "/tmp/initrd.img", &version]);
    sys::output(make.env("SOURCE_DATE_EPOCH", deb::date().to_string()))?;
    let take = |from: &str, to: &str| -> Result<()> {
        fs::copy(root.at(from), boot.join(to)).with_context(|| format!("no {from}"))?;
        fs::set_permissions(boot.join(to), fs::Permissions::from_mode(0o644))?;
        Ok(fs::remove_file(root.at(from))?)
    };
    take("tmp/initrd.img", "initrd.img")?;
    take(&format!("boot/vmlinuz-{version}"), "vmlinuz")
}

/// Takes away what only making it needed.
fn tidy(root: &Root) -> Result<()> {
    for folder in
        ["boot", "tmp", "var/cache/apt", "var/lib/apt/lists", "var/log", "usr/lib/grub", "usr/lib/u-boot"]
    {
        let path = root.at(folder);
        if path.is_dir() {
            fs::remove_dir_all(&path)?;
        }
        fs::create_dir_all(&path)?;
    }
    fs::set_permissions(root.at("tmp"), fs::Permissions::from_mode(0o1777))?;
    for file in ["var/cache/ldconfig/aux-cache", "var/log/dpkg.log"] {
        let _ = fs::remove_file(root.at(file));
    }
    Ok(())
}

/// Packs it, the same bytes from the same files.
fn pack(root: &Root, image: &Path) -> Result<()> {
    let erofs = packages::find_or_install("mkfs.erofs", "erofs-utils")?;
    let mut pack = sys::command(erofs, true);
    pack.args(["-zlz4hc,9", "--quiet", "-T"]).arg(deb::date().to_string());
    pack.args(["-U", "5f0f7d0e-6c1a-4f4e-9c8e-737072696700"]).arg(image).arg(root.path());
    sys::check(&mut pack)
}
