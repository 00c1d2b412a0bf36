//! Tests of the whole coordinator.

mod disk;
mod kill;
mod random;
mod world;
