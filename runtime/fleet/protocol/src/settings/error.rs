//! What can be wrong with a configuration.

use sprig_ground::PathError;
use sprig_learn::setting::SettingError;
use std::path::PathBuf;
use thiserror::Error;

/// A configuration that cannot be used. All are for the user to mend.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] PathError),
    /// It is not a configuration.
    #[error("{}: {bytes} bytes exceed the limit of {limit} for a configuration; is it the right file?", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The largest that is read.
        limit: u64,
    },
    /// It does not say what it should; the message has line and column.
    #[error("{}: {problem}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        problem: String,
    },
    /// A value is out of range, or two contradict each other.
    #[error("[{table}] {field} = {found}: {remedy}")]
    Value {
        /// Table of the configuration.
        table: &'static str,
        /// Key in it.
        field: &'static str,
        /// What it says.
        found: String,
        /// What it may say.
        remedy: String,
    },
}

impl From<SettingError> for SettingsError {
    fn from(error: SettingError) -> Self {
        Self::value("train", error.setting.key(), error.found, error.problem)
    }
}

impl SettingsError {
    /// A value of `[table] field` that cannot be used, and what to write instead.
    pub fn value(
        table: &'static str,
        field: &'static str,
        found: impl std::fmt::Display,
        remedy: impl Into<String>,
    ) -> Self {
        Self::Value { table, field, found: found.to_string(), remedy: remedy.into() }
    }
}
