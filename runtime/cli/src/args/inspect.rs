//! The command line of `sprig model`.

use clap::{Args, Subcommand};
use sprig_budget::Size;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct InspectingArgs {
    #[command(subcommand)]
    pub what: ModelCommand,
}

#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Show what a model file is, and what can be learnt with it in how much memory
    Inspect(InspectArgs),
}

#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Model file (GGUF)
    #[arg(value_name = "FILE")]
    pub model: PathBuf,
    /// Show each way of learning in this many bytes, rather than the roomiest in several sizes
    #[arg(long, value_name = "SIZE")]
    pub budget: Option<Size>,
    /// Print JSON instead of text
    #[arg(long)]
    pub json: bool,
}
