//! Tests of the whole coordinator.

mod blobs;
mod dense;
mod kill;
mod ledger;
mod random;
mod rogue;
mod rounds;
mod served;
mod sums;
mod world;
