//! Command line of a device that joins a fleet with a key of its own.

use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct EnrolArgs {
    /// Name of the device: makes its key, unless there is one, and the request NAME.csr
    #[arg(long, value_name = "NAME", required_unless_present = "install")]
    pub id: Option<String>,
    /// Certificate that came back for it, which is put beside the key
    #[arg(long, value_name = "FILE", conflicts_with = "id")]
    pub install: Option<PathBuf>,
    /// Folder of the device's key, certificate and settings
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,
    /// Print JSON instead of text
    #[arg(long)]
    pub json: bool,
}
