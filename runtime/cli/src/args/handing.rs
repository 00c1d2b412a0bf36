//! Flags of `sprig export`.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgGroup, Args};
use sprig_budget::Size;
use sprig_engine::gguf::{MADE_TYPES, TensorType};
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("form").args(["merge", "peft"]).required(true).multiple(true)))]
pub struct HandingArgs {
    /// Model file (GGUF) that the adapter was trained on
    #[arg(long, value_name = "FILE")]
    pub model: PathBuf,
    /// Adapter (GGUF LoRA)
    #[arg(long, value_name = "FILE")]
    pub adapter: PathBuf,
    /// Write the model with the adapter in its weights, for programs that take no adapter
    #[arg(long, requires = "out")]
    pub merge: bool,
    /// Model to write (GGUF)
    #[arg(long, value_name = "FILE", requires = "merge")]
    pub out: Option<PathBuf>,
    /// Type of the merged weights [default: that of each in the model, whose blocks keep their scales]
    #[arg(long = "type", value_name = "TYPE", requires = "merge", ignore_case = true,
        value_parser = PossibleValuesParser::new(MADE_TYPES.map(TensorType::name)).map(|name| made(&name)))]
    pub ty: Option<TensorType>,
    /// Write the adapter as Python's peft reads it, into this folder
    #[arg(long, value_name = "DIR")]
    pub peft: Option<PathBuf>,
    /// What Python calls the model, for `adapter_config.json`: a name of the hub or a folder
    #[arg(long, value_name = "NAME", requires = "peft")]
    pub base_name: Option<String>,
    /// Most bytes the whole process may hold: 300MiB, 1GB, 80% (of the memory at hand) [default: the board's share of
    /// its memory, as `sprig device` shows it]
    #[arg(long, value_name = "SIZE")]
    pub budget: Option<Size>,
    /// Print JSON instead of text
    #[arg(long)]
    pub json: bool,
}

/// The type of that name, which is one of those that are made.
fn made(name: &str) -> TensorType {
    let [first, ..] = MADE_TYPES;
    MADE_TYPES.into_iter().find(|ty| ty.name().eq_ignore_ascii_case(name)).unwrap_or(first)
}
