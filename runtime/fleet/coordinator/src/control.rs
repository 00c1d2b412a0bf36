//! The control socket: a Unix socket in the state folder, one line of JSON in, one out. `{"command":"status"}` answers with
//! a [`FleetView`], `history` with `{"rounds":[…]}`, `coverage` with `{"coverage":[…]}`, `pause` and `resume` with
//! `{"done":true}`, and so does `{"command":"device","device":["kitchen","quarantine"]}` (or `allow`, `replace`, `remove`);
//! `adapter` (of which `digest` may name the first digits) with `{"snapshot":"hexadecimal frame"}`; anything that cannot be
//! done with `{"error":"…"}`, what should not be with `{"objection":"…"}`. `{"command":"backup","out":"/copy"}` is answered by
//! several lines.

use crate::backup::{Backups, Told};
use crate::error::CoordinatorError;
use crate::event::Act;
use crate::handle::Handle;
use crate::ids::RoundId;
use crate::known;
use crate::ledger::{Copied, CoverageRow, Held, Ledger};
use crate::rows::RoundRow;
use crate::state::{Stage, State};
use crate::view::{DeviceView, FleetView};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sprig_ground::{PathError, file, hex};
use sprig_transport::messages::{DeviceId, Digest, RunId, Snapshot};
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
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Command {
    /// The fleet now.
    Status,
    /// All finished rounds.
    History,
    /// Examples behind each group, by device.
    Coverage,
    /// An adapter, as a snapshot's frame.
    Adapter,
    /// Open and close no further round.
    Pause,
    /// Go on.
    Resume,
    /// Decide about a device.
    Device,
    /// Copy the ledger.
    Backup,
}

#[derive(Serialize, Deserialize)]
struct Line {
    command: Command,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    device: Option<(String, Act)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    out: Option<PathBuf>,
}

impl Line {
    /// A command by itself.
    fn of(command: Command) -> Self {
        Self { command, digest: None, device: None, out: None }
    }
}

/// What a coordinator answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Answer {
    /// It cannot be done.
    Error { error: String },
    /// It should not be done, and why.
    Objection { objection: String },
    /// It was heard.
    Done { done: bool },
    /// All finished rounds.
    History { rounds: Vec<RoundRow> },
    /// Examples behind each group, by device.
    Coverage { coverage: Vec<CoverageRow> },
    /// An adapter: a snapshot's frame, hexadecimal.
    Adapter { snapshot: String },
    /// The fleet now.
    Status(Box<FleetView>),
}

/// The fleet of the coordinator whose state folder is `state`.
///
/// # Errors
/// When none is running there, or it does not answer.
pub fn status(state: &Path) -> Result<FleetView, CoordinatorError> {
    match ask(state, &Line::of(Command::Status))? {
        Answer::Status(view) => Ok(*view),
        _ => Err(misunderstood(state, "it is no view of a fleet")),
    }
}

/// How many rounds the run in folder `state` has, if all are done; for a run whose coordinator is not running.
///
/// # Errors
/// When there is no run, or it cannot be read.
pub fn finished(state: &Path) -> Result<Option<RoundId>, CoordinatorError> {
    // Only a run without a state would begin with the adapter named here.
    let State { stage, round, .. } = Ledger::existing(state)?.load(Digest([0; 32]))?.state;
    Ok((stage == Stage::Finished).then_some(round))
}

/// The devices of the run in folder `state`, as far as its ledger knows them; for a run whose coordinator is not running.
///
/// # Errors
/// When there is no run, or it cannot be read.
pub fn known(state: &Path) -> Result<Vec<DeviceView>, CoordinatorError> {
    Ok(known::devices(&Ledger::existing(state)?)?)
}

/// Rounds of the run in folder `state` in which no device's update was applied; for a run whose coordinator is not running.
///
/// # Errors
/// When there is no run, or it cannot be read.
pub fn abandoned(state: &Path) -> Result<u32, CoordinatorError> {
    Ok(Ledger::existing(state)?.abandoned()?)
}

/// Has the coordinator whose state folder is `state` open and close no further round until resumed.
///
/// # Errors
/// When none is running there, or it does not answer.
pub fn pause(state: &Path) -> Result<(), CoordinatorError> {
    done(state, &Line::of(Command::Pause))
}

/// Has it go on.
///
/// # Errors
/// When none is running there, or it does not answer.
pub fn resume(state: &Path) -> Result<(), CoordinatorError> {
    done(state, &Line::of(Command::Resume))
}

