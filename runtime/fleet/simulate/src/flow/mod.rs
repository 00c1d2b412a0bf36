//! Flow and what it is compared with, on the same devices, data, adapter and number of steps (specification of Flow, 5).

mod closed;
mod control;
mod device;
mod finding;
mod fleet;
mod member;
mod study;

pub use control::Control;
pub use finding::{Finding, Joined, Share};
pub use study::{FlowFollower, FlowStudy};
