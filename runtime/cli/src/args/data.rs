//! The command line of `sprig data`.

use super::RecordArgs;
use super::choice::choice;
use clap::{Args, Subcommand};
use sprig_learn::data::Task;
use sprig_learn::recipe::{Len, defaults};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct DataArgs {
    #[command(subcommand)]
    pub what: DataCommand,
}

#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Show what is in data before anything is learnt from them: records, labels, what is the same twice; with a model their
    /// tokens, what would be cut, and the first records as the model will see them
    Check(CheckArgs),
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Files or folders of records: JSONL, a JSON array, CSV or TSV with a header, packed with gzip or not
    #[arg(value_name = "FILE", required = true)]
    pub data: Vec<PathBuf>,
    /// What is to be learnt [default: what the first record is for]
    #[arg(long, value_parser = choice::<Task>())]
    pub task: Option<Task>,
    /// Model file whose tokens are counted (GGUF)
    #[arg(long, value_name = "FILE")]
    pub model: Option<PathBuf>,
    /// Most tokens of an example
    #[arg(long, value_name = "T", default_value_t = defaults::LEN)]
    pub len: Len,
    /// The field or column that is the text, where it is not called text
    #[arg(long, value_name = "NAME")]
    pub text_column: Option<String>,
    /// The field or column that is the label, where it is not called label
    #[arg(long, value_name = "NAME")]
    pub label_column: Option<String>,
    /// Do not wrap prompts in the model's chat template
    #[arg(long)]
    pub raw: bool,
    /// Words around a text to be labelled; {text} and {options} are filled in
    #[arg(long, value_name = "TEXT")]
    pub template: Option<String>,
    /// Print JSON instead of text
    #[arg(long)]
    pub json: bool,
}

impl CheckArgs {
    /// How records of `task` are read.
    pub fn records(&self, task: Task) -> RecordArgs {
        RecordArgs {
            task,
            text_column: self.text_column.clone(),
            label_column: self.label_column.clone(),
            raw: self.raw,
            template: self.template.clone(),
            label_style: None,
            labels: Vec::new(),
            label_tokens: Vec::new(),
        }
    }
}
