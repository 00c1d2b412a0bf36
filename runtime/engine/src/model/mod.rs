//! Models, written once over the dual operations.

mod backward;
mod cache;
mod checkpoints;
mod deciding;
mod decode;
mod error;
mod family;
mod forward;
mod geometry;
#[cfg(test)]
mod isa_tests;
mod joining;
mod layout;
mod module;
mod parts;
mod queries;
mod read;
mod ropes;
mod routes;
mod stream;
mod transformer;
mod window;

pub use cache::KvCache;
pub use checkpoints::Checkpoints;
pub use decode::{GenerateError, Generator, PREFILL};
pub use error::{ModelError, PassError};
pub use family::{Extra, Family, Pattern};
pub use forward::{Pass, PassInput, Tap};
pub use geometry::Geometry;
pub use layout::{PassLayout, PassSize};
pub use module::Module;
pub use parts::WeightBytes;
pub use read::Read;
pub use ropes::Ropes;
pub use routes::RouteSize;
pub use stream::Stream;
pub use transformer::{Block, Transformer};
pub use window::Window;
