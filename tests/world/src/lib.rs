//! Whole fleets in one process and in virtual time: the real coordinator and the real agents, with learners that make their
//! scalars up, over a broker in memory. One seed decides everything: the fleet's settings, who does what when, and what goes
//! wrong with links, brokers, disks, power, clocks, memory and operators. After each step what must always hold is checked;
//! then faults stop, and the run has to come to its end.
//!
//! The same seed has the same course, so that a failure can be looked at again: `cargo xtask sim --seed N`.

mod board;
mod course;
mod deeds;
mod fate;
mod heap;
mod judge;
mod lead;
mod learner;
mod plan;
mod time;

pub use course::{Failure, Report, run};
pub use fate::Deed;
