//! The command line of `sprig mcq`.

use super::choice::choice;
use clap::{Args, Subcommand};
use sprig_mcq::Family;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct McqArgs {
    #[command(subcommand)]
    pub what: McqCommand,
}

#[derive(Debug, Subcommand)]
pub enum McqCommand {
    /// Make math questions whose wrong answers follow from named student errors
    Generate(GenerateArgs),
}

#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// Families of questions: LIST of SUB0, FADD, FDIV, LIN+, LIN-, ORDER, PCTOF; SUB is there to be counted
    #[arg(long, value_name = "LIST", value_delimiter = ',', required = true, value_parser = choice::<Family>())]
    pub family: Vec<Family>,
    /// Questions of each family
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub n: u32,
    /// Seed: the same questions on every machine
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// Fewest wrong answers that a question has, each of one error alone
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=4))]
    pub least: u8,
    /// Tell errors in words drawn for each, instead of by their closed texts
    #[arg(long)]
    pub paraphrase: bool,
    /// File to write (JSONL)
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Print JSON instead of text
    #[arg(long)]
    pub json: bool,
}
