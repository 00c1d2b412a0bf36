//! Flags of `sprig eval`.

use super::choice::choice;
use super::{ModelArgs, PersonalArgs, RecordArgs};
use clap::Args;
use sprig_learn::objective::LabelLoss;
use sprig_learn::recipe::defaults;
use sprig_learn::recipe::{Batch, Len};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct EvalArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub records: RecordArgs,
    /// Adapter (GGUF LoRA)
    #[arg(long, value_name = "FILE")]
    pub adapter: Option<PathBuf>,
    #[command(flatten)]
    pub personal: PersonalArgs,
    /// Data: files or folders of records, as JSONL, a JSON array, CSV or TSV with a header, packed with gzip or not
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    pub data: Vec<PathBuf>,
    /// What the loss of labels and choices counts: full = the answer among all tokens, labels = among the labels alone
    #[arg(long, value_parser = choice::<LabelLoss>(), default_value_t = LabelLoss::Full)]
    pub label_loss: LabelLoss,
    /// Examples of one pass
    #[arg(long, value_name = "B", default_value_t = defaults::BATCH)]
    pub batch: Batch,
    /// Most tokens of an example
    #[arg(long, value_name = "T", default_value_t = defaults::LEN)]
    pub len: Len,
}
