//! Which board this is, and what it can hold.
//!
//! A profile is a file in `boards/`, embedded in the program, or one of the user's in `/etc/sprig/boards.d`. [`detect`]
//! reads the device tree, the CPU, the memory and the cgroup below a root folder (`/` on a real machine, a fixture in a
//! test) and picks the board on which all of them agree; [`detect_as`] takes the user's word for the board instead.
//! [`Condition`] says in the same way how it fares at this moment.

mod board;
mod boards;
mod condition;
mod detect;
mod facts;
mod profile;
mod recognise;
mod slots;

pub use board::{Board, Cores, Feature, Storage};
pub use boards::{BoardError, Boards, OVERRIDES};
pub use condition::{Condition, Hold, Sensor};
pub use detect::{Detected, described, detect, detect_as};
pub use recognise::How;
pub use slots::Slots;
