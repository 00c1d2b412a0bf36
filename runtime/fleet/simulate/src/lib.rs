//! Fleets without boards: for load, for learning curves, and for tests of the coordinator.

mod attack;
mod course;
mod deal;
mod fleet;
mod flow;
mod load;
mod personal;
mod readout;
mod rows;
mod study;
mod swarm;
mod synthetic;
mod trouble;
mod wire;

pub use attack::Attack;
pub use course::{Dealt, Findings, Follower, Point};
pub use deal::Skew;
pub use flow::{Control, Finding, FlowFollower, FlowStudy, Joined, Share};
pub use load::{Load, LoadError, Plan, coordinate, load};
pub use personal::{AccG, AccP};
pub use study::Study;
pub use swarm::{Counts, Kind, Swarm};
pub use synthetic::{answer, presence, rules};
pub use trouble::{Habits, SLOWER, Trouble};

#[cfg(test)]
mod earnest;
#[cfg(test)]
mod readout_tests;
#[cfg(test)]
mod secure_tests;
#[cfg(test)]
mod tests;
