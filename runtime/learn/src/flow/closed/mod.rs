//! Flow in closed form, for labels and choices: the global path is a read-out, the local one a ridge regression of the
//! device's own examples towards it, and the router a small model of each text, fitted on the other half. One pass over
//! the examples and no gradient (docs/algorithm.md, 8.5).

mod device;
mod local;
mod path;
mod router;

pub use device::{Derived, Halves};
pub use local::{Local, MOST_EXAMPLES};
pub use path::{Paths, Row};
pub use router::{Router, Share};

#[cfg(test)]
mod tests;
