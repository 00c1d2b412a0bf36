//! `cargo xtask demo`: the main job from the download to a page, on real data.

mod alone;
mod broker;
mod configs;
mod examples;
mod fleet;
pub mod processes;
mod shards;

use crate::arm::Arm;
use crate::data;
use anyhow::{Result, ensure};
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
    /// Rounds of the fleet [default: 60, or as many as make the same steps]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rounds: Option<u32>,
    /// When devices and coordinator exchange
    #[arg(long, value_enum, default_value_t = Mode::PerIteration)]
    mode: Mode,
    /// Broker to go through: `embedded`, Debian's `mosquitto` with certificates and an access list, or the URL of one that
    /// runs and asks for no login (mqtts:// where the system trusts its certificate)
    #[arg(long, value_name = "embedded|mosquitto|URL", default_value = "embedded")]
    broker: broker::Kind,
    /// Train on one device by itself instead, without a broker
    #[arg(long)]
    alone: bool,
    /// How to learn, with --alone
    #[arg(long, value_enum, requires = "alone", default_value_t = Arm::Auto)]
    estimator: Arm,
    /// Training steps, with --alone and a way to learn that takes steps [default: 400]
    #[arg(long, requires = "alone")]
    steps: Option<u64>,
    /// Seed of the data's choice and order, and of training, with --alone
    #[arg(long, requires = "alone", default_value_t = 1)]
    seed: u64,
    /// Folder for data, adapter, ledger and page [default: target/demo]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print JSON on standard output
    #[arg(long)]
    json: bool,
}

/// When devices and coordinator exchange.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Mode {
    /// After every batch
    PerIteration,
    /// After several steps of the device's own optimiser
    PerEpoch,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::PerIteration => "per-iteration",
            Self::PerEpoch => "per-epoch",
        }
    }

    /// Steps of a device in a round.
    fn steps(self) -> u32 {
        match self {
            Self::PerIteration => 1,
            Self::PerEpoch => configs::LOCAL_STEPS,
        }
    }
}

impl Args {
    fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(configs::ROUNDS / self.mode.steps())
    }
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    if args.alone {
        return alone::run(args);
    }
    ensure!(args.data.task() == "label", "the fleet's demo learns labels; run films with --alone");
    fleet::run(args)
}
