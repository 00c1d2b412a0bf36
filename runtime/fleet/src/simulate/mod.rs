//! Fleets without boards: for load, and for tests of the coordinator.

mod synthetic;

pub use synthetic::{answer, presence, rules};
