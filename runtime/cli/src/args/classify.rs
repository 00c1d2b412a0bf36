//! The command line of `sprig classify`.

use super::{ModelArgs, PersonalArgs};
use clap::Args;
use sprig_learn::data::Columns;
use sprig_learn::recipe::{Batch, Len, Positive, defaults};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct ClassifyArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Adapter that was trained with --task label (GGUF LoRA)
    #[arg(long, value_name = "FILE", required_unless_present = "personal")]
    pub adapter: Option<PathBuf>,
    #[command(flatten)]
    pub personal: PersonalArgs,
    /// Text to label
    #[arg(long, value_name = "TEXT", required_unless_present = "data")]
    pub text: Option<String>,
    /// Texts to label: files or folders of rows that have a text, as JSONL, a JSON array, CSV or TSV, packed or not
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "out", conflicts_with = "text")]
    pub data: Vec<PathBuf>,
    /// Answers to write (JSONL): {"row", "label", "share", "cut", "text"}. Those of a run that was stopped are in OUT.part, and
    /// the same command goes on from them
    #[arg(long, value_name = "FILE", requires = "data")]
    pub out: Option<PathBuf>,
    /// The field or column that is the text, where it is not called text
    #[arg(long, value_name = "NAME", requires = "data")]
    pub text_column: Option<String>,
    /// What scores are divided by before they become shares [default: what `sprig calibrate --out` wrote into the adapter, so
    /// that shares tell how often an answer is right; else 1]
    #[arg(long, value_name = "T")]
    pub temperature: Option<Positive>,
    /// Most tokens of a text with the words around it
    #[arg(long, value_name = "T", default_value_t = defaults::LEN)]
    pub len: Len,
    /// Texts of one pass
    #[arg(long, value_name = "B", default_value_t = defaults::BATCH)]
    pub batch: Batch,
}

impl ClassifyArgs {
    /// What the data call their texts.
    pub fn columns(&self) -> Columns {
        Columns { text: self.text_column.clone(), label: None }
    }
}
