//! What a fleet's coordinator and its devices agree on: settings and jobs, what groups a share has, how weights travel.

mod beginning;
pub mod dense;
mod error;
pub mod export;
pub mod limits;
mod reference;
mod sending;
pub mod settings;
mod share;
mod warm;

pub use beginning::beginning;
pub use error::FleetError;
pub use reference::reference;
pub use sending::send;
pub use share::share_of;
pub use warm::warm;
