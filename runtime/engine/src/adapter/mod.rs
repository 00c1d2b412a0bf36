//! Low-rank adapters: which linear layers carry one, where its numbers live, and the file it travels in.

mod basis;
mod file;
mod sites;
mod write;

pub use basis::principal_factors;
pub use file::{AdapterError, AdapterFile, LoraPair, MAX_RANK};
pub use sites::{Adapter, AdapterSpec, Kind, Pair, SpecError, Tensor};
