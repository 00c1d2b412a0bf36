//! The state partition as an image begins with it: ext4, and made twice the same.

use super::identifier::uuid;
use crate::{packages, sys};
use anyhow::{Context, Result, ensure};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// What it has beside its files, until it grows to the end of the card.
const ROOM: u64 = 96 << 20;

/// Makes it of the files of a folder, `date` in seconds since 1970 being the time of each; returns its bytes.
pub(super) fn make(files: &Path, image: &Path, (align, date): (u64, &str)) -> Result<u64> {
    let bytes = (bytes_of(files)? * 11 / 10 + ROOM).next_multiple_of(align);
    fs::File::create(image)?.set_len(bytes)?;
    let id = uuid("state");
    let mut make = sys::command(packages::find_or_install("mkfs.ext4", "e2fsprogs")?, true);
    make.args(["-q", "-F", "-L", "state", "-U", &id, "-E"]);
    make.arg(format!("hash_seed={id},root_owner=0:0,lazy_itable_init=0")).arg("-d").arg(files);
    sys::check(make.arg(image).env("E2FSPROGS_FAKE_TIME", date))?;
    // `mkfs.ext4` before 1.47.1 takes over when a file's entry was changed last, which nobody can set in a folder, and when
    // it was read last, which for a folder is when its files were looked for.
    let mut script = String::new();
    for path in paths(files)? {
        let path = path.strip_prefix(files)?.to_str().context("a file's name is not UTF-8")?;
        ensure!(!path.contains(['"', '\n']), "a file's name has a quotation mark or a line's end: {path}");
        for field in ["ctime", "atime"] {
            writeln!(script, "set_inode_field \"/{path}\" {field} @{date}")?;
        }
    }
    let commands = image.with_extension("commands");
    fs::write(&commands, script)?;
    let mut set = sys::command(packages::find_or_install("debugfs", "e2fsprogs")?, true);
    let set = set.args(["-w", "-f"]).arg(&commands).arg(image).env("E2FSPROGS_FAKE_TIME", date).output()?;
    // It exits with 0 whatever became of its commands; what failed is told after the line with its version.
    let said = String::from_utf8_lossy(&set.stderr);
    ensure!(set.status.success() && said.lines().count() < 2, "debugfs failed: {said}");
    Ok(bytes)
}

/// A folder, and all that is in it.
fn paths(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = vec![folder.to_owned()];
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.extend(paths(&entry.path())?);
        } else {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn bytes_of(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() { bytes_of(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;
    use std::thread::sleep;
    use std::time::Duration;

    const DATE: u64 = 1_700_000_000;

    fn image(files: &Path, image: &Path) -> Vec<u8> {
        let touch = ["-exec", "touch", "--no-dereference", "--date", &format!("@{DATE}"), "{}", "+"];
        assert!(Command::new("find").arg(files).args(touch).status().unwrap().success());
        make(files, image, (4 << 20, &DATE.to_string())).unwrap();
        fs::read(image).unwrap()
    }

    /// Folders that were read at other times, of files that came at other times.
    #[test]
    fn the_same_files_make_the_same_partition() {
        let folder = tempfile::tempdir().unwrap();
        let made = ["a", "b"].map(|name| {
            let files = folder.path().join(name);
            fs::create_dir_all(files.join("sprig/identity")).unwrap();
            fs::write(files.join("sprig/agent.toml"), "name = \"one\"\n").unwrap();
            fs::write(files.join("sprig/identity/client.key"), vec![7; 5000]).unwrap();
            sleep(Duration::from_millis(1100)); // the file system counts in seconds
            image(&files, &folder.path().join(format!("{name}.ext4")))
        });
        assert!(made[0] == made[1], "made twice, the partitions differ");
    }
}
