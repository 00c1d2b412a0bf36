//! The coordinator: it opens rounds, takes in updates, applies them and tells the devices.
//!
//! `Machine` decides and is pure; `Ledger` remembers; `Closer` applies; [`Coordinator`] runs them on a link. It adds
//! numbers up and opens no model: whoever evaluates adapters does so in an [`EvaluationThread`].

mod aggregation;
mod alert;
mod aliases;
mod backup;
mod carousel;
mod certificates;
mod check;
mod close;
pub mod control;
mod core;
mod countdown;
#[cfg(feature = "dashboard")]
pub mod dashboard;
mod decision;
mod error;
mod evaluation;
mod evaluations;
mod event;
mod folding;
mod handle;
mod ids;
pub mod in_sum;
mod incoming;
mod known;
mod ledger;
mod legacy;
mod machine;
pub mod norms;
mod notice;
mod options;
mod pace;
mod pieces;
mod registry;
mod repeats;
mod restore;
mod rival;
mod round;
mod rows;
pub mod select;
mod serve;
mod state;
pub mod step;
mod surroundings;
pub mod total;
mod validate;
mod view;
mod whole;

pub use alert::{Alerts, Hook};
pub use error::CoordinatorError;
pub use evaluation::{Adapters, EvaluationThread, Evaluator, Ready};
pub use event::Act;
pub use handle::Handle;
pub use ids::{Applied, DeviceNumber, RoundId, Slot};
pub use ledger::{Copied, CoverageRow, Held, LedgerError};
pub use legacy::MOST_LEFT;
pub use notice::Notice;
pub use options::{Options, ReadOut, Renewing, Settling};
pub use restore::{Restored, restore};
pub use rows::{Calibration, HeldOut, Member, RoundRow, Standing};
pub use serve::Coordinator;
pub use step::record_limit;
pub use surroundings::{Clock, Surroundings};
pub use view::{CertificateView, DeviceView, FleetView, LISTED, ROUNDS, RegionView};

#[cfg(test)]
mod tests;
