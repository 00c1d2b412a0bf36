//! `sprig completions`: what completes these commands in a shell, from the same definition as help.

use crate::args::{Cli, CompletionsArgs};
use crate::exit::{Exit, Failure};
use crate::output;
use clap::CommandFactory;
use serde_json::json;

pub fn run(args: &CompletionsArgs) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "sprig", &mut script);
    let script = String::from_utf8_lossy(&script);
    match args.json {
        true => output::line(json!({ "shell": args.shell.to_string(), "script": script }))?,
        false => output::line(script.trim_end())?,
    }
    Ok(Exit::Done)
}
