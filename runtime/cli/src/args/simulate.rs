//! The command line of `sprig simulate`.

use super::choice::choice;
use clap::{ArgGroup, Args};
use sprig_budget::Size;
use sprig_protocol::settings::{Follow, Preset};
use sprig_simulate::{Attack, Control, Trouble};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// Devices
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub devices: u32,
    /// Rounds [default: 20, or what --config says]
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rounds: Option<u32>,
    /// Broker that light devices go through [default: an embedded one]
    #[arg(long, value_name = "URL", conflicts_with = "learning")]
    pub broker: Option<String>,
    /// Authority that the broker's certificate is signed by (PEM), where the URL is mqtts:// [default: the system's]
    #[arg(long, value_name = "FILE", requires = "broker")]
    pub ca: Option<PathBuf>,
    /// Connections that carry the light devices, evenly; as many as devices give each its own
    #[arg(long, value_name = "N", default_value_t = 4, conflicts_with = "learning", value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub connections: u32,
    /// Which light devices follow the rounds: selected = none but for its tasks, each of which fetches the adapter
    #[arg(long, default_value = "all", conflicts_with = "learning", value_parser = choice::<Follow>())]
    pub follow: Follow,
    /// Seconds that the slowest light device works on a task, and the fastest half as long [default: all answer at once]
    #[arg(long, value_name = "S", conflicts_with = "learning", value_parser = parse_seconds)]
    pub work: Option<f32>,
    /// What is wrong with some light devices: they lose power in a round (dead), never answer (hung), send what is refused
    /// (refusing), or take 20 times as long (slow)
    #[arg(long, conflicts_with = "learning", requires = "troubled", value_parser = choice::<Trouble>())]
    pub trouble: Option<Trouble>,
    /// How many those are
    #[arg(long, value_name = "N", requires = "trouble", value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub troubled: Option<u32>,
    /// Be the coordinator of a load, with its ledger in this folder, which has the name of the fleet
    #[arg(long, value_name = "DIR", hide = true, requires = "broker")]
    pub coordinator_state: Option<PathBuf>,
    #[command(flatten)]
    pub study: StudyArgs,
    /// Print JSON instead of text
    #[arg(long)]
    pub json: bool,
}

/// Devices that learn, on one model in this process.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("learning").args(["model", "config"]).multiple(true))]
#[command(next_help_heading = "Devices that learn (with --model or --config)")]
pub struct StudyArgs {
    /// Model file (GGUF): devices learn, all on this one model [default: the one of --config]
    #[arg(long, value_name = "FILE", requires = "data")]
    pub model: Option<PathBuf>,
    /// Configuration of the fleet (fleet.toml), of which [train], [rounds] and [model] are used
    #[arg(long, value_name = "FILE", requires = "data")]
    pub config: Option<PathBuf>,
    /// Change a setting of [train], or with `rounds.` before it of [rounds]: lr=0.02, server.eta=0.03, mode=per-epoch
    #[arg(long, value_name = "KEY=VALUE", requires = "learning")]
    pub set: Vec<String>,
    /// Take a published algorithm instead of the one in --config, of which only what is about the data, the seed and
    /// local_steps stay; --set comes on top. paper = Spry as published: LoRA r = 1 on q and v, one Gaussian direction a
    /// batch, the same everywhere, local AdamW, FedYogi; fedfgd = the same, every device with all groups; fedmezo, baffle,
    /// fwdllm = all groups by differences and plain gradient descent
    #[arg(long, value_parser = choice::<Preset>(), requires = "learning")]
    pub preset: Option<Preset>,
    /// Data that are dealt to the devices (JSONL)
    #[arg(long, value_name = "FILE", requires = "learning")]
    pub data: Option<PathBuf>,
    /// Held-out data that the fleet's model is judged by [default: eval_data of --config]
    #[arg(long, value_name = "FILE", requires = "learning")]
    pub eval_data: Option<PathBuf>,
    /// Devices of a round [default: what --config says, or 10; of light devices all; at most all]
    #[arg(long, value_name = "M", value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub per_round: Option<u32>,
    /// Label mixtures of the devices by Dirichlet with this parameter; the smaller, the more unlike [default: 1, for
    /// records with labels]
    #[arg(long, value_name = "ALPHA", requires = "learning", conflicts_with = "labels_per_device", value_parser = parse_alpha)]
    pub skew: Option<f64>,
    /// Or each device has this many labels, evenly
    #[arg(long, value_name = "N", requires = "learning", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub labels_per_device: Option<u16>,
    /// So many devices lie, chosen by the seed; how the fleet defends itself is --set server.robust=… and server.holders=…
    #[arg(long, value_name = "N", requires = "attack", conflicts_with = "flow", value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub liars: Option<u32>,
    /// How they lie: send 15 times what they found (scaled), 15 times its reverse (reversed), one number everywhere (constant),
    /// what they found in their first round (replayed), or its reverse just not too large, all together (colluding)
    #[arg(long, requires_all = ["learning", "liars"], value_parser = choice::<Attack>())]
    pub attack: Option<Attack>,
    /// Set a fifth of each device's data aside and judge the server's model and each device's own by it (per-epoch mode)
    #[arg(long, requires = "learning")]
    pub personal: bool,
    /// Flow (arXiv 2211.15281) instead of one adapter for all: each device has a local one beside it, and routers choose for
    /// each text; settings are those of [train.flow], --set flow.gamma=0.01. Served in the end are all devices, a fifth of
    /// which took no part, on a fifth of their data. --data may be a folder with one file *.jsonl a device, whose
    /// number then counts instead of --devices
    #[arg(long, requires = "learning", conflicts_with_all = ["personal", "out", "evaluate_every", "eval_data"])]
    pub flow: bool,
    /// Compare Flow with what it has to be better than, on the same devices and at as many steps; these, or all
    #[arg(long, value_name = "LIST", requires = "flow", num_args = 0.., value_delimiter = ',', value_parser = choice::<Control>())]
    pub controls: Option<Vec<Control>>,
    /// Rounds from one evaluation to the next; 0 for the first and the last alone [default: what --config says, or 10]
    #[arg(long, value_name = "E", requires = "learning")]
    pub evaluate_every: Option<u32>,
    /// Seed of dealing, selection, directions, start values and data order [default: what --config says, or 0]
    #[arg(long, value_name = "S", requires = "learning")]
    pub seed: Option<u32>,
    /// Most bytes the whole process may hold [default: what --config says, or the machine's share
    /// as `sprig device` shows it]
    #[arg(long, value_name = "SIZE", requires = "learning")]
    pub budget: Option<Size>,
    /// Threads [default: what --config says, or all cores]
    #[arg(long, value_name = "N", requires = "learning", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub threads: Option<u16>,
    /// Folder that keeps activations below the adapter, 1 GiB at most for each data set, for the next run to start from
    /// [default: a temporary one]
    #[arg(long, value_name = "DIR", requires = "learning")]
    pub cache: Option<PathBuf>,
    /// Learning curve, or with --flow the comparison, to draw (HTML)
    #[arg(long, value_name = "FILE", requires = "learning")]
    pub curve: Option<PathBuf>,
    /// Adapter to write (GGUF LoRA)
    #[arg(long, value_name = "FILE", requires = "learning")]
    pub out: Option<PathBuf>,
}

fn parse_seconds(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(seconds) if (0.0..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err(format!("`{text}` is not a number of seconds from 0 to 3600")),
    }
}

fn parse_alpha(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(alpha) if (1e-3..=1e6).contains(&alpha) => Ok(alpha),
        _ => Err(format!("`{text}` is not a number from 0.001 to 1000000")),
    }
}
