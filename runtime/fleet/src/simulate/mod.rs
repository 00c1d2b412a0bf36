//! Fleets without boards: for load, for learning curves, and for tests of the coordinator.

mod deal;
mod fleet;
mod load;
mod study;
mod swarm;
mod synthetic;
mod wire;

pub use deal::Skew;
pub use load::{Load, LoadError, Plan, coordinate, load};
pub use study::{Dealt, Findings, Follower, Point, Study};
pub use swarm::{Counts, Swarm};
pub use synthetic::{answer, presence, rules};

#[cfg(test)]
mod tests;
