//! `sprig provision`: certificates, broker settings and configurations of a fleet.

use crate::args::ProvisionArgs;
use crate::exit::{Exit, Failure};
use crate::output::line;
use sprig_transport::provision::{Devices, Lifetimes, Request, provision};

pub fn run(args: &ProvisionArgs) -> Result<Exit, Failure> {
    let devices = match args.devices.parse() {
        Ok(count) => Devices::Count(count),
        Err(_) => Devices::Names(args.devices.split(',').map(|name| name.trim().to_owned()).collect()),
    };
    let request = Request {
        fleet: args.fleet.clone(),
        devices,
        hosts: args.host.clone(),
        port: args.port,
        days: Lifetimes { devices: args.days, servers: args.server_days, authority: args.ca_days },
    };
    let made = provision(&args.out, &request)?;
    if args.json {
        line(serde_json::json!({
            "broker_url": made.url,
            "new_authority": made.new_authority,
            "broker": made.broker,
            "coordinator": made.coordinator,
            "devices": made.devices,
            "kept": made.kept,
        }))?;
        return Ok(Exit::Done);
    }
    let authority = if made.new_authority { "made" } else { "there already" };
    line(format_args!("authority    {authority}: {}; keep its key here", args.out.join("ca").display()))?;
    line(format_args!("broker       {}: copy it to the broker's machine, then", made.broker.display()))?;
    line(
        "             mosquitto -c mosquitto.conf, in that folder; as root, which mosquitto does not stay,",
    )?;
    line(format_args!("             chown -R mosquitto: {} before", made.broker.display()))?;
    line(format_args!("coordinator  {}: sprig coordinate --config fleet.toml", made.coordinator.display()))?;
    for folder in made.devices.iter().take(10) {
        line(format_args!("device       {}: sprig agent --config device.toml", folder.display()))?;
    }
    if made.devices.len() > 10 {
        line(format_args!("             and {} more beside it", made.devices.len() - 10))?;
    }
    if made.kept > 0 {
        line(format_args!("             {} devices were there already and stay as they are", made.kept))?;
    }
    line(format_args!("devices reach the broker at {}", made.url))?;
    Ok(Exit::Done)
}
