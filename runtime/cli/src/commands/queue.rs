//! Runs of a fleet, one after another.

use super::export;
use crate::exit::{Exit, Failure};
use crate::log::{Level, Target};
use crate::output::Output;
use serde_json::json;
use sprig_coordinator::control;
use sprig_protocol::settings::FleetSettings;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Reads the configurations of all runs, so that what is wrong with the last one is said before the first one begins; that of
/// the first is returned.
///
/// # Errors
/// One cannot be read, or two runs would share a ledger.
pub fn check(files: &[PathBuf]) -> Result<FleetSettings, Failure> {
    let mut states = HashMap::new();
    let mut first = None;
    for file in files {
        let settings = FleetSettings::read(file)?;
        if let Some(other) = states.insert(settings.coordinator.state.clone(), file) {
            let (state, one, two) = (settings.coordinator.state.display(), other.display(), file.display());
            let problem =
                format!("{one} and {two} have the same state folder, {state}: give each run its own");
            return Err(Failure::new(Exit::Usage, problem));
        }
        first.get_or_insert(settings);
    }
    first.ok_or_else(|| Failure::new(Exit::Usage, "no configuration of a fleet is given (--config)"))
}

/// Leads all runs with `lead`, which takes one to its end and is told whether it is the last. Those before the last that are over are passed: whoever starts the
/// same command again goes on where it was. A run that came to nothing holds up none, and is the command's end.
///
/// # Errors
/// As `lead`'s.
pub fn run(
    files: &[PathBuf],
    output: &Output,
    mut lead: impl FnMut(&Path, bool) -> Result<Exit, Failure>,
) -> Result<Exit, Failure> {
    let mut nothing = None;
    for (at, file) in files.iter().enumerate() {
        let last = at + 1 == files.len();
        if !last && is_over(file)? {
            continue;
        }
        if files.len() > 1 {
            let value = json!({ "event": "queue", "config": file, "run": at + 1, "runs": files.len() });
            output.log(Level::Info, Target::Coordinator, value, || {
                Some(format!("run {} of {}: {}", at + 1, files.len(), file.display()))
            });
        }
        match lead(file, last) {
            Ok(Exit::Done) => {}
            Err(failure) if failure.exit == Exit::Abandoned && !last => {
                let value = json!({ "event": "untrained", "problem": failure.to_string() });
                output.log(Level::Warn, Target::Coordinator, value, || Some(failure.to_string()));
                nothing = Some(failure);
            }
            other => return other,
        }
    }
    nothing.map_or(Ok(Exit::Done), Err)
}

/// Whether the run of a configuration is over; its adapter is written, if a power cut came before that.
fn is_over(file: &Path) -> Result<bool, Failure> {
    let settings = FleetSettings::read(file)?;
    let state = &settings.coordinator.state;
    // Whatever is wrong with a ledger, whoever leads its run says.
    if !matches!(control::finished(state), Ok(Some(rounds)) if rounds.0 == settings.rounds.count.get()) {
        return Ok(false);
    }
    if let Some(out) = settings.coordinator.adapter.as_deref().filter(|out| !out.exists())
        && control::abandoned(state)? < settings.rounds.count.get()
    {
        export::write(&settings, &control::adapter(state, None)?.values, out)?;
    }
    Ok(true)
}
