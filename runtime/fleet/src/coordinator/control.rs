//! The control socket: a Unix socket in the state folder, one line of JSON in, one out. `{"command":"status"}` answers with
//! a [`FleetView`](super::FleetView), `history` with `{"rounds":[…]}`, `pause` and `resume` with `{"done":true}`; anything
//! that cannot be done with `{"error":"…"}`.

use super::error::CoordinatorError;
use super::handle::Handle;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
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
/// Bytes of an answer that are read: 100,000 rounds.
const ANSWER: u64 = 64 << 20;
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
    /// Open and close no further round.
    Pause,
    /// Go on.
    Resume,
}

#[derive(Serialize, Deserialize)]
struct Line {
    command: Command,
}

/// Asks the coordinator whose state folder is `state`.
///
/// # Errors
/// When none is running there, or it does not answer.
pub fn ask(state: &Path, command: Command) -> Result<Value, CoordinatorError> {
    let path = state.join(FILE);
    let failed = |action| {
        let path = path.clone();
        move |source| CoordinatorError::Io { action, path, source }
    };
    let mut stream = UnixStream::connect(&path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            CoordinatorError::NotRunning { path: path.clone() }
        }
        _ => failed("connect to")(source),
    })?;
    stream.set_read_timeout(Some(ANSWER_PATIENCE)).map_err(failed("ask"))?;
    let line = json!(Line { command }).to_string() + "\n";
    stream.write_all(line.as_bytes()).map_err(failed("ask"))?;
    let mut answer = String::new();
    BufReader::new(stream.take(ANSWER)).read_line(&mut answer).map_err(failed("read the answer of"))?;
    serde_json::from_str(&answer).map_err(|e| failed("understand the answer of")(e.into()))
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
        let failed = |source| CoordinatorError::Io { action: "listen on", path: path.clone(), source };
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed(e)),
            _ => {}
        }
        let listener = UnixListener::bind(&path).map_err(failed)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
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
        // Wakes the thread from waiting for a client.
        let _ = UnixStream::connect(&self.path);
        if let Some(thread) = self.thread.take() {
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
        Ok(Line { command: Command::Status }) => handle.view().map_or(ended, |view| json!(view)),
        Ok(Line { command: Command::History }) => {
            handle.history(0).map_or(ended, |rounds| json!({ "rounds": rounds }))
        }
        Ok(Line { command: Command::Pause }) => done(handle.pause()),
        Ok(Line { command: Command::Resume }) => done(handle.resume()),
    };
    let mut stream = stream;
    stream.write_all((value.to_string() + "\n").as_bytes())
}
