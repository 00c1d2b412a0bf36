//! Command lines of a fleet's authority: who may join, for how long, and who no more.

use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct AuthorityQuery {
    /// Folder that `sprig provision` made: it has the authority's key
    #[arg(long, value_name = "DIR", default_value = "fleet")]
    pub authority: PathBuf,
    /// Print one JSON object a line instead of text
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct ApproveArgs {
    /// Requests: files that `sprig enrol` wrote, or names of devices whose requests are in the folder `requests`
    #[arg(value_name = "FILE|NAME", required_unless_present = "expected")]
    pub requests: Vec<String>,
    /// Approve every request in the folder `requests` whose device is in this list: one name a line, and behind it the
    /// fingerprint of its key, if that is known
    #[arg(long, value_name = "FILE", conflicts_with = "requests")]
    pub expected: Option<PathBuf>,
    /// Days the certificates are valid; none outlasts the authority
    #[arg(long, value_name = "DAYS", default_value_t = 398, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub days: u32,
    /// The board takes the place of one of the same name, which is shut out
    #[arg(long)]
    pub replace: bool,
    #[command(flatten)]
    pub query: AuthorityQuery,
}

#[derive(Debug, Args)]
pub struct RejectArgs {
    /// Name of the device whose request is taken out of the folder `requests`
    #[arg(value_name = "NAME")]
    pub device: String,
    #[command(flatten)]
    pub query: AuthorityQuery,
}

#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// Name of the device, or `coordinator`
    #[arg(value_name = "NAME")]
    pub device: String,
    #[command(flatten)]
    pub query: AuthorityQuery,
}
