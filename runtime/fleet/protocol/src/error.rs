//! What can go wrong in a fleet, by who must act.

use crate::settings::SettingsError;
use sprig_budget::BudgetError;
use sprig_engine::adapter::SpecError;
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
    #[error("{source}")]
    Model {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
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
    /// The machine.
    #[error(transparent)]
    Io(#[from] PathError),
    /// What a peer sent cannot be used.
    #[error("{0}")]
    Peer(String),
    /// Our bug.
    #[error("{0}; this is a bug in sprig")]
    Bug(String),
}

impl FleetError {
    /// A problem of the model file at `path`.
    pub fn model(
        path: &std::path::Path,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Model { path: path.to_owned(), source: source.into() }
    }
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
