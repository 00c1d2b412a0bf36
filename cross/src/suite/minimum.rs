//! The minimum Rust version that the workspace states: checked with that very version.

use super::Suite;
use super::report::Outcome;
use crate::sys;
use anyhow::{Context, Result};
use std::process::Command;

/// Checks the product with the stated version: this machine's toolchain if it is that one, else one of rustup's.
pub(super) fn check(suite: &Suite) -> Result<Outcome> {
    let stated = stated()?;
    let default =
        version(Command::new("rustc").arg("--version")).context("rustc does not tell its version")?;
    if is_of(&default, &stated) {
        // Every other stage was built with it.
        return Ok(Outcome::Passed(format!("{stated} is this machine's toolchain")));
    }
    let Some(toolchain) = toolchain(&stated) else {
        let why = format!("Rust {default} is here; {stated} is not, and rustup cannot fetch it");
        return Ok(Outcome::Skipped(why));
    };
    let mut cargo = suite.command("rustup");
    cargo.args(["run", &toolchain, "cargo", "check", "--locked", "--package", "sprig"]);
    // Another compiler's output.
    cargo.env("CARGO_TARGET_DIR", sys::target_dir().join("minimum")).env_remove("CARGO").env_remove("RUSTC");
    sys::check(&mut cargo)?;
    Ok(Outcome::Passed(format!("Rust {stated}")))
}

/// `rust-version` of the workspace.
fn stated() -> Result<String> {
    let path = sys::workspace_root().join("Cargo.toml");
    let manifest =
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let line = manifest.lines().find_map(|line| line.strip_prefix("rust-version = "));
    Ok(line.context("Cargo.toml states no rust-version")?.trim_matches('"').to_owned())
}

/// The name of an installed toolchain of `stated`, which is fetched where rustup can.
fn toolchain(stated: &str) -> Option<String> {
    let mut fetch = Command::new("timeout");
    fetch.args(["120", "rustup", "toolchain", "install", "--profile", "minimal", stated]);
    let installed = |name: &str| {
        let found = version(Command::new("rustup").args(["run", name, "rustc", "--version"]));
        found.is_some_and(|found| is_of(&found, stated))
    };
    let here = installed(stated) || sys::succeeds(fetch.env("RUSTUP_MAX_RETRIES", "1")) && installed(stated);
    here.then(|| stated.to_owned())
}

/// `1.95.0` of `rustc 1.95.0 (59807616e 2026-04-14)`.
fn version(rustc: &mut Command) -> Option<String> {
    sys::output(rustc).ok()?.split_whitespace().nth(1).map(str::to_owned)
}

fn is_of(found: &str, stated: &str) -> bool {
    found == stated || found.strip_prefix(stated).is_some_and(|rest| rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_release_is_of_its_version_and_a_longer_number_is_not() {
        assert!(is_of("1.95.0", "1.95") && is_of("1.95.1", "1.95") && is_of("1.95.0", "1.95.0"));
        assert!(!is_of("1.950.0", "1.95") && !is_of("1.96.0", "1.95"));
    }

    #[test]
    fn the_workspace_states_a_version() {
        assert!(stated().is_ok_and(|stated| stated.starts_with("1.")));
    }
}
