//! Load on a broker: `cargo run --release -p sprig-simulate --example load -- mqtt://127.0.0.1:1883 10000 20`.

use sprig_coordinator::Notice;
use sprig_simulate::{self as simulate, Plan};
use sprig_transport::link::{LinkConfig, LinkError};
use sprig_transport::mqtt::{self, MqttLink};
use std::error::Error;
use std::process::Command;
use std::sync::atomic::AtomicBool;

fn link(url: &str, name: &str) -> Result<MqttLink, LinkError> {
    let mut config = LinkConfig::new(url, name);
    config.queue_bytes = 8 << 20;
    config.inbox_bytes = 8 << 20;
    mqtt::connect(&config)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, url, devices, rounds, rest @ ..] = &arguments[..] else {
        return Err("usage: load URL DEVICES ROUNDS".into());
    };
    let fleet = match rest {
        [_, fleet] => fleet.clone(),
        _ => format!("load-{}", std::process::id()),
    };
    let plan = Plan::new(&fleet, devices.parse()?, rounds.parse()?);
    if let [state, _] = rest {
        let tell = Box::new(|notice: &_| match notice {
            Notice::Accepted { .. } | Notice::Joined { .. } | Notice::Refused { .. } => {}
            other => eprintln!("{other}"),
        });
        simulate::coordinate(
            &plan,
            state.as_ref(),
            link(url, "load-coordinator")?,
            tell,
            &AtomicBool::new(false),
        )?;
        return Ok(());
    }
    let state = std::env::temp_dir().join(format!("sprig-{fleet}"));
    let mut coordinator = Command::new(std::env::current_exe()?)
        .args([url, devices, rounds])
        .arg(&state)
        .arg(&fleet)
        .spawn()?;
    let outcome = simulate::load(&plan, coordinator.id(), |name| link(url, name));
    if outcome.is_err() {
        coordinator.kill()?;
    }
    coordinator.wait()?;
    let ledger = std::fs::metadata(state.join("ledger.redb")).map_or(0, |m| m.len());
    std::fs::remove_dir_all(&state)?;
    println!("{}\nledger: {ledger} bytes", serde_json::to_string_pretty(&outcome?)?);
    Ok(())
}
