//! Files and folders that a power cut leaves as they were or as they should be, never in part.

use crate::PathError;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// What the system gives a new file unless told otherwise: the process's mask takes its share.
const MODE: u32 = 0o666;

/// Puts `bytes` in the place of the file at `path`; see [`replace`].
///
/// # Errors
/// When the disk fails; the file is as it was.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), PathError> {
    replace(path, |out| out.write_all(bytes).map_err(PathError::at("write", path)))
}

/// Writes the file at `path` through a temporary file beside it: write, sync, rename, sync the folder.
/// If `fill` or any step fails, the temporary file is removed and an existing `path` is untouched. What a process that
/// was killed in here left behind is removed by the next one that writes the same `path`.
///
/// # Errors
/// That of `fill`, or that the file cannot be written.
pub fn replace<E: From<PathError>>(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> Result<(), E>,
) -> Result<(), E> {
    replace_with_mode(path, MODE, fill)
}

/// [`replace`] with the permissions of the new file, of which the process's mask takes its share.
///
/// # Errors
/// As [`replace`].
pub fn replace_with_mode<E: From<PathError>>(
    path: &Path,
    mode: u32,
    fill: impl FnOnce(&mut dyn Write) -> Result<(), E>,
) -> Result<(), E> {
    let failed = PathError::at("write", path);
    remove_leftovers(path);
    let (file, temporary) = create_beside(path, mode).map_err(&failed)?;
    // Tells other processes that somebody still writes it. A file system without locks only keeps its leftovers.
    let _ = file.try_lock();
    let mut out = BufWriter::with_capacity(1 << 18, file);
    let done = fill(&mut out).and_then(|()| {
        let file = out.into_inner().map_err(io::IntoInnerError::into_error);
        let placed = file.and_then(|file| file.sync_all()).and_then(|()| fs::rename(&temporary, path));
        placed.map_err(|e| failed(e).into())
    });
    if done.is_err() {
        let _ = fs::remove_file(&temporary); // the first error is the one to report
        return done;
    }
    sync_folder(folder_of(path)).map_err(|e| failed(e.source).into())
}

/// Gives what was made and synced at `made` its name: `path` is what it was or the new file or folder.
///
/// # Errors
/// When the system refuses.
pub fn move_into_place(made: &Path, path: &Path) -> Result<(), PathError> {
    fs::rename(made, path).map_err(PathError::at("move into place", made))?;
    sync_folder(folder_of(path))
}

/// The same without ever going over what is at `path`. On a file system without hard links that is looked at just before.
///
/// # Errors
/// Of kind [`ErrorKind::AlreadyExists`] when something is there; otherwise when the system refuses. Both are then as they were.
pub fn place_new(made: &Path, path: &Path) -> Result<(), PathError> {
    let failed = |e| PathError::new("move into place", path, e);
    match fs::hard_link(made, path) {
        Ok(()) => fs::remove_file(made).map_err(failed)?,
        Err(e) if matches!(e.kind(), ErrorKind::PermissionDenied | ErrorKind::Unsupported) => {
            if path.symlink_metadata().is_ok() {
                return Err(failed(ErrorKind::AlreadyExists.into()));
            }
            fs::rename(made, path).map_err(failed)?;
        }
        Err(e) => return Err(failed(e)),
    }
    sync_folder(folder_of(path))
}

/// A new empty file beside `path` for what is to be put there by [`place_new`], which nobody but its owner reads. What a
/// process that was killed left behind is removed by the next that comes for the same `path`, unless it is locked.
///
/// # Errors
/// When it cannot be made.
pub fn create_aside(path: &Path) -> Result<(File, PathBuf), PathError> {
    remove_leftovers(path);
    create_beside(path, 0o600).map_err(PathError::at("write", path))
}

/// Has the disk keep the names in a folder.
///
/// # Errors
/// When the disk fails.
pub fn sync_folder(folder: &Path) -> Result<(), PathError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(PathError::at("sync", folder))
}

/// Removes a file that may not be there.
///
/// # Errors
/// When it is there and stays.
pub fn remove(path: &Path) -> Result<(), PathError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(PathError::new("remove", path, e)),
        _ => Ok(()),
    }
}

