//! Learning: directions, estimators, objectives and optimisers over the dual engine.
//! Pure: no process, no clock and no network, so that a run is a function of its inputs.

pub mod calibration;
pub mod checkpoint;
pub mod choosing;
pub mod confusion;
pub mod data;
pub mod directions;
pub mod dropout;
pub mod error;
pub mod estimator;
pub mod evaluate;
pub mod flow;
pub mod guard;
pub mod judging;
pub mod minibatch;
pub mod objective;
pub mod optimiser;
pub mod outcome;
pub mod planner;
pub mod prefix;
pub mod privacy;
pub mod readout;
pub mod recipe;
pub mod sampling;
pub mod session;
pub mod setting;
pub mod spry;
pub mod trainer;
pub mod trend;
pub mod workload;

pub use error::{FileError, LearnError};
