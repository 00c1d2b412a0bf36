//! Low-rank adapters: which linear layers carry one, where its numbers live, and the file it travels in.

mod asking;
mod basis;
mod carried;
mod express;
mod file;
mod merge;
mod peft;
mod personal;
mod routers;
mod routing;
mod sites;
mod spec;
mod two;
mod write;

pub use asking::{Asking, AskingError};
pub use basis::principal_factors;
pub use carried::Carried;
pub use file::{AdapterError, AdapterFile, AdapterMeta, LoraPair, MAX_RANK};
pub use merge::{MERGED_KEY, Merge, Merged};
pub use peft::{PEFT_CONFIG, PEFT_WEIGHTS};
pub use personal::{Form, PersonalFile, PersonalMeta};
pub use routing::{Group, Policy, Routing, Sees};
pub use sites::{Adapter, Pair};
pub use spec::{AdapterSpec, Kind, Place, SpecError, Tensor};
