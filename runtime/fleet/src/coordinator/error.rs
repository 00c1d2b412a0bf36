//! What stops a coordinator.

use super::ledger::LedgerError;
use sprig_learn::LearnError;
use sprig_transport::messages::NameError;
use thiserror::Error;

/// Why a coordinator cannot go on. Started again, it takes up the same round.
#[derive(Debug, Error)]
pub enum CoordinatorError {
    /// Its state.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Settings or adapter.
    #[error(transparent)]
    Learn(#[from] LearnError),
    /// The fleet's name.
    #[error(transparent)]
    Name(#[from] NameError),
}