/// Finished rounds of the run in folder `state`, whether its coordinator is running or not.
///
/// # Errors
/// When there is no run, or it cannot be read.
pub fn history(state: &Path) -> Result<Vec<RoundRow>, CoordinatorError> {
    match ask(state, &Line::of(Command::History)) {
        Err(CoordinatorError::NotRunning { .. }) => Ok(Ledger::existing(state)?.history(RoundId::FIRST)?),
        Err(other) => Err(other),
        Ok(Answer::History { rounds }) => Ok(rounds),
        Ok(_) => Err(misunderstood(state, "it is no history")),
    }
}

/// Examples behind each group, by device, of the run in folder `state`, whether its coordinator is running or not.
///
/// # Errors
/// When there is no run, or it cannot be read.
pub fn coverage(state: &Path) -> Result<Vec<CoverageRow>, CoordinatorError> {
    match ask(state, &Line::of(Command::Coverage)) {
        Err(CoordinatorError::NotRunning { .. }) => Ok(Ledger::existing(state)?.coverage()?),
        Err(other) => Err(other),
        Ok(Answer::Coverage { coverage }) => Ok(coverage),
        Ok(_) => Err(misunderstood(state, "it is no coverage")),
    }
}

/// The adapter whose digest begins with `prefix`, or the last one, of the run in folder `state`, whether its coordinator
/// is running or not.
///
/// # Errors
/// When there is no run or no such adapter.
pub fn adapter(state: &Path, prefix: Option<&str>) -> Result<Snapshot, CoordinatorError> {
    let digest = prefix.map(str::to_owned);
    match ask(state, &Line { digest, ..Line::of(Command::Adapter) }) {
        Err(CoordinatorError::NotRunning { .. }) => Ok(Ledger::existing(state)?.adapter(prefix)?),
        Err(other) => Err(other),
        Ok(Answer::Adapter { snapshot }) => {
            let frame = hex::decode(&snapshot).unwrap_or_default();
            Snapshot::decode(&frame).map_err(|e| misunderstood(state, &e.to_string()))
        }
        Ok(_) => Err(misunderstood(state, "it is no adapter")),
    }
}

/// Copies the ledger of the run in folder `state`, as it stands at one moment, to the file `out`, which must not be there and
/// is named from the root on, whether its coordinator is running or not; a running one writes it. `tell` hears how far it is.
///
/// # Errors
/// When there is no run, something is at `out`, or the disk fails: nothing is then left of the copy.
pub fn backup(state: &Path, out: &Path, tell: &mut dyn FnMut(Copied)) -> Result<Held, CoordinatorError> {
    let path = state.join(FILE);
    let lines = match connect(state, &Line { out: Some(out.to_owned()), ..Line::of(Command::Backup) }) {
        Err(CoordinatorError::NotRunning { .. }) => {
            let mut go_on = |copied| {
                tell(copied);
                true
            };
            let held = Ledger::existing(state)?.moment()?.copy_to(out, &mut go_on)?;
            return held.ok_or_else(|| misunderstood(state, "the copy broke off"));
        }
        lines => lines?,
    };
    match Told::read(lines, tell).map_err(PathError::at("read the answer of", &path))? {
        Told::Held(held) => Ok(held),
        Told::Objection(objection) => Err(CoordinatorError::Objection(objection)),
        Told::Error(error) => Err(CoordinatorError::Answer { path, error }),
        Told::Copied(_) => Err(misunderstood(state, "the copy is not whole")),
    }
}

/// Has it decide about the device called `name`.
///
/// # Errors
/// When none is running there, it does not answer, or what is asked for cannot be.
pub fn decide(state: &Path, name: &str, act: Act) -> Result<(), CoordinatorError> {
    done(state, &Line { device: Some((name.to_owned(), act)), ..Line::of(Command::Device) })
}

/// Has the coordinator of folder `state`, which stood down for another one, lead again when it is started next. Returns the
/// run that it had stood down for, if it had.
///
/// # Errors
/// When there is no run, or its coordinator is running.
pub fn take_over(state: &Path) -> Result<Option<RunId>, CoordinatorError> {
    Ok(Ledger::existing(state)?.take_over()?)
}

fn done(state: &Path, line: &Line) -> Result<(), CoordinatorError> {
    match ask(state, line)? {
        Answer::Done { done: true } => Ok(()),
        _ => Err(misunderstood(state, "it does not say that it was done")),
    }
}

/// An answer that is none to what was asked.
fn misunderstood(state: &Path, problem: &str) -> CoordinatorError {
    PathError::new("understand the answer of", state.join(FILE), io::Error::other(problem)).into()
}

