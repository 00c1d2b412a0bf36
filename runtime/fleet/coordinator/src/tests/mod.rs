//! Tests of the whole coordinator.

mod backup;
mod blobs;
mod conduct;
mod dense;
mod gate;
mod kill;
mod ledger;
mod legacy;
mod numbers;
mod pace;
mod random;
mod rogue;
mod rounds;
mod secure;
mod served;
mod sums;
mod two;
mod upgrade;
mod world;
