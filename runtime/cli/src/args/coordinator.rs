//! Command lines of a fleet's coordinator, its broker and its provisioning.

use super::{ApproveArgs, AuthorityQuery, LogArgs, RejectArgs, RevokeArgs};
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct CoordinateArgs {
    /// Configuration of the fleet (fleet.toml); of several runs, one after another, if it is given more than once: those that
    /// are over are passed, and what listens for metrics is the first one's
    #[arg(long, value_name = "FILE", required = true)]
    pub config: Vec<PathBuf>,
    /// Print one JSON object a line instead of text
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub log: LogArgs,
}

#[derive(Debug, Args)]
pub struct FleetArgs {
    #[command(subcommand)]
    pub what: FleetCommand,
}

#[derive(Debug, Subcommand)]
pub enum FleetCommand {
    /// The fleet now: devices, round, state
    Status(FleetQuery),
    /// Every device: when it was last heard, how it did, whether it may take part
    Devices(FleetQuery),
    /// Select a device no more, until it is allowed
    Quarantine(MemberArgs),
    /// Let a device take part, whatever it did
    Allow(MemberArgs),
    /// Another board has this device's name from now on; how the one before did is forgotten
    Replace(MemberArgs),
    /// Take a device out that is gone for good; its name is free
    Remove(MemberArgs),
    /// Close no round and open none until resumed
    Pause(FleetQuery),
    /// Go on after a pause
    Resume(FleetQuery),
    /// Have a coordinator that stood down for another one lead again, once that is stopped
    TakeOver(FleetQuery),
    /// Every round so far
    History(FleetQuery),
    /// Examples behind each group of the adapter, by device
    Coverage(FleetQuery),
    /// Write the adapter of a round as GGUF LoRA
    Export(ExportArgs),
    /// Requests of devices that wait for a certificate, in the authority's folder `requests`
    Requests(AuthorityQuery),
    /// Certify the keys of devices that asked
    Approve(ApproveArgs),
    /// Take a request out of the folder
    Reject(RejectArgs),
    /// Shut a device out for good: its certificates hold no more
    Revoke(RevokeArgs),
    /// Every certificate that was signed, and until when it is valid
    Certificates(AuthorityQuery),
    /// Copy the coordinator's ledger, while it runs or not
    Backup(BackupArgs),
    /// Put a copy of a ledger into a state folder that has none
    Restore(RestoreArgs),
}

#[derive(Debug, Args)]
pub struct FleetQuery {
    /// Configuration of the fleet (fleet.toml): names the folder of its ledger
    #[arg(long, value_name = "FILE", default_value = "fleet.toml")]
    pub config: PathBuf,
    /// Print JSON instead of text
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct MemberArgs {
    /// Name of the device
    #[arg(value_name = "NAME")]
    pub device: String,
    #[command(flatten)]
    pub query: FleetQuery,
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    #[command(flatten)]
    pub query: FleetQuery,
    /// Which adapter, by its digest in the history or the beginning of it [default: the latest]
    #[arg(long, value_name = "HEX")]
    pub digest: Option<String>,
    /// Add the sums of a read-out that another coordinator has of its devices, by its fleet.toml; several times, for as many
    #[arg(long, value_name = "FILE", conflicts_with = "digest")]
    pub with: Vec<PathBuf>,
    /// File to write (GGUF LoRA)
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

#[derive(Debug, Args)]
pub struct BackupArgs {
    #[command(flatten)]
    pub query: FleetQuery,
    /// File to write, which must not be there; a running coordinator writes it
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// A copy that `sprig fleet backup` made
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    #[command(flatten)]
    pub query: FleetQuery,
    /// Move a ledger that is there aside, under a name that is told
    #[arg(long)]
    pub replace: bool,
}

#[derive(Debug, Args)]
pub struct ProvisionArgs {
    /// Folder to write; devices are added to an existing one
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Name of the fleet [default: that of an existing folder, or fleet]
    #[arg(long, value_name = "NAME")]
    pub fleet: Option<String>,
    /// Devices: a number (device-001, device-002, ...) or names, separated by commas
    #[arg(long, value_name = "N|NAMES")]
    pub devices: String,
    /// Host name or address by which devices reach the broker; repeat for several [default: localhost]
    #[arg(long, value_name = "HOST")]
    pub host: Vec<String>,
    /// Port of the broker [default: 8883]
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// Days the devices' certificates are valid
    #[arg(long, value_name = "DAYS", default_value_t = 398, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub days: u32,
    /// Days the broker's and the coordinator's certificates are valid
    #[arg(long, value_name = "DAYS", default_value_t = 1825, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub server_days: u32,
    /// Days a new authority is valid, which no certificate of its outlasts
    #[arg(long, value_name = "DAYS", default_value_t = 3650, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub ca_days: u32,
    /// Print JSON instead of text
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct BrokerArgs {
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:1883")]
    pub listen: std::net::SocketAddr,
    /// Print JSON instead of text
    #[arg(long)]
    pub json: bool,
}
