//! Which board this is, and what it can hold.
//!
//! A board is a file in `boards/`, embedded in the program. [`detect`] reads the device tree, the CPU,
//! the memory and the cgroup below a root folder (`/` on a real machine, a fixture in a test) and picks
//! the board that matches; [`detect_as`] takes the user's word for the board instead.

mod board;
mod detect;
mod facts;

pub use board::{Board, Feature, UnknownBoard, boards, by_name};
pub use detect::{Detected, How, detect, detect_as};
