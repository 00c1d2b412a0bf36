//! The command line of `sprig calibrate`.

use super::{ModelArgs, PersonalArgs, RecordArgs};
use clap::Args;
use sprig_learn::recipe::defaults;
use sprig_learn::recipe::{Batch, Len};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct CalibrateArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub records: RecordArgs,
    /// Adapter (GGUF LoRA)
    #[arg(long, value_name = "FILE")]
    pub adapter: Option<PathBuf>,
    #[command(flatten)]
    pub personal: PersonalArgs,
    /// Data to judge by (JSONL)
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// Data that the temperature is fitted to (JSONL) [default: --data itself; what scaling does is then judged on halves]
    #[arg(long, value_name = "FILE")]
    pub validation: Option<PathBuf>,
    /// Write the probabilities of each item (JSONL): {"id", "probabilities": {option: p}, "answer"}
    #[arg(long, value_name = "FILE")]
    pub dump: Option<PathBuf>,
    /// Compare with another model's --dump of the same data: differences and their intervals
    #[arg(long, value_name = "FILE")]
    pub against: Option<PathBuf>,
    /// Reliability diagram to draw (HTML)
    #[arg(long, value_name = "FILE")]
    pub page: Option<PathBuf>,
    /// Seed of resamples, halves and draws
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// Examples of one pass
    #[arg(long, value_name = "B", default_value_t = defaults::BATCH)]
    pub batch: Batch,
    /// Most tokens of an example
    #[arg(long, value_name = "T", default_value_t = defaults::LEN)]
    pub len: Len,
}
