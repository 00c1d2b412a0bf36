//! `cargo xtask sim`: fleets in virtual time, each from a seed, under faults. Built with the checks of a development build: what
//! must always hold is looked at within the coordinator too.

use crate::sys;
use anyhow::{Context, Result};
use std::process::{Command, ExitCode};

#[derive(clap::Args)]
pub struct Args {
    /// The first world's seed, worlds, minutes: see `cargo xtask sim --help`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let mut cargo = Command::new("cargo");
    cargo.args(["run", "--quiet", "--locked", "--package", "sprig-world", "--"]).args(&args.words);
    let status = cargo.current_dir(sys::workspace_root()).status().context("cargo cannot be started")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
