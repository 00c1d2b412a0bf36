//! One training at a time for each output: two would take each other's checkpoint, and the last to end would win.

use crate::exit::{Exit, Failure};
use crate::files::beside;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// An output that is claimed, by a locked file beside it that goes with the claim. A process that is killed leaves the file,
/// but not the lock.
pub struct Alone {
    path: PathBuf,
    /// Closing it gives up the lock.
    _file: File,
}

impl Alone {
    /// Claims `out`. None where no file can be made or locked there: what writes the output has more to say about that.
    ///
    /// # Errors
    /// [`Exit::Usage`] where another process has it.
    pub fn claim(out: &Path) -> Result<Option<Self>, Failure> {
        let path = beside(out, "lock");
        loop {
            // Locked as it is read: a file that is open for writing would keep its file system from becoming read-only.
            let made = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
            let (Ok(_), Ok(file)) = (made.map(drop), File::open(&path)) else { return Ok(None) };
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::Error(_)) => return Ok(None),
                Err(TryLockError::WouldBlock) => {
                    let shown = out.display();
                    let message = format!(
                        "another process trains --out {shown} at this moment; wait until it is done, or name another --out"
                    );
                    return Err(Failure::new(Exit::Usage, message));
                }
            }
            // Whoever had it before may have removed it between opening and locking.
            let place = |found: fs::Metadata| (found.dev(), found.ino());
            match (fs::metadata(&path).map(place), file.metadata().map(place)) {
                (Ok(there), Ok(own)) if there == own => return Ok(Some(Self { path, _file: file })),
                _ => {}
            }
        }
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path); // it says nothing without its lock
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_is_claimed_once_and_free_again_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let (out, other) = (folder.path().join("a.gguf"), folder.path().join("b.gguf"));
        let claim = Alone::claim(&out).unwrap();
        assert!(claim.is_some());
        assert!(Alone::claim(&out).err().unwrap().to_string().contains("a.gguf"));
        assert!(Alone::claim(&other).unwrap().is_some());
        drop(claim);
        assert!(Alone::claim(&out).unwrap().is_some());
        assert!(!folder.path().join("a.gguf.lock").exists());
        assert!(Alone::claim(Path::new("/no/such/folder/a")).unwrap().is_none());
    }
}
