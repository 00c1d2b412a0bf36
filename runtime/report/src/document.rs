//! A file that is one of several records: which one, its content tells.

use crate::profile::Profile;
use crate::record::{self, RecordError, RunRecord};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::path::Path;

/// What messages call a file of which it is not known yet what it is.
const WHAT: &str = "run record, nor a profile";

/// A run's record or a board's profile.
#[derive(Debug)]
pub enum Document {
    /// Of one training.
    Run(Box<RunRecord>),
    /// Of a board at several settings.
    Profile(Box<Profile>),
}

impl Document {
    /// Reads whichever there is.
    ///
    /// # Errors
    /// [`RecordError`], naming the file and where in it.
    pub fn read(path: &Path) -> Result<Document, RecordError> {
        /// What of either says which it is.
        #[derive(Deserialize)]
        struct Head {
            profile_version: Option<IgnoredAny>,
        }
        let bytes = record::content(path, WHAT)?;
        let head: Result<Head, _> = serde_json::from_slice(&bytes);
        Ok(match head {
            Ok(Head { profile_version: Some(_) }) => Self::Profile(Profile::parse(&bytes, path)?.into()),
            // Of what is neither, the error says that it is no run record.
            Ok(_) => Self::Run(RunRecord::parse(&bytes, path)?.into()),
            Err(e) => {
                return Err(RecordError::Bad { path: path.into(), what: WHAT, why: e.to_string() });
            }
        })
    }

    /// What it is, in a word for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Run(_) => "a run record",
            Self::Profile(_) => "a profile",
        }
    }
}
