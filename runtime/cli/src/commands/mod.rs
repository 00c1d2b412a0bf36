//! The subcommands, one a file.

use std::fs::File;
use std::io::Read;
use std::path::Path;

pub mod agent;
#[cfg(feature = "coordinator")]
pub mod broker;
#[cfg(feature = "coordinator")]
pub mod coordinate;
pub mod device;
pub mod eval;
#[cfg(feature = "coordinator")]
mod evaluator;
#[cfg(feature = "coordinator")]
mod export;
#[cfg(feature = "coordinator")]
pub mod fleet;
pub mod infer;
pub mod plan;
#[cfg(feature = "coordinator")]
pub mod provision;
pub mod record;
pub mod report;
#[cfg(feature = "coordinator")]
pub mod simulate;
mod steplog;
pub mod train;
mod training;

/// A number that no other start of a program has.
fn nonce() -> Result<u64, crate::exit::Failure> {
    let mut bytes = [0; 8];
    let random = Path::new("/dev/urandom");
    File::open(random)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|e| crate::exit::Failure::io("read", random, e))?;
    Ok(u64::from_le_bytes(bytes))
}
