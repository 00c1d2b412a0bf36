//! Child processes whose JSON lines are followed, and which end with this one.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};

/// A child process. Dropped, it is killed.
pub struct Process {
    name: String,
    child: Child,
}

/// A line that a process printed, or that it ended.
pub struct Said {
    /// Which process.
    pub name: String,
    /// What; `None` at the end of its output.
    pub event: Option<Value>,
}

impl Process {
    /// Starts `command`; each line of JSON it prints goes to `said`.
    pub fn start(name: &str, mut command: Command, said: &Sender<Said>) -> Result<Self> {
        let mut child =
            command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start {name}"))?;
        let lines = BufReader::new(child.stdout.take().context("no standard output")?).lines();
        let (name, said) = (name.to_owned(), said.clone());
        let teller = name.clone();
        thread::spawn(move || {
            for line in lines.map_while(|line| line.ok()) {
                let Ok(event) = serde_json::from_str(&line) else { continue };
                let _ = said.send(Said { name: teller.clone(), event: Some(event) });
            }
            let _ = said.send(Said { name: teller, event: None });
        });
        Ok(Self { name, child })
    }

    /// Waits until it has ended well; a failure names it.
    pub fn join(mut self, limit: Duration) -> Result<()> {
        let until = Instant::now() + limit;
        loop {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("{} failed: {status}", self.name),
                None if Instant::now() > until => bail!("{} did not end in {limit:?}", self.name),
                None => thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Whether it has ended, and that is a failure.
    pub fn failed(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok().flatten()?;
        (!status.success()).then(|| format!("{} failed: {status}", self.name))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
