//! Replacing a file so that a power cut leaves the old content or the new, never a part.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Writes `path` through a temporary file in the same directory: write, fsync, rename, fsync the directory.
/// If `fill` or any step fails, the temporary file is removed and an existing `path` is untouched. What a process that
/// was killed in here left behind is removed by the next one that writes the same `path`.
pub fn replace_file(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    remove_leftovers(path);
    let (file, temporary) = create_beside(path)?;
    // Tells other processes that somebody still writes it. A file system without locks only keeps its leftovers.
    let _ = file.try_lock();
    let done = fill_and_sync(file, fill).and_then(|()| fs::rename(&temporary, path));
    if let Err(e) = done {
        let _ = fs::remove_file(&temporary); // the first error is the one to report
        return Err(e);
    }
    File::open(directory_of(path))?.sync_all()
}

fn fill_and_sync(file: File, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 18, file);
    fill(&mut out)?;
    out.into_inner().map_err(|e| e.into_error())?.sync_all()
}

/// Removes temporary files of `path` that nobody writes any more. They cost space, not correctness: best effort.
fn remove_leftovers(path: &Path) {
    let (Some(name), Ok(entries)) = (path.file_name(), fs::read_dir(directory_of(path))) else { return };
    for entry in entries.flatten() {
        if is_temporary_of(entry.file_name().as_bytes(), name.as_bytes())
            && File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok())
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Whether `entry` is a name that [`create_beside`] makes for `name`: `.NAME.PROCESS-ATTEMPT.tmp`.
fn is_temporary_of(entry: &[u8], name: &[u8]) -> bool {
    let numbers = |rest: &[u8]| rest.iter().all(|b| b.is_ascii_digit() || *b == b'-');
    entry
        .strip_prefix(b".")
        .and_then(|rest| rest.strip_prefix(name))
        .and_then(|rest| rest.strip_prefix(b"."))
        .and_then(|rest| rest.strip_suffix(b".tmp"))
        .is_some_and(numbers)
}

/// A new file whose name no other process uses. A name that cannot be had is stepped over.
fn create_beside(path: &Path) -> io::Result<(File, PathBuf)> {
    let name =
        path.file_name().ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "the path names no file"))?;
    for attempt in 0..1000 {
        let mut temporary = std::ffi::OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".{}-{attempt}.tmp", std::process::id()));
        let temporary = directory_of(path).join(temporary);
        match OpenOptions::new().write(true).create_new(true).open(&temporary) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            opened => return Ok((opened?, temporary)),
        }
    }
    Err(io::Error::new(ErrorKind::AlreadyExists, "1000 temporary files lie beside it; remove the .tmp files"))
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        replace_file(&path, |out| out.write_all(b"old")).unwrap();
        let failed = replace_file(&path, |out| {
            out.write_all(b"half of the new")?;
            Err(io::Error::other("power"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "power");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        replace_file(&path, |out| out.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn leftovers_of_the_same_file_go_and_others_stay() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        // Dead, dead, being written, of another file, and no name of ours.
        for name in [".a.7-0.tmp", ".a.8-12.tmp", ".a.9-0.tmp", ".b.7-0.tmp", ".a.b.7-0.tmp", ".a.tmp"] {
            fs::write(at(name), "part").unwrap();
        }
        let living = File::open(at(".a.9-0.tmp")).unwrap();
        living.lock().unwrap();
        replace_file(&at("a"), |out| out.write_all(b"new")).unwrap();
        let mut left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".a.9-0.tmp", ".a.b.7-0.tmp", ".a.tmp", ".b.7-0.tmp", "a"]);
    }
}
