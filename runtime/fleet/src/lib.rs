//! Fleet training: the device agent and the coordinator.

pub mod coordinator;
pub mod simulate;
