//! The read-out over a fleet, in one round: every device sends its sums once, and their total is all that a fit needs.
//!
//! Sums are whole numbers over [`Directions`](super::Directions) that follow from the model's shape alone, so that neither
//! the dealing of examples nor the order in which sums arrive changes a bit of the total. Rows are rounded more coarsely
//! than those of one device by itself, for bytes: [`FleetSums`] says how, `packed.rs` how they travel. There is no sample to
//! choose by: what [`solve`](solve()) chooses follows from the sums.

mod gather;
mod packed;
pub mod privacy;
mod solve;
mod sums;

pub use gather::{Gatherer, gathering_needs};
pub use packed::most_bytes;
pub use solve::{Solved, adapt, solve, solving_needs};
pub use sums::{Flaw, FleetSums, Shape};
