//! What can be wrong with a ledger, and what to do about it.

use sprig_ground::PathError;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why the coordinator's state cannot be used.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// Another process has it.
    #[error("{} is in use by another coordinator; stop that one, or give this one another state folder", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// It is not what a coordinator writes, or was damaged.
    #[error("{} is damaged: {problem}; move it away to begin the run anew, or put a copy back", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        problem: String,
    },
    /// A later program wrote it.
    #[error("{} has format {found}, this program reads 1 to {known}; go on with sprig {program}, which wrote it last", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: String,
        /// The last of ours.
        known: u32,
        /// Version of the program that wrote it.
        program: String,
    },
    /// It holds another run.
    #[error("{} holds a run with other settings ({difference}); finish that run with its own, name another folder as `state` under [coordinator], or remove this file if nobody needs that run", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The first difference.
        difference: String,
    },
    /// No run was begun in this folder.
    #[error("there is no run in {}; begin one with `sprig coordinate`", path.display())]
    None {
        /// The state folder.
        path: PathBuf,
    },
    /// A copy would go over a file.
    #[error("{} is there already, and a copy of the ledger goes over no file; name another, or remove that one", path.display())]
    There {
        /// The file.
        path: PathBuf,
    },
    /// A copy would go over a ledger.
    #[error(
        "{} holds a run already; put the copy in another state folder ([coordinator] state), or have that ledger moved aside with \
         --replace", path.display()
    )]
    Occupied {
        /// The file.
        path: PathBuf,
    },
    /// No kept adapter, or more than one, has a digest that begins so.
    #[error(
        "{} a digest that begins with `{wanted}`; the last begins with {:.8}, `sprig fleet history` lists all and the oldest are not kept",
        if *found == 0 { "no kept adapter has".to_owned() } else { format!("{found} kept adapters have") }, last
    )]
    Adapter {
        /// The digits asked for.
        wanted: String,
        /// How many there are.
        found: usize,
        /// Digest of the last adapter.
        last: String,
    },
    /// The machine.
    #[error(transparent)]
    Io(#[from] PathError),
}

impl LedgerError {
    /// The same of another file, which this one was made of.
    pub(crate) fn of(self, file: &Path) -> Self {
        let path = file.to_owned();
        match self {
            Self::Damaged { problem, .. } => Self::Damaged { path, problem },
            Self::Format { found, known, program, .. } => Self::Format { path, found, known, program },
            other => other,
        }
    }
}
