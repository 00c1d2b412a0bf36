//! The image of a card: its partitions, put together by genimage.

use super::firmware::Firmware;
use super::identifier::{id, uuid};
use super::state;
use super::system::System;
use crate::{deb, packages, sys};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};

const MIB: u64 = 1 << 20;
/// Of the first partition: firmware, selection, and what someone puts there before the first start.
const SELECTOR: u64 = 64 * MIB;
/// Of each boot partition: kernel, initramfs, device trees, firmware.
const BOOT: u64 = 128 * MIB;
/// Of each system.
const SYSTEM: u64 = 640 * MIB;
/// Boundaries of partitions: no card's erase unit is larger.
const ALIGN: u64 = 4 * MIB;
/// Kind of a partition with a system of this architecture (Discoverable Partitions Specification).
const ROOT_ARM64: &str = "b921b045-1df0-41c3-af44-4c6f280d3fae";

/// What an image is made of, in a folder of its own.
pub(super) struct Parts<'a> {
    pub firmware: Firmware,
    pub system: &'a System,
    /// Files of the state partition.
    pub state: &'a Path,
    /// Where to work.
    pub work: &'a Path,
}

/// An image, and the boot partition of it.
pub(super) struct Disk {
    pub path: PathBuf,
    pub boot: PathBuf,
}

impl Parts<'_> {
    /// Makes the image.
    pub(super) fn put_together(&self) -> Result<Disk> {
        let bytes = fs::metadata(&self.system.image)?.len();
        ensure!(bytes <= SYSTEM, "the system takes {bytes} bytes, more than {SYSTEM}");
        let (tree, out) = (self.work.join("tree"), self.work.join("out"));
        fs::create_dir_all(&tree)?;
        for (name, from) in [("boot", &self.system.boot), ("selector", &self.system.selector)] {
            fs::rename(from, tree.join(name)).with_context(|| format!("no {}", from.display()))?;
        }
        let date = deb::date().to_string();
        let mut touch = sys::command("find", true);
        touch.arg(&tree).arg(self.state).args(["-exec", "touch", "--no-dereference", "--date"]);
        sys::check(touch.arg(format!("@{date}")).args(["{}", "+"]))?;
        let state = state::make(self.state, &self.work.join("state.ext4"), (ALIGN, &date))?;
        let config = self.work.join("genimage.cfg");
        fs::write(&config, self.layout(state))?;
        for (program, package) in [("mkfs.vfat", "dosfstools"), ("mcopy", "mtools")] {
            packages::find_or_install(program, package)?;
        }
        let mut make = sys::command(packages::find_or_install("genimage", "genimage")?, true);
        make.arg("--config").arg(&config).arg("--rootpath").arg(&tree).arg("--outputpath").arg(&out);
        make.arg("--inputpath").arg(self.work).arg("--tmppath").arg(self.work.join("tmp"));
        make.args(["--loglevel", "0"]).env("SOURCE_DATE_EPOCH", &date);
        sys::check(&mut make)?;
        Ok(Disk { path: out.join("sprig.img"), boot: out.join("boot.vfat") })
    }

    fn layout(&self, state: u64) -> String {
        let vfat = |file: &str, label: &str, folder: &str, bytes: u64| {
            let serial = &id(label)[..8];
            format!(
                "image {file} {{\n vfat {{ label = \"{label}\" extraargs = \"--invariant -i {serial}\" }}\n \
                 mountpoint = \"/{folder}\"\n size = {bytes}\n}}\n"
            )
        };
        let mut text = vfat("selector.vfat", "SELECTOR", "selector", SELECTOR);
        text += &vfat("boot.vfat", "BOOT", "boot", BOOT);
        text += &format!(
            "image sprig.img {{\n hdimage {{ partition-table-type = \"{}\" disk-uuid = \"{}\" align = {ALIGN} }}\n",
            if self.firmware == Firmware::Uefi { "gpt" } else { "hybrid" },
            uuid("disk")
        );
        // Firmware of Raspberry Pis before the 4 looks for its partition in the older table.
        let older = if self.firmware == Firmware::Uefi { "" } else { "partition-type = 0xc" };
        text += &partition("selector", "image = \"selector.vfat\"", "U", SELECTOR, older);
        text += &partition("boot-a", "image = \"boot.vfat\"", "F", BOOT, "");
        text += &partition("boot-b", "", "F", BOOT, "");
        text += &partition("system-a", "image = \"system.img\"", ROOT_ARM64, SYSTEM, "");
        text += &partition("system-b", "", ROOT_ARM64, SYSTEM, "");
        text += &partition("state", "image = \"state.ext4\"", "L", state, "");
        text + "}\n"
    }
}

fn partition(name: &str, image: &str, kind: &str, bytes: u64, older: &str) -> String {
    format!(
        " partition {name} {{\n  {image}\n  size = {bytes}\n  partition-type-uuid = \"{kind}\"\n  partition-uuid = \"{}\"\n  \
         {older}\n }}\n",
        uuid(name)
    )
}
