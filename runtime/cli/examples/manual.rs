//! Manual pages and completions of the commands that this build has, for a package to carry: `man/*.1` and `completions/*` in
//! the folder named.

#[path = "../src/args/mod.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "of interest here is only what the commands are called"
)]
mod args;
#[path = "../src/log/words.rs"]
#[allow(dead_code, unreachable_pub, reason = "as above")]
mod log;

use args::{Cli, helped};
use clap::CommandFactory;
use clap_complete::Shell;
use std::io;
use std::path::Path;

/// Shells that are completed for.
const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

fn main() -> io::Result<()> {
    let Some(folder) = std::env::args_os().nth(1) else {
        return Err(io::Error::other("name a folder to write to"));
    };
    pages(&Path::new(&folder).join("man"))?;
    completions(&Path::new(&folder).join("completions"))
}

/// `sprig.1`, and one for each command below it.
fn pages(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(helped(Cli::command()), folder)
}

fn completions(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut command = Cli::command();
    for shell in SHELLS {
        clap_complete::generate_to(shell, &mut command, "sprig", folder)?;
    }
    Ok(())
}
