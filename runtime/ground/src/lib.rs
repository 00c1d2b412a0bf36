//! What every crate needs and none is about: hexadecimal digits, repeatable random numbers (in a row, and by their coordinates), files that a power cut
//! leaves whole, choices that have names, errors that name a path, lines of a
//! terminal's width, and readers of what the kernel says.

pub mod cgroup;
pub mod file;
pub mod hex;
pub mod kernel;
pub mod names;
pub mod philox;
pub mod random;
pub mod wrap;

mod path_error;

pub use path_error::PathError;
