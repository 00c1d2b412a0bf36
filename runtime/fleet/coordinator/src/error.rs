//! What stops a coordinator.

use crate::ids::RoundId;
use crate::ledger::LedgerError;
use sprig_ground::PathError;
use sprig_learn::LearnError;
use sprig_transport::link::LinkError;
use sprig_transport::messages::{NameError, RunId};
use std::path::PathBuf;
use thiserror::Error;

/// Why a coordinator cannot go on. Started again, it takes up the same round.
#[derive(Debug, Error)]
pub enum CoordinatorError {
    /// Its state.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Settings or adapter.
    #[error(transparent)]
    Learn(#[from] LearnError),
    /// The fleet's name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The broker does not let the coordinator in.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// All rounds of the run are done, and more than the settings now ask for.
    #[error(
        "{done} rounds are done in {}, {asked} are now asked for ([rounds] count): what is done stays done; ask for more than \
         {done} to go on, or begin a new run in another state folder", state.display()
    )]
    Over {
        /// The state folder.
        state: PathBuf,
        /// Rounds that are done.
        done: RoundId,
        /// Rounds of the settings.
        asked: u32,
    },
    /// The fleet has gone further than the ledger says, which goes on in another epoch: to be opened again.
    #[error(
        "{} is older than what the fleet has done: round {seen} was announced, here it is round {here}, so this is a copy that \
         was put back, or another coordinator went on from one; the run goes on from here as epoch {epoch}, and devices begin \
         with its adapter", state.display()
    )]
    Restored {
        /// The state folder.
        state: PathBuf,
        /// The round that was announced.
        seen: RoundId,
        /// The round of the ledger.
        here: RoundId,
        /// The epoch that it goes on as.
        epoch: u32,
    },
    /// The run goes on elsewhere.
    #[error(
        "another coordinator goes on with this run as epoch {epoch}, here it is epoch {own}: a copy of {} was put to work \
         elsewhere; this one stands down for good, and its ledger stays as it is; to go on from here, stop the other one and run \
         `sprig fleet take-over`", state.display()
    )]
    StoodDown {
        /// The state folder.
        state: PathBuf,
        /// The epoch here.
        own: u32,
        /// The epoch elsewhere.
        epoch: u32,
    },
    /// Another coordinator leads the fleet, and came first.
    #[error(
        "fleet {fleet:?} is led by another coordinator, of run {run:.8}, which was there first; this one stands down for good; \
         give this fleet a name of its own ([fleet] name), or stop the other one and run `sprig fleet take-over`", run = run.to_string()
    )]
    Second {
        /// The fleet.
        fleet: String,
        /// The other's run.
        run: RunId,
    },
    /// It stood down before.
    #[error(
        "the coordinator of {} stood down, for another one led its fleet (run {other}); stop that one and run `sprig fleet \
         take-over` to have this one lead again", state.display(), other = other.to_string()
    )]
    StandsDown {
        /// The state folder.
        state: PathBuf,
        /// The other's run.
        other: RunId,
    },
    /// Nobody listens there.
    #[error("no coordinator is running at {}; start one with `sprig coordinate`", path.display())]
    NotRunning {
        /// Its control socket.
        path: PathBuf,
    },
    /// It runs, and says why it cannot do what it was asked.
    #[error("the coordinator at {}: {error}", path.display())]
    Answer {
        /// Its control socket.
        path: PathBuf,
        /// What it says.
        error: String,
    },
    /// It runs, and what it was asked to do about a device cannot be; why not, and what to do instead.
    #[error("{0}")]
    Objection(String),
    /// The machine.
    #[error(transparent)]
    Io(#[from] PathError),
    /// A test cut the power.
    #[cfg(test)]
    #[error("power was cut")]
    Cut,
}
