//! A copy of a running coordinator's ledger, asked for over the control socket: made in a thread of its own, told of in lines of
//! JSON, `{"copied":{…}}` as it goes and `{"held":{…}}` at its end. Whoever leaves before that has none.

use crate::handle::Handle;
use crate::ledger::{Copied, Held, LedgerError};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::io::{self, BufRead, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

/// A line about a copy.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Told {
    /// How far it is.
    Copied(Copied),
    /// It is whole.
    Held(Held),
    /// It cannot be made.
    Error(String),
    /// It should not be, and why.
    Objection(String),
}

impl Told {
    /// Reads lines up to one that is not about how far it is; `tell` hears those.
    pub(crate) fn read(lines: impl BufRead, tell: &mut dyn FnMut(Copied)) -> io::Result<Self> {
        for line in lines.lines() {
            match serde_json::from_str(&line?)? {
                Told::Copied(copied) => tell(copied),
                last => return Ok(last),
            }
        }
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the coordinator ended before the copy was whole"))
    }
}

/// The copies of one coordinator: one at a time.
#[derive(Debug)]
pub(super) struct Backups {
    stop: Arc<AtomicBool>,
    under_way: Option<JoinHandle<()>>,
}

impl Backups {
    /// None yet; once `stop` is set they break off.
    pub(crate) fn new(stop: Arc<AtomicBool>) -> Self {
        Self { stop, under_way: None }
    }

    /// Begins a copy to `out` for whoever is at the other end of `stream`.
    pub(crate) fn begin(&mut self, mut stream: UnixStream, handle: Handle, out: PathBuf) {
        let mut refused = |problem: &str| {
            // Who has left need not be told.
            let _ = say(&mut stream, &Told::Objection(problem.to_owned()));
        };
        if !out.is_absolute() {
            return refused("the file of a copy is named from the root on");
        }
        if self.under_way.as_ref().is_some_and(|copy| !copy.is_finished()) {
            return refused("a copy of this ledger is being made already; wait until it is done");
        }
        let stop = Arc::clone(&self.stop);
        let body = move || {
            let told = copy(&handle, &out, &stop, &mut stream);
            let _ = say(&mut stream, &told);
        };
        // Without a thread the stream is closed, which the other end tells of.
        self.under_way = thread::Builder::new().name("backup".into()).spawn(body).ok();
    }
}

impl Drop for Backups {
    fn drop(&mut self) {
        if let Some(copy) = self.under_way.take() {
            // The ledger is free only once nobody reads it. It only fails if the thread panicked, which it has said.
            let _ = copy.join();
        }
    }
}

fn copy(handle: &Handle, out: &Path, stop: &AtomicBool, stream: &mut UnixStream) -> Told {
    let ended = || Told::Error("it has ended".to_owned());
    let Some(moment) = handle.moment() else { return ended() };
    let mut go_on = |copied| !stop.load(Ordering::Acquire) && say(stream, &Told::Copied(copied)).is_ok();
    match moment.copy_to(out, &mut go_on) {
        Ok(Some(held)) => Told::Held(held),
        Ok(None) => ended(),
        Err(there @ LedgerError::There { .. }) => Told::Objection(there.to_string()),
        Err(other) => Told::Error(other.to_string()),
    }
}

fn say(stream: &mut UnixStream, told: &Told) -> io::Result<()> {
    stream.write_all((json!(told).to_string() + "\n").as_bytes())
}
