//! The error of a file that could not be had.

use std::io;
use std::path::{Path, PathBuf};

/// A file or folder with which something was tried in vain.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}", path.display())]
pub struct PathError {
    /// What was tried, as it stands after "cannot": `read`, `move into place`.
    pub action: &'static str,
    /// With what.
    pub path: PathBuf,
    /// Why it failed.
    pub source: io::Error,
}

impl PathError {
    /// `action` on `path` failed because of `source`.
    pub fn new(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self { action, path: path.into(), source }
    }

    /// Turns the system's error into one of `action` on `path`: for `map_err`.
    pub fn at(action: &'static str, path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::new(action, path, source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error;

    #[test]
    fn the_message_names_action_path_and_reason_and_the_reason_stays_an_io_error() {
        let error = PathError::at("read", Path::new("a/b"))(io::ErrorKind::StorageFull.into());
        let text = error.to_string();
        assert!(text.starts_with("cannot read a/b: "), "{text}");
        let source = error.source().and_then(|e| e.downcast_ref::<io::Error>());
        assert_eq!(source.map(io::Error::kind), Some(io::ErrorKind::StorageFull));
    }
}