/// The folder that a path is in: `.` for a name alone.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Removes temporary files of `path` that nobody writes any more. They cost space, not correctness: best effort.
fn remove_leftovers(path: &Path) {
    let (Some(name), Ok(entries)) = (path.file_name(), fs::read_dir(folder_of(path))) else { return };
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
fn create_beside(path: &Path, mode: u32) -> io::Result<(File, PathBuf)> {
    let name =
        path.file_name().ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "the path names no file"))?;
    for attempt in 0..1000 {
        let mut temporary = std::ffi::OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".{}-{attempt}.tmp", std::process::id()));
        let temporary = folder_of(path).join(temporary);
        match OpenOptions::new().read(true).write(true).create_new(true).mode(mode).open(&temporary) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            opened => return Ok((opened?, temporary)),
        }
    }
    Err(io::Error::new(ErrorKind::AlreadyExists, "1000 temporary files lie beside it; remove the .tmp files"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn names(folder: &Path) -> Vec<std::ffi::OsString> {
        let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        names
    }

    #[test]
    fn replaces_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        write(&path, b"old").unwrap();
        let failed = replace(&path, |out| {
            out.write_all(b"half of the new").map_err(PathError::at("write", &path))?;
            Err(PathError::new("fill", "state", io::Error::other("power")))
        });
        assert_eq!(failed.unwrap_err().to_string(), "cannot fill state: power");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        write(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(dir.path()), ["state"], "no temporary file stays");
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
        write(&at("a"), b"new").unwrap();
        assert_eq!(names(dir.path()), [".a.9-0.tmp", ".a.b.7-0.tmp", ".a.tmp", ".b.7-0.tmp", "a"]);
    }

    #[test]
    fn the_new_file_has_the_permissions_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let (path, usual) = (dir.path().join("a"), dir.path().join("usual"));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        fs::write(&usual, "").unwrap();
        write(&path, b"1").unwrap();
        assert_eq!(mode(&path), mode(&usual));
        replace_with_mode(&path, 0o600, |_| Ok::<(), PathError>(())).unwrap();
        assert_eq!(mode(&path), 0o600);
    }

    #[test]
    fn a_new_file_goes_over_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("copy");
        let (locked, first) = create_aside(&path).unwrap();
        locked.lock().unwrap();
        let (_, second) = create_aside(&path).unwrap();
        assert!(first.exists() && first != second, "a locked one is no leftover");
        fs::write(&second, "new").unwrap();
        place_new(&second, &path).unwrap();
        let (_, third) = create_aside(&path).unwrap();
        assert_eq!(place_new(&third, &path).unwrap_err().source.kind(), ErrorKind::AlreadyExists);
        assert_eq!((fs::read(&path).unwrap(), third.exists()), (b"new".to_vec(), true));
    }

    #[test]
    fn errors_name_the_path() {
        let dir = tempfile::tempdir().unwrap();
        let (nowhere, made) = (dir.path().join("no/file"), dir.path().join("made"));
        for error in [write(&nowhere, b""), move_into_place(&made, &nowhere), sync_folder(&nowhere)] {
            let error = error.unwrap_err();
            assert_eq!(error.source.kind(), ErrorKind::NotFound);
            assert!(error.path == nowhere || error.path == made, "{error}");
        }
        assert!(remove(&made).is_ok(), "what is not there need not be removed");
        assert_eq!(remove(dir.path()).unwrap_err().action, "remove");
        assert!(write(Path::new("/"), b"").is_err());
    }

    #[test]
    fn a_name_alone_is_in_the_folder_here() {
        assert_eq!(folder_of(Path::new("a")), Path::new("."));
        assert_eq!(folder_of(Path::new("a/b")), Path::new("a"));
        assert_eq!(folder_of(Path::new("/b")), Path::new("/"));
    }

    #[test]
    fn a_file_is_moved_over_another() {
        let dir = tempfile::tempdir().unwrap();
        let (made, path) = (dir.path().join("made"), dir.path().join("path"));
        fs::write(&made, "new").unwrap();
        fs::write(&path, "old").unwrap();
        move_into_place(&made, &path).unwrap();
        assert_eq!((fs::read(&path).unwrap(), made.exists()), (b"new".to_vec(), false));
    }
}
