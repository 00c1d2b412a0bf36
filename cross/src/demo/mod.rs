//! `cargo xtask demo`: the main job from the download to a page, on real data.

mod alone;
mod fleet;
mod processes;
mod shards;

use crate::data;
use anyhow::Result;
use std::path::PathBuf;

/// Arguments of `cargo xtask demo`.
#[derive(clap::Args)]
pub struct Args {
    /// Data set
    #[arg(long, value_enum, default_value_t = data::Name::Where)]
    data: data::Name,
    /// Devices of the fleet, each a process with records of its own
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    devices: u32,
    /// Rounds of the fleet
    #[arg(long, default_value_t = fleet::ROUNDS, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rounds: u32,
    /// Broker to go through [default: an embedded one on this machine]
    #[arg(long, value_name = "URL")]
    broker: Option<String>,
    /// Train on one device by itself instead, without a broker
    #[arg(long)]
    alone: bool,
    /// Training steps, with --alone [default: 400]
    #[arg(long, requires = "alone")]
    steps: Option<u64>,
    /// Folder for data, adapter, ledger and page [default: target/demo]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print JSON on standard output
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    if args.alone { alone::run(args) } else { fleet::run(args) }
}
