//! The command line of `sprig infer`.

use super::choice::choice;
use super::{DecodingArgs, ModelArgs, PersonalArgs};
use clap::Args;
use sprig_learn::data::Columns;
use sprig_learn::sampling::ConfidenceAt;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct InferArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Adapter (GGUF LoRA)
    #[arg(long, value_name = "FILE")]
    pub adapter: Option<PathBuf>,
    #[command(flatten)]
    pub personal: PersonalArgs,
    /// Text to continue, or to answer; - reads it from standard input
    #[arg(long, value_name = "TEXT", required_unless_present_any = ["label", "data"])]
    pub prompt: Option<String>,
    /// Text to label, by an adapter trained with --task label and asked as it was then
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["prompt", "choices", "raw", "max_tokens"])]
    pub label: Option<String>,
    /// Prompts to answer: files or folders of rows that have a prompt, as JSONL, a JSON array, CSV or TSV, packed or not
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "out", conflicts_with_all = ["prompt", "label", "choices", "best_of"])]
    pub data: Vec<PathBuf>,
    /// Answers to write (JSONL): {"row", "prompt", "text", "tokens", "finish_reason"}. Those of a run that was stopped are in
    /// OUT.part, and the same command goes on from them
    #[arg(long, value_name = "FILE", requires = "data")]
    pub out: Option<PathBuf>,
    /// The field or column that is the prompt, where it is not called prompt
    #[arg(long, value_name = "NAME", requires = "data")]
    pub text_column: Option<String>,
    /// Most tokens to write
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=131_072))]
    pub max_tokens: u32,
    /// Continue the text as it is instead of answering it as a chat message
    #[arg(long)]
    pub raw: bool,
    /// Answer with the likeliest of these words instead of writing freely
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub choices: Vec<String>,
    /// Answer with the likeliest choice behind K reasonings of up to --max-tokens, each drawn by itself: the answer that the
    /// model is surest of
    #[arg(long, value_name = "K", requires = "choices", conflicts_with = "personal", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub best_of: Option<u32>,
    /// Words that end a reasoning; a choice follows
    #[arg(long, value_name = "TEXT", default_value = "\nAnswer:", requires = "best_of")]
    pub cue: String,
    /// Where the surest is taken: sample = among K reasonings, token = among K draws of each token of one
    #[arg(long, value_parser = choice::<ConfidenceAt>(), default_value_t = ConfidenceAt::Sample, requires = "best_of")]
    pub conf_at: ConfidenceAt,
    #[command(flatten)]
    pub decoding: DecodingArgs,
    /// Keep activations in f32 while decoding: slower, logits as in training
    #[arg(long)]
    pub exact: bool,
}

impl InferArgs {
    /// What the data call their prompts.
    pub fn columns(&self) -> Columns {
        let text = self.text_column.clone().unwrap_or_else(|| "prompt".to_owned());
        Columns { text: Some(text), label: None }
    }
}
