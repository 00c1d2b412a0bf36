//! The one way to a run: a model file opened ([`Base`]), data read ([`Data`]), memory planned and guarded ([`Planned`]),
//! weights brought in ([`Engine`]), and what then steps kept within its plan ([`Running`]). Every command goes through it,
//! whatever it does with the model and wherever its settings came from.
//!
//! This floor knows the model and the process, and neither the network nor the terminal.

mod base;
mod budget;
mod data;
mod engine;
mod error;
mod evaluation;
mod guards;
mod phase;
mod planned;
mod running;
mod speed;
mod watch;

pub use base::Base;
pub use budget::{budget, threads};
pub use data::Data;
pub use engine::Engine;
pub use error::RunError;
pub use evaluation::evaluate;
pub use guards::Guards;
pub use phase::{apart, begin, let_go};
pub use planned::Planned;
pub use running::{Retune, Running};
pub use speed::{forward_flop, rate};
pub use watch::Moved;
