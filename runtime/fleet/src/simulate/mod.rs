//! Fleets without boards: for load, and for tests of the coordinator.

mod swarm;
mod synthetic;

pub use swarm::{Counts, Swarm};
pub use synthetic::{answer, presence, rules};
