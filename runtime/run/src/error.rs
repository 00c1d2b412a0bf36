//! What can go wrong before and while something runs, by who must act.

use sprig_budget::{BudgetError, Size};
use sprig_device::BoardError;
use sprig_learn::LearnError;
use sprig_learn::data::DataError;
use thiserror::Error;

/// Anything that stops a run.
#[derive(Debug, Error)]
pub enum RunError {
    /// The model file, the data, the settings or the budget.
    #[error(transparent)]
    Learn(#[from] LearnError),
    /// The kernel refuses its guard.
    #[error("cannot set the data limit (RLIMIT_DATA): {0}")]
    DataLimit(std::io::Error),
    /// A board that is not known by its name, or a profile that is none.
    #[error(transparent)]
    Board(#[from] BoardError),
    /// A share of a memory of unknown size.
    #[error(
        "cannot tell {0} of this machine's memory, for /proc/meminfo cannot be read; give the budget in bytes"
    )]
    UnknownMemory(Size),
}

impl From<BudgetError> for RunError {
    fn from(error: BudgetError) -> Self {
        Self::Learn(error.into())
    }
}

impl From<DataError> for RunError {
    fn from(error: DataError) -> Self {
        Self::Learn(error.into())
    }
}
