//! The coordinator: it opens rounds, takes in updates, applies them and tells the devices.
//!
//! [`Machine`] decides and is pure.

mod close;
mod error;
mod event;
mod intake;
mod ledger;
mod machine;
mod options;
mod registry;
mod select;
mod state;
mod validate;
mod view;

pub use close::Closer;
pub use error::CoordinatorError;
pub use event::{Effect, Entry, Event, Judgement, Millis, Notice, Outcome, Unreadable};
pub use ledger::{Ledger, LedgerError, ResultRow, SnapshotRow};
pub use machine::Machine;
pub use options::{Options, Sync};
pub use state::{DeviceRow, Member, Saved, Stage, State};
pub use view::{DeviceView, FleetView, LISTED, ROUNDS, RegionView, RoundRow};
