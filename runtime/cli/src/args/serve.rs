//! The command line of `sprig serve`.

use super::{LogArgs, ModelArgs, PersonalArgs};
use clap::{ArgGroup, Args};
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("doors").args(["listen", "socket", "mqtt"]).multiple(true).required(true))]
pub struct ServeArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Adapter (GGUF LoRA)
    #[arg(long, value_name = "FILE")]
    pub adapter: Option<PathBuf>,
    #[command(flatten)]
    pub personal: PersonalArgs,
    /// Answer HTTP at this address of this machine, such as 127.0.0.1:8080; port 0 takes any that is free
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Answer HTTP at a socket in the file system, which its owner and group may open
    #[arg(long, value_name = "FILE")]
    pub socket: Option<PathBuf>,
    /// Answer questions that come through a fleet's broker, as the device of this configuration (device.toml)
    #[arg(long, value_name = "FILE")]
    pub mqtt: Option<PathBuf>,
    /// Most tokens of a question and its answer together
    #[arg(long, value_name = "T", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(16..=131_072))]
    pub context: u32,
    /// Questions that may wait; more are refused
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub queue: u16,
    /// Questions a minute that are taken at each door; more are refused
    #[arg(long, value_name = "N", default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rate: u32,
    /// Keep activations in f32 while decoding: slower, logits as in training
    #[arg(long)]
    pub exact: bool,
    #[command(flatten)]
    pub log: LogArgs,
}
