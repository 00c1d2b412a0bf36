//! The coordinator: it opens rounds, takes in updates, applies them and tells the devices.
//!
//! [`Machine`] decides and is pure; [`Ledger`] remembers; [`Closer`] applies; [`Coordinator`] runs them on a link.

mod announce;
mod carousel;
mod close;
pub mod control;
mod core;
mod countdown;
#[cfg(feature = "dashboard")]
pub mod dashboard;
mod error;
mod event;
mod handle;
mod incoming;
mod intake;
mod judge;
mod ledger;
mod machine;
mod options;
mod registry;
mod rounds;
pub mod select;
mod serve;
mod state;
mod validate;
mod view;

pub use close::{Closer, record_limit};
pub use error::CoordinatorError;
pub use event::{Effect, Entry, Event, Judgement, Millis, Notice, Outcome, Unreadable};
pub use handle::Handle;
pub use judge::Judge;
pub use ledger::{Ledger, LedgerError, ResultRow, SnapshotRow};
pub use machine::Machine;
pub use options::Options;
pub use serve::Coordinator;
pub use state::{DeviceRow, Member, Saved, Stage, State};
pub use view::{DeviceView, FleetView, LISTED, ROUNDS, RegionView, RoundRow};

#[cfg(test)]
mod tests;
