//! Writing an image to a card: only to the disk that was named, and to none that is in use.

use anyhow::{Context, Result, bail, ensure};
use sprig_budget::Bytes;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Bytes written at once, between two lines of progress.
const PIECE: usize = 4 << 20;
/// Pieces between two lines.
const LINES: u64 = 64;
/// Fails where the disk is in use (open(2): O_EXCL of a block device).
const O_EXCL: i32 = 0o200;

/// A disk that an image may be written to.
pub struct Card {
    device: PathBuf,
    /// What the kernel says it is.
    told: String,
    bytes: u64,
}

impl Card {
    /// Looks at the disk `device`; refuses what is none, what is in use, and what is too small.
    pub fn find(device: &Path, needed: u64) -> Result<Self> {
        Self::find_below(Path::new("/"), device, needed)
    }

    fn find_below(root: &Path, device: &Path, needed: u64) -> Result<Self> {
        let shown = device.display();
        let kind = fs::metadata(device).with_context(|| format!("cannot look at {shown}"))?.file_type();
        ensure!(
            kind.is_block_device() || root != Path::new("/"),
            "{shown} is no disk; an image to a file goes with --out"
        );
        let real = fs::canonicalize(device)?;
        let name = real.file_name().context("a disk has a name")?.to_string_lossy().into_owned();
        let disk = root.join("sys/block").join(&name);
        ensure!(disk.is_dir(), "{shown} is no whole disk; name the disk that it is a part of");
        let used = in_use(root, &disk, &name)?;
        ensure!(
            used.is_empty(),
            "{shown} is in use ({}); unmount it, if it is the right one",
            used.join(", ")
        );
        let read = |file: &str| fs::read_to_string(disk.join(file)).map(|text| text.trim().to_owned());
        // In units of 512 bytes, whatever the disk's own (Documentation/ABI/stable/sysfs-block).
        let bytes = read("size")?.parse::<u64>().context("a disk has a size")? * 512;
        ensure!(bytes >= needed, "{shown} has {}, and the image takes {}", Bytes(bytes), Bytes(needed));
        let model =
            read("device/model").or_else(|_| read("device/name")).unwrap_or_else(|_| "disk".to_owned());
        let removable =
            if read("removable").is_ok_and(|flag| flag == "1") { "removable" } else { "not removable" };
        Ok(Self { told: format!("{shown}: {model}, {}, {removable}", Bytes(bytes)), device: real, bytes })
    }

    /// Says what is about to be lost and asks, unless that is settled.
    pub fn confirm(&self, settled: bool) -> Result<()> {
        eprintln!("image: about to write over {} and everything on it", self.told);
        if settled {
            return Ok(());
        }
        ensure!(io::stdin().is_terminal(), "nobody is here to be asked; say it with --yes");
        eprint!("image: write over it? Type yes: ");
        let mut answer = String::new();
        io::stdin().read_line(&mut answer)?;
        if answer.trim() != "yes" {
            bail!("nothing was written");
        }
        Ok(())
    }

    /// Writes the image, and reads it back.
    pub fn write(&self, image: &Path) -> Result<()> {
        let shown = self.device.display();
        let total = fs::metadata(image)?.len();
        ensure!(total <= self.bytes, "the image is larger than {shown}");
        let mut source = File::open(image)?;
        let mut card = OpenOptions::new().read(true).write(true).custom_flags(O_EXCL).open(&self.device);
        let card = card.as_mut().map_err(|e| anyhow::anyhow!("cannot open {shown}: {e}"))?;
        each(&mut source, total, "written", |piece| card.write_all(piece))?;
        card.sync_all().with_context(|| format!("{shown} did not take all of it"))?;
        let (mut source, mut card) = (File::open(image)?, File::open(&self.device)?);
        let mut found = vec![0; PIECE];
        each(&mut source, total, "read back", |piece| {
            card.read_exact(&mut found[..piece.len()])?;
            if found[..piece.len()] != *piece {
                return Err(io::Error::other("it has other bytes than it was given"));
            }
            Ok(())
        })
        .with_context(|| format!("{shown} is not to be trusted"))
    }
}