/// Asks the coordinator whose state folder is `state`; what it cannot do is an error.
fn ask(state: &Path, line: &Line) -> Result<Answer, CoordinatorError> {
    let path = state.join(FILE);
    let failed = |action| PathError::at(action, &path);
    let mut answer = String::new();
    connect(state, line)?.read_line(&mut answer).map_err(failed("read the answer of"))?;
    match serde_json::from_str(&answer).map_err(|e| failed("understand the answer of")(e.into()))? {
        Answer::Error { error } => Err(CoordinatorError::Answer { path, error }),
        Answer::Objection { objection } => Err(CoordinatorError::Objection(objection)),
        answer => Ok(answer),
    }
}

/// Sends a line to the coordinator whose state folder is `state`; what it answers is read from what this returns.
fn connect(state: &Path, line: &Line) -> Result<BufReader<io::Take<UnixStream>>, CoordinatorError> {
    let path = state.join(FILE);
    let failed = |action| PathError::at(action, &path);
    let mut stream = UnixStream::connect(&path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            CoordinatorError::NotRunning { path: path.clone() }
        }
        _ => failed("connect to")(source).into(),
    })?;
    stream.set_read_timeout(Some(ANSWER_PATIENCE)).map_err(failed("ask"))?;
    stream.write_all((json!(line).to_string() + "\n").as_bytes()).map_err(failed("ask"))?;
    Ok(BufReader::new(stream.take(ANSWER)))
}

/// The socket of a running coordinator. Dropped, it is gone.
pub(super) struct Control {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Control {
    /// Listens in the state folder, which is this process's alone: whoever holds the ledger's lock.
    pub(crate) fn listen(state: &Path, handle: Handle) -> Result<Self, CoordinatorError> {
        let path = state.join(FILE);
        let failed = PathError::at("listen on", &path);
        file::remove(&path)?;
        let listener = UnixListener::bind(&path).map_err(&failed)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(&failed)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let work = move || {
            let mut backups = Backups::new(Arc::clone(&stopped));
            for stream in listener.incoming() {
                if stopped.load(Ordering::Acquire) {
                    return;
                }
                // A client that breaks off harms itself only.
                let _ = stream.and_then(|stream| answer(stream, &handle, &mut backups));
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

fn answer(mut stream: UnixStream, handle: &Handle, backups: &mut Backups) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new((&stream).take(COMMAND)).read_line(&mut line)?;
    let answer = match serde_json::from_str::<Line>(&line) {
        Ok(Line { command: Command::Backup, out: Some(out), .. }) => {
            backups.begin(stream, handle.clone(), out);
            return Ok(());
        }
        Ok(line) => obey(&line, handle),
        Err(e) => Answer::Error { error: format!("no command: {e}") },
    };
    stream.write_all((json!(answer).to_string() + "\n").as_bytes())
}

/// Does what a line asks for.
fn obey(line: &Line, handle: &Handle) -> Answer {
    let done = |heard: bool| heard.then_some(Answer::Done { done: true });
    let answer = match line.command {
        Command::Status => handle.view().map(|view| Answer::Status(Box::new(view))),
        Command::History => handle.history(RoundId::FIRST).map(|rounds| Answer::History { rounds }),
        Command::Coverage => handle.coverage().map(|coverage| Answer::Coverage { coverage }),
        Command::Adapter => handle.adapter(line.digest.as_deref()).map(|found| match found {
            Ok(snapshot) => Answer::Adapter { snapshot: hex::encode(&snapshot.encode()) },
            Err(error) => Answer::Error { error },
        }),
        Command::Pause => done(handle.pause()),
        Command::Resume => done(handle.resume()),
        Command::Backup => Some(Answer::Error { error: "no file is named".to_owned() }),
        Command::Device => match &line.device {
            Some((name, act)) => decided(handle, name, *act),
            None => Some(Answer::Error { error: "no device is named".to_owned() }),
        },
    };
    answer.unwrap_or_else(|| Answer::Error { error: "it has ended".to_owned() })
}

fn decided(handle: &Handle, name: &str, act: Act) -> Option<Answer> {
    let objection = |objection: String| Answer::Objection { objection };
    match DeviceId::parse(name) {
        Err(problem) => Some(objection(problem.to_string())),
        Ok(id) => handle.decide(&id, act).map(|done| match done {
            Ok(()) => Answer::Done { done: true },
            Err(problem) => objection(problem),
        }),
    }
}
