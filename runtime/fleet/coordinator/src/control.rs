//! The control socket: a Unix socket in the state folder, one line of JSON in, one out. `{"command":"status"}` answers with
//! a [`FleetView`](super::FleetView), `history` with `{"rounds":[…]}`, `pause` and `resume` with `{"done":true}`, `adapter`
//! (of which `digest` may name the first digits) with `{"snapshot":"hexadecimal frame"}`; anything that cannot be done with
//! `{"error":"…"}`.

use super::error::CoordinatorError;
use super::handle::Handle;
use super::ledger::Ledger;
use super::view::RoundRow;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sprig_ground::{PathError, file, hex};
use sprig_transport::messages::Snapshot;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Name of the socket in the state folder.
const FILE: &str = "control.sock";
/// Bytes of a command.
const COMMAND: u64 = 4096;
/// Bytes of an answer that are read: the largest snapshot.
const ANSWER: u64 = 2 * Snapshot::MAX as u64 + 4096;
/// Time a client has to send its line; one client is heard at a time.
const PATIENCE: Duration = Duration::from_secs(2);
/// Time a coordinator has to answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(60);

/// What can be asked of a coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Command {
    /// The fleet now.
    Status,
    /// All finished rounds.
    History,
    /// An adapter, as a snapshot's frame.
    Adapter,
    /// Open and close no further round.
    Pause,
    /// Go on.
    Resume,
}

#[derive(Serialize, Deserialize)]
struct Line {
    command: Command,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
}

/// Asks the coordinator whose state folder is `state`.
///
/// # Errors
/// When none is running there, or it does not answer.
pub fn ask(state: &Path, command: Command) -> Result<Value, CoordinatorError> {
    send(state, &Line { command, digest: None })
}

/// Finished rounds of the run in folder `state`, whether its coordinator is running or not.
///
/// # Errors
/// When there is no run, or it cannot be read.
pub fn history(state: &Path) -> Result<Vec<RoundRow>, CoordinatorError> {
    match ask(state, Command::History) {
        Err(CoordinatorError::NotRunning { .. }) => Ok(Ledger::existing(state)?.history(0..u32::MAX)?),
        Err(other) => Err(other),
        Ok(mut answer) => {
            let rows = serde_json::from_value(answer["rounds"].take());
            rows.map_err(|e| misunderstood(state, &answer, &e))
        }
    }
}

/// The adapter whose digest begins with `prefix`, or the last one, of the run in folder `state`, whether its coordinator
/// is running or not.
///
/// # Errors
/// When there is no run or no such adapter.
pub fn adapter(state: &Path, prefix: Option<&str>) -> Result<Snapshot, CoordinatorError> {
    let line = Line { command: Command::Adapter, digest: prefix.map(str::to_owned) };
    match send(state, &line) {
        Err(CoordinatorError::NotRunning { .. }) => Ok(Ledger::existing(state)?.adapter(prefix)?),
        Err(other) => Err(other),
        Ok(answer) => {
            let frame = answer["snapshot"].as_str().and_then(hex::decode).unwrap_or_default();
            Snapshot::decode(&frame).map_err(|e| misunderstood(state, &answer, &e))
        }
    }
}

/// What the coordinator said instead of an answer.
fn misunderstood(state: &Path, answer: &Value, problem: &dyn std::fmt::Display) -> CoordinatorError {
    let problem = answer["error"].as_str().map_or_else(|| problem.to_string(), str::to_owned);
    PathError::new("understand the answer of", state.join(FILE), io::Error::other(problem)).into()
}

fn send(state: &Path, line: &Line) -> Result<Value, CoordinatorError> {
    let path = state.join(FILE);
    let failed = |action| PathError::at(action, &path);
    let mut stream = UnixStream::connect(&path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            CoordinatorError::NotRunning { path: path.clone() }
        }
        _ => failed("connect to")(source).into(),
    })?;
    stream.set_read_timeout(Some(ANSWER_PATIENCE)).map_err(failed("ask"))?;
    let line = json!(line).to_string() + "\n";
    stream.write_all(line.as_bytes()).map_err(failed("ask"))?;
    let mut answer = String::new();
    BufReader::new(stream.take(ANSWER)).read_line(&mut answer).map_err(failed("read the answer of"))?;
    Ok(serde_json::from_str(&answer).map_err(|e| failed("understand the answer of")(e.into()))?)
}

/// The socket of a running coordinator. Dropped, it is gone.
pub(super) struct Control {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Control {
    /// Listens in the state folder, which is this process's alone: whoever holds the ledger's lock.
    pub fn listen(state: &Path, handle: Handle) -> Result<Self, CoordinatorError> {
        let path = state.join(FILE);
        let failed = PathError::at("listen on", &path);
        file::remove(&path)?;
        let listener = UnixListener::bind(&path).map_err(&failed)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(&failed)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let work = move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Acquire) {
                    return;
                }
                // A client that breaks off harms itself only.
                let _ = stream.and_then(|stream| answer(&stream, &handle));
            }
        };
        let thread = thread::Builder::new().name("control".into()).spawn(work).map_err(failed)?;
        Ok(Control { path, stop, thread: Some(thread) })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // Wakes the thread from waiting for a client. If somebody removed the socket, nothing can, and the thread stays
        // until the process ends.
        if UnixStream::connect(&self.path).is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
        let _ = std::fs::remove_file(&self.path);
    }
}

fn answer(stream: &UnixStream, handle: &Handle) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(stream.take(COMMAND)).read_line(&mut line)?;
    let ended = json!({ "error": "the coordinator has ended" });
    let done = |heard| if heard { json!({ "done": true }) } else { ended.clone() };
    let value = match serde_json::from_str::<Line>(&line) {
        Err(e) => json!({ "error": format!("no command: {e}") }),
        Ok(Line { command: Command::Adapter, digest }) => match handle.adapter(digest.as_deref()) {
            Some(Ok(snapshot)) => json!({ "snapshot": hex::encode(&snapshot.encode()) }),
            Some(Err(why)) => json!({ "error": why }),
            None => ended,
        },
        Ok(Line { command: Command::Status, .. }) => handle.view().map_or(ended, |view| json!(view)),
        Ok(Line { command: Command::History, .. }) => {
            handle.history(0).map_or(ended, |rounds| json!({ "rounds": rounds }))
        }
        Ok(Line { command: Command::Pause, .. }) => done(handle.pause()),
        Ok(Line { command: Command::Resume, .. }) => done(handle.resume()),
    };
    let mut stream = stream;
    stream.write_all((value.to_string() + "\n").as_bytes())
}
