//! The command line of `sprig calibrate`.

use super::choice::choice;
use super::{ModelArgs, PersonalArgs, RecordArgs};
use clap::Args;
use sprig_learn::recipe::{Batch, Len, Positive, defaults};
use sprig_learn::sampling::ConfidenceAt;
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
    /// Data to judge by: files or folders of records
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    pub data: Vec<PathBuf>,
    /// Data that the temperature is fitted to [default: --data itself; what scaling does is then judged on halves]
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub validation: Vec<PathBuf>,
    /// Adapter to write: --adapter with the temperature that was fitted, by which `sprig classify` and `sprig serve` then tell how
    /// sure they are
    #[arg(long, value_name = "FILE", requires = "adapter")]
    pub out: Option<PathBuf>,
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
    /// Judge Confidence@k as well: K reasonings about each question, and what the surest, the most and their sum say behind
    /// 1, 4, 8 and all of them
    #[arg(long, value_name = "K", conflicts_with = "personal", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub best_of: Option<u32>,
    /// Most tokens of a reasoning
    #[arg(long, value_name = "N", default_value_t = 64, requires = "best_of", value_parser = clap::value_parser!(u32).range(1..=131_072))]
    pub max_tokens: u32,
    /// What logits are divided by where reasonings are drawn
    #[arg(long, value_name = "T", default_value_t = Positive::of(0.8), requires = "best_of")]
    pub temperature: Positive,
    /// Words that end a reasoning; the answer follows
    #[arg(long, value_name = "TEXT", default_value = "\nAnswer:", requires = "best_of")]
    pub cue: String,
    /// Where the surest is taken: sample = among K reasonings, token = among K draws of each token of one
    #[arg(long, value_parser = choice::<ConfidenceAt>(), default_value_t = ConfidenceAt::Sample, requires = "best_of")]
    pub conf_at: ConfidenceAt,
    /// Write each question's candidates (JSONL): {"id", "answer", "candidates": [{option: p}]}
    #[arg(long, value_name = "FILE", requires = "best_of")]
    pub candidates: Option<PathBuf>,
    /// Examples of one pass
    #[arg(long, value_name = "B", default_value_t = defaults::BATCH)]
    pub batch: Batch,
    /// Most tokens of an example
    #[arg(long, value_name = "T", default_value_t = defaults::LEN)]
    pub len: Len,
}
