//! What can go wrong in a fleet, by who must act.

use crate::settings::SettingsError;
use sprig_budget::BudgetError;
use sprig_engine::adapter::{AdapterError, SpecError};
use sprig_engine::gguf::GgufError;
use sprig_engine::tokenizer::TokenizerError;
use sprig_ground::PathError;
use sprig_learn::LearnError;
use sprig_learn::data::DataError;
use sprig_run::RunError;
use sprig_transport::link::LinkError;
use sprig_transport::outbox::OutboxError;
use std::path::PathBuf;
use thiserror::Error;

/// Anything that stops a device, real or simulated.
#[derive(Debug, Error)]
pub enum FleetError {
    /// The user's configuration.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The broker, the network or the identity.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The device's store.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// The user's data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Learning itself.
    #[error(transparent)]
    Learn(#[from] LearnError),
    /// Planning a run and keeping it within its plan.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Over budget.
    #[error(transparent)]
    Budget(#[from] BudgetError),
    /// The model file, which the message names.
    #[error(transparent)]
    Model(#[from] GgufError),
    /// The adapter's file, which the message names.
    #[error(transparent)]
    Adapter(#[from] AdapterError),
    /// The fleet trains another model.
    #[error("{}: this is not the fleet's base model (SHA-256 {found}); the fleet trains on {wanted}", path.display())]
    OtherModel {
        /// The file.
        path: PathBuf,
        /// Its digest.
        found: String,
        /// The digest of the fleet's.
        wanted: String,
    },
    /// A run is over, and nobody sends its adapter.
    #[error(
        "run {:.8} is over after {rounds} rounds, but for {patience} s neither the broker nor a coordinator has sent its \
         adapter; start `sprig coordinate` with the run's settings and ledger again, which leaves it with the broker, or \
         copy the file that it exports",
        run
    )]
    Unserved {
        /// The run, hexadecimal.
        run: String,
        /// Rounds it had.
        rounds: u32,
        /// Seconds that were waited.
        patience: f64,
    },
    /// Numbers that are not of this training.
    #[error(
        "an adapter of {found} numbers is not that of these settings, which has {wanted}; use the settings of the run"
    )]
    OtherAdapter {
        /// Numbers there are.
        found: usize,
        /// Numbers there should be.
        wanted: usize,
    },
    /// The machine.
    #[error(transparent)]
    Io(#[from] PathError),
    /// Our bug.
    #[error("{0}; this is a bug in sprig")]
    Bug(String),
}

impl From<SpecError> for FleetError {
    fn from(error: SpecError) -> Self {
        Self::Learn(error.into())
    }
}

impl From<TokenizerError> for FleetError {
    fn from(error: TokenizerError) -> Self {
        Self::Learn(LearnError::Data(error.into()))
    }
}
