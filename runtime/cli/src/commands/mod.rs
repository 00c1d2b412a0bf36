//! The subcommands, one a file.

use std::fs::File;
use std::io::Read;
use std::path::Path;

pub mod agent;
mod answers;
#[cfg(feature = "coordinator")]
mod authority;
#[cfg(feature = "coordinator")]
mod backup;
mod best_of;
#[cfg(feature = "coordinator")]
pub mod broker;
pub mod calibrate;
pub mod chat;
pub mod classify;
#[cfg(feature = "coordinator")]
pub mod completions;
#[cfg(feature = "coordinator")]
pub mod coordinate;
#[cfg(feature = "coordinator")]
pub mod data;
mod described;
pub mod device;
pub mod doctor;
mod drawing;
mod elsewhere;
pub mod enrol;
pub mod eval;
#[cfg(feature = "coordinator")]
mod evaluator;
#[cfg(feature = "coordinator")]
mod export;
mod fits;
#[cfg(feature = "coordinator")]
pub mod fleet;
#[cfg(feature = "coordinator")]
mod fold;
mod foreseen;
#[cfg(feature = "coordinator")]
pub mod handing;
pub mod infer;
pub mod inspect;
mod judging;
mod labelled;
mod levels;
pub mod lookalike;
#[cfg(feature = "coordinator")]
pub mod mcq;
mod opening;
pub mod personalise;
mod pick;
pub mod plan;
mod preferring;
pub mod profile;
mod prompts;
#[cfg(feature = "coordinator")]
pub mod provision;
#[cfg(feature = "coordinator")]
mod queue;
mod readout;
pub mod record;
pub mod report;
pub mod serve;
#[cfg(feature = "coordinator")]
pub mod simulate;
mod steplog;
pub mod train;
mod training;

/// The command line, quoted where a shell needs it.
fn command_line() -> String {
    let words: Vec<_> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    // Only a zero byte cannot be quoted, and no argument has one.
    shlex::try_join(words.iter().map(String::as_str)).unwrap_or_else(|_| words.join(" "))
}

/// A number that no other start of a program has.
fn nonce() -> Result<u64, crate::exit::Failure> {
    let mut bytes = [0; 8];
    let random = Path::new("/dev/urandom");
    File::open(random)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|e| crate::exit::Failure::io("read", random, e))?;
    Ok(u64::from_le_bytes(bytes))
}
