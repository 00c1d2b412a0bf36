//! Low-rank adapters: which linear layers carry one, where its numbers live, and the file it travels in.

mod asking;
mod basis;
mod file;
mod routing;
mod sites;
mod spec;
mod write;

pub use asking::{Asking, AskingError};
pub use basis::principal_factors;
pub use file::{AdapterError, AdapterFile, AdapterMeta, LoraPair, MAX_RANK};
pub use routing::{Group, Policy, Routing, Sees};
pub use sites::{Adapter, Pair};
pub use spec::{AdapterSpec, Kind, Place, SpecError, Tensor};
