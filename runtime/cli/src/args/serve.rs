//! The command line of `sprig serve`.

use super::{LogArgs, ModelArgs, NamedFile, PersonalArgs};
use clap::{ArgGroup, Args};
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("doors").args(["listen", "socket", "mqtt"]).multiple(true).required(true))]
pub struct ServeArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Adapter (GGUF LoRA), which a question asks for by its name, or by the file's without its ending; may be given several
    /// times, and the first answers who names none. The model as it is answers by its file's name
    #[arg(long, value_name = "[NAME=]FILE")]
    pub adapter: Vec<NamedFile>,
    #[command(flatten)]
    pub personal: PersonalArgs,
    /// Answer HTTP at this address, such as 127.0.0.1:8080; port 0 takes any that is free. One that other machines reach needs
    /// --token-file, --tls-cert and --tls-key
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Answer at that address only who sends the token in this file, mode 600, as `Authorization: Bearer TOKEN`
    #[arg(long, value_name = "FILE", requires = "listen")]
    pub token_file: Option<PathBuf>,
    /// Encrypt at that address with this certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "listen", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Key of --tls-cert (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
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
