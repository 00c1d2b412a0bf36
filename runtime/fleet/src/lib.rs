//! Fleet training: the device agent and the coordinator.

pub mod agent;
pub mod coordinator;
mod error;
mod judge;
pub mod settings;
pub mod simulate;

pub use error::FleetError;
pub use judge::ModelJudge;
