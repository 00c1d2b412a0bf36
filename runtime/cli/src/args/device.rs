//! Command lines of a fleet's device.

use super::LogArgs;
use clap::Args;
use sprig_learn::privacy::Epsilon;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct AgentArgs {
    /// Configuration of this device (device.toml)
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Add noise to what leaves, sums of a read-out or scalars of a fleet with noise: (EPSILON, 1e-6)-differential privacy
    /// of each example, spent anew by every run; in place of `dp` in the file
    #[arg(long, value_name = "EPSILON")]
    pub dp: Option<Epsilon>,
    /// Take part only where sums are aggregated securely, so that nobody learns this device's own; as `secure_aggregation` in the
    /// file
    #[arg(long)]
    pub secure_aggregation: bool,
    /// Print one JSON object a line instead of text
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub log: LogArgs,
}

#[derive(Debug, Args)]
pub struct DeviceArgs {
    /// Describe this board by its profile, wherever one is, instead of looking at this machine
    #[arg(long, value_name = "NAME")]
    pub board: Option<String>,
    /// Model file (GGUF) of which to say what fits the budget: estimators, tangents, batches and lengths; may be repeated
    #[arg(long, value_name = "FILE")]
    pub model: Vec<PathBuf>,
    /// Print JSON instead of text
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Configuration of this device (device.toml), whose agent loses its session for a moment if it is connected; without one,
    /// the board alone is looked at
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Seconds in which the broker has to let this device in
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub wait: u64,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,
}
