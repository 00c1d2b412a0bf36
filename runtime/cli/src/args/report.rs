//! Command lines of what is made of records.

use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct ReportArgs {
    /// Record of a run (run.json) or a profile (profile.json)
    #[arg(required = true)]
    pub run: Option<PathBuf>,
    /// Page to write
    #[arg(short, long, value_name = "FILE", default_value = "report.html")]
    pub out: PathBuf,
    /// Print JSON instead of text
    #[arg(long)]
    pub json: bool,
    #[command(subcommand)]
    pub between: Option<Between>,
}

#[derive(Debug, Subcommand)]
pub enum Between {
    /// Say what differs between two profiles, or two records of runs: boards, versions or commits
    Diff(DiffArgs),
}

#[derive(Debug, Args)]
pub struct DiffArgs {
    /// The first, which the second is measured by
    pub a: PathBuf,
    /// The second
    pub b: PathBuf,
    /// Print JSON instead of text
    #[arg(long)]
    pub json: bool,
}
