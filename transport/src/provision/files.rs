//! Folders that appear whole or not at all.

use super::ProvisionError;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A folder in the making; removed unless it is published. Only its owner may enter it.
pub(super) struct Folder(TempDir);

impl Folder {
    /// Begins a folder in the parent of `place`, where it can be renamed to.
    pub fn beside(place: &Path) -> Result<Self, ProvisionError> {
        let parent = parent(place);
        fs::create_dir_all(parent).map_err(at(parent))?;
        let made = tempfile::Builder::new().prefix(".sprig-provision-").tempdir_in(parent);
        Ok(Self(made.map_err(at(parent))?))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file others may read.
    pub fn write(&self, name: &str, text: &str) -> Result<(), ProvisionError> {
        create(&self.path().join(name), text, 0o644)
    }

    /// Writes a file that only its owner may read.
    pub fn secret(&self, name: &str, text: &str) -> Result<(), ProvisionError> {
        create(&self.path().join(name), text, 0o600)
    }

    /// Gives it its name: `place` must be missing or an empty folder.
    pub fn publish(self, place: &Path) -> Result<(), ProvisionError> {
        sync_dir(self.path())?;
        fs::rename(self.path(), place).map_err(at(place))?;
        // The name it had is gone, so there is nothing left to remove.
        let _ = self.0.keep();
        sync_dir(parent(place))
    }
}

/// Whether nothing is there, or an empty folder.
pub(super) fn is_vacant(path: &Path) -> Result<bool, ProvisionError> {
    match fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(at(path)(error)),
    }
}

/// Makes the folder unless it is there.
pub(super) fn ensure_dir(path: &Path) -> Result<(), ProvisionError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(at(path)(error)),
        _ => Ok(()),
    }
}

/// Reads a small text file.
pub(super) fn read(path: &Path) -> Result<String, ProvisionError> {
    let mut text = String::new();
    let file = File::open(path).map_err(at(path))?;
    file.take(64 << 10).read_to_string(&mut text).map_err(at(path))?;
    Ok(text)
}

/// Replaces a file in one step.
pub(super) fn replace(path: &Path, text: &str) -> Result<(), ProvisionError> {
    let next = path.with_extension("next");
    let _ = fs::remove_file(&next);
    create(&next, text, 0o644)?;
    fs::rename(&next, path).map_err(at(path))?;
    sync_dir(parent(path))
}

fn create(path: &Path, text: &str, mode: u32) -> Result<(), ProvisionError> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let written = file.and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(at(path))
}

fn sync_dir(path: &Path) -> Result<(), ProvisionError> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(at(path))
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> ProvisionError {
    let path: PathBuf = path.to_owned();
    move |source| ProvisionError::Io { path, source }
}
