//! What can go wrong while learning, by who must act.

use crate::data::DataError;
use crate::setting::SettingError;
use sprig_budget::BudgetError;
use sprig_engine::adapter::SpecError;
use sprig_engine::dual::BatchError;
use sprig_engine::gguf::GgufError;
use sprig_engine::model::{ModelError, PassError};
use sprig_engine::tokenizer::TokenizerError;
use sprig_ground::PathError;
use std::path::PathBuf;
use thiserror::Error;

/// Anything that stops a training, an evaluation or a checkpoint.
#[derive(Debug, Error)]
pub enum LearnError {
    /// The user's data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The user's adapter settings.
    #[error(transparent)]
    Adapter(#[from] SpecError),
    /// Over budget, or our bug.
    #[error(transparent)]
    Budget(#[from] BudgetError),
    /// The model file.
    #[error("{}: {source}", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// What is wrong with it.
        source: FileError,
    },
    /// A batch the model cannot run: data made with another tokenizer.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// A checkpoint that cannot be used.
    #[error("checkpoint {}: {problem}", path.display())]
    Checkpoint {
        /// Its path.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A read-out's sums that cannot be used.
    #[error("sums {}: {problem}", path.display())]
    Sums {
        /// Their file.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// The machine.
    #[error(transparent)]
    Io(#[from] PathError),
    /// A device's update that cannot be applied. Nothing of it was.
    #[error("update of device {number}: {problem}")]
    Update {
        /// Number of the device.
        number: u32,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// A setting that cannot be used.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// Settings that contradict each other.
    #[error("{0}")]
    Settings(String),
}

impl From<PassError> for LearnError {
    fn from(error: PassError) -> Self {
        match error {
            PassError::Batch(error) => error.into(),
            PassError::Budget(error) => error.into(),
        }
    }
}

/// A model file that cannot be used.
#[derive(Debug, Error)]
pub enum FileError {
    /// It is no GGUF file, or cannot be read.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// It holds no model of a known family.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Its tokenizer is none we know.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
}

impl FileError {
    /// Whether the disk failed, and not the file.
    pub fn is_io(&self) -> bool {
        match self {
            Self::Gguf(e) => e.is_io(),
            Self::Model(e) => e.is_io(),
            Self::Tokenizer(_) => false,
        }
    }
}
