//! What a command that runs for long is to whoever looks after it: systemd is told how it goes, and a door answers whether it
//! is well and what it counts.

mod answer_figures;
mod device_figures;
mod exposition;
#[cfg(feature = "coordinator")]
mod fleet_figures;
mod pulse;
mod supervisor;
mod watched;

pub use answer_figures::AnswerFigures;
pub use device_figures::DeviceFigures;
pub use exposition::Exposition;
#[cfg(feature = "coordinator")]
pub use fleet_figures::FleetFigures;
pub use pulse::Pulse;
pub use supervisor::Supervisor;
pub use watched::Watched;

use crate::exit::Failure;
use crate::log::{Level, Target};
use crate::output::Output;
use serde_json::json;
use sprig_serve::status::{Door, Status, bind, open};
use std::sync::Arc;

/// Opens the door for `/metrics` and `/healthz` at `address`, where the settings have one.
pub fn open_door(
    address: Option<&str>,
    beyond_loopback: bool,
    status: Arc<dyn Status>,
    output: &Output,
) -> Result<Option<Door>, Failure> {
    let Some(address) = address else { return Ok(None) };
    let door = open(bind(address, beyond_loopback)?, beyond_loopback, status)?;
    let url = format!("http://{}/metrics", door.address());
    output.log(Level::Info, Target::Process, json!({ "event": "metrics", "url": url }), || {
        Some(format!("metrics at {url}"))
    });
    Ok(Some(door))
}
