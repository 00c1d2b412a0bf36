//! Fleets without boards: for load, and for tests of the coordinator.

mod load;
mod swarm;
mod synthetic;

pub use load::{Load, LoadError, Plan, coordinate, load};
pub use swarm::{Counts, Swarm};
pub use synthetic::{answer, presence, rules};
