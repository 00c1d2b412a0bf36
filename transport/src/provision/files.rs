//! Folders that appear whole or not at all.

use super::ProvisionError;
use sprig_ground::{PathError, file};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use tempfile::TempDir;

/// Permissions of a file that others may read.
const SHARED: u32 = 0o644;
/// Permissions of a file that only its owner may read.
const SECRET: u32 = 0o600;

/// A folder in the making; removed unless it is published. Only its owner may enter it.
pub(super) struct Folder(TempDir);

impl Folder {
    /// Begins a folder in the parent of `place`, where it can be renamed to.
    pub(super) fn beside(place: &Path) -> Result<Self, ProvisionError> {
        let parent = file::folder_of(place);
        fs::create_dir_all(parent).map_err(PathError::at("make the folder", parent))?;
        let made = tempfile::Builder::new().prefix(".sprig-provision-").tempdir_in(parent);
        Ok(Self(made.map_err(PathError::at("make a folder in", parent))?))
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file others may read.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<(), ProvisionError> {
        create(&self.path().join(name), text, SHARED)
    }

    /// Writes a file that only its owner may read.
    pub(super) fn secret(&self, name: &str, text: &str) -> Result<(), ProvisionError> {
        create(&self.path().join(name), text, SECRET)
    }

    /// Gives it its name: `place` must be missing or an empty folder.
    pub(super) fn publish(self, place: &Path) -> Result<(), ProvisionError> {
        file::sync_folder(self.path())?;
        file::move_into_place(self.path(), place)?;
        // The name it had is gone, so there is nothing left to remove.
        let _ = self.0.keep();
        Ok(())
    }
}

/// Whether nothing is there, or an empty folder.
pub(super) fn is_vacant(path: &Path) -> Result<bool, ProvisionError> {
    match fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(PathError::new("look into", path, error).into()),
    }
}

/// Makes the folder unless it is there.
pub(super) fn ensure_dir(path: &Path) -> Result<(), ProvisionError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(PathError::new("make the folder", path, error).into())
        }
        _ => Ok(()),
    }
}

/// Reads a small text file.
pub(super) fn read(path: &Path) -> Result<String, ProvisionError> {
    let mut text = String::new();
    let file = File::open(path).map_err(PathError::at("open", path))?;
    file.take(64 << 10).read_to_string(&mut text).map_err(PathError::at("read", path))?;
    Ok(text)
}

/// Replaces a file in one step; others may read it.
pub(super) fn replace(path: &Path, text: &str) -> Result<(), ProvisionError> {
    file::replace_with_mode(path, SHARED, |out| {
        Ok(out.write_all(text.as_bytes()).map_err(PathError::at("write", path))?)
    })
}

fn create(path: &Path, text: &str, mode: u32) -> Result<(), ProvisionError> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let written = file.and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    Ok(written.map_err(PathError::at("write", path))?)
}
