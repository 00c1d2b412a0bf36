//! The command line of `sprig chat`.

use super::{DecodingArgs, ModelArgs};
use clap::Args;
use std::path::PathBuf;

#[derive(Clone, Debug, Args)]
pub struct ChatArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Adapter (GGUF LoRA); /adapter FILE takes another on the way
    #[arg(long, value_name = "FILE")]
    pub adapter: Option<PathBuf>,
    /// What the model is told before the conversation
    #[arg(long, value_name = "TEXT")]
    pub system: Option<String>,
    /// Most tokens of the conversation: where it grows beyond, its oldest turns are dropped, and that is said
    #[arg(long, value_name = "T", default_value_t = 2048, value_parser = clap::value_parser!(u32).range(16..=131_072))]
    pub context: u32,
    /// Most tokens of an answer
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=131_072))]
    pub max_tokens: u32,
    #[command(flatten)]
    pub decoding: DecodingArgs,
    /// Keep activations in f32 while decoding: slower, logits as in training
    #[arg(long)]
    pub exact: bool,
}
