//! The subcommands, one a file.

pub mod eval;
pub mod infer;
pub mod plan;
pub mod record;
pub mod report;
mod steplog;
pub mod train;
mod training;
mod watch;

/// Lower-case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
