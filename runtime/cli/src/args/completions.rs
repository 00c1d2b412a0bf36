//! The command line of `sprig completions`.

use clap::Args;
use clap_complete::Shell;

#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// Which shell
    pub shell: Shell,
    /// Print one JSON object instead of the script itself
    #[arg(long)]
    pub json: bool,
}
