//! Tests of the whole coordinator.

mod disk;
mod kill;
mod ledger;
mod random;
mod rogue;
mod served;
mod world;
