//! What the tests of several crates share. A dev-dependency of theirs and nothing else: it panics where something is
//! wrong, as tests do.
#![allow(missing_docs, clippy::unwrap_used)]

pub mod group;
pub mod hostile;
pub mod model;
pub mod mosquitto;
pub mod power;
pub mod random;
