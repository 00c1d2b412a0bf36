//! What can go wrong while learning, by who must act.

use crate::data::DataError;
use sprig_budget::BudgetError;
use sprig_engine::adapter::SpecError;
use sprig_engine::dual::BatchError;
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
    /// The machine.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Settings that contradict each other.
    #[error("{0}")]
    Settings(String),
}
