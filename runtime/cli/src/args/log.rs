//! How a command that runs for long logs.

use super::choice::choice;
use crate::log::{Format, Level};
use clap::Args;

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Log")]
pub struct LogArgs {
    /// How log lines look: human = as on a terminal; text = with time, level and target; json = the same as one object a line;
    /// journal = with the priority that systemd's journal reads, and no time [default: human on a terminal, journal under
    /// systemd's journal, text elsewhere]
    #[arg(long, value_parser = choice::<Format>())]
    pub log_format: Option<Format>,
    /// Least level that is logged [default: info; with --json, whose events stand in for the lines, error]
    #[arg(long, value_parser = choice::<Level>())]
    pub log_level: Option<Level>,
}

impl LogArgs {
    /// Format and least level, where they were given.
    pub fn asked(&self) -> (Option<Format>, Option<Level>) {
        (self.log_format, self.log_level)
    }
}