/// Hands a file over in pieces.
fn each(
    source: &mut File,
    total: u64,
    what: &str,
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<()> {
    let (mut piece, mut done, mut pieces) = (vec![0; PIECE], 0_u64, 0_u64);
    while done < total {
        let bytes = source.read(&mut piece)?;
        ensure!(bytes > 0, "the image became shorter");
        take(&piece[..bytes])?;
        (done, pieces) = (done + bytes as u64, pieces + 1);
        if pieces % LINES == 0 || done >= total {
            eprintln!("image: {what} {} of {}", Bytes(done), Bytes(total));
        }
    }
    Ok(())
}

/// What of a disk the system uses: places where it is mounted, swap, and what is built on it.
fn in_use(root: &Path, disk: &Path, name: &str) -> Result<Vec<String>> {
    let mut numbers = Vec::new();
    let mut names = vec![name.to_owned()];
    let mut used = Vec::new();
    let mut parts = vec![disk.to_owned()];
    for entry in fs::read_dir(disk)?.filter_map(Result::ok) {
        if entry.path().join("partition").exists() {
            names.push(entry.file_name().to_string_lossy().into_owned());
            parts.push(entry.path());
        }
    }
    for part in parts {
        numbers.extend(fs::read_to_string(part.join("dev")).map(|text| text.trim().to_owned()));
        let holders = fs::read_dir(part.join("holders")).into_iter().flatten().filter_map(Result::ok);
        used.extend(holders.map(|holder| format!("part of {}", holder.file_name().to_string_lossy())));
    }
    let mounts = fs::read_to_string(root.join("proc/self/mountinfo"))?;
    for line in mounts.lines() {
        let mut fields = line.split(' ');
        if let (Some(number), Some(place)) = (fields.nth(2), fields.nth(1))
            && numbers.iter().any(|known| known == number)
        {
            used.push(format!("mounted at {place}"));
        }
    }
    let swaps = fs::read_to_string(root.join("proc/swaps")).unwrap_or_default();
    let swapped = |line: &&str| {
        names.iter().any(|name| line.split_whitespace().next() == Some(&format!("/dev/{name}")))
    };
    used.extend(swaps.lines().filter(swapped).map(|_| "swap".to_owned()));
    Ok(used)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine with the disks sda, which is mounted, and sdb, which is not.
    fn machine() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        for (disk, number) in [("sda", 0), ("sdb", 16)] {
            write(&format!("dev/{disk}"), "");
            write(&format!("dev/{disk}1"), "");
            write(&format!("sys/block/{disk}/size"), "4194304\n");
            write(&format!("sys/block/{disk}/removable"), "1\n");
            write(&format!("sys/block/{disk}/dev"), &format!("8:{number}\n"));
            write(&format!("sys/block/{disk}/{disk}1/partition"), "1\n");
            write(&format!("sys/block/{disk}/{disk}1/dev"), &format!("8:{}\n", number + 1));
        }
        write(
            "proc/self/mountinfo",
            "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n23 22 0:5 / /proc rw - proc proc rw\n",
        );
        write("proc/swaps", "Filename Type Size Used Priority\n");
        folder
    }

    #[test]
    fn only_a_whole_disk_that_nobody_uses_is_written() {
        let machine = machine();
        let find = |disk: &str| {
            Card::find_below(machine.path(), &machine.path().join("dev").join(disk), 1 << 30)
                .map(|card| card.told)
        };
        let told = find("sdb").unwrap();
        assert!(told.ends_with("disk, 2.00 GiB, removable"), "{told}");
        assert!(find("sda").unwrap_err().to_string().contains("mounted at /)"));
        assert!(find("sdb1").unwrap_err().to_string().contains("no whole disk"));
        fs::write(machine.path().join("proc/swaps"), "/dev/sdb1 partition 1 0 -2\n").unwrap();
        assert!(find("sdb").unwrap_err().to_string().contains("(swap)"));
        fs::create_dir_all(machine.path().join("sys/block/sdb/sdb1/holders/dm-0")).unwrap();
        assert!(find("sdb").unwrap_err().to_string().contains("part of dm-0"));
    }

    #[test]
    fn a_disk_that_is_too_small_or_a_file_is_refused() {
        let machine = machine();
        let device = machine.path().join("dev/sdb");
        let small = Card::find_below(machine.path(), &device, 4 << 30).map(drop).unwrap_err();
        assert!(small.to_string().contains("the image takes 4"), "{small}");
        let file = Card::find(&device, 1).map(drop).unwrap_err();
        assert!(file.to_string().contains("--out"), "{file}");
    }
}
