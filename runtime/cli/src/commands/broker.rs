//! `sprig broker`: a small broker, to try a fleet on one machine.

use crate::args::BrokerArgs;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::output::Output;
use serde_json::json;
use sprig_transport::broker::Broker;
use std::time::Duration;

pub fn run(args: &BrokerArgs) -> Result<Exit, Failure> {
    let interrupt = Interrupt::listen();
    let broker = Broker::start(args.listen).map_err(|e| {
        Failure::new(Exit::Io, format_args!("cannot serve at {}: {e}; choose another --listen", args.listen))
    })?;
    let url = broker.url();
    Output::new(args.json).event(json!({ "event": "broker", "url": url }), || {
        Some(format!("broker at {url}; for trying on one machine: no login, no TLS, nothing is kept"))
    });
    while !interrupt.raised() {
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(Exit::Done)
}
