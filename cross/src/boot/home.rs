//! The board's fleet on this machine: Debian's mosquitto with certificates, and a coordinator.

use super::machine::HOST;
use crate::demo::processes::{Process, Said};
use crate::packages;
use crate::sprig::Sprig;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// The board's name in its fleet.
pub const BOARD: &str = "board";
/// Rounds of the run: more than are waited for.
const ROUNDS: u32 = 60;
/// What is learnt: as little as a round can hold that a power cut finds under way.
const TRAIN: &str = "task = \"label\"\nlabels = [\"down\", \"up\"]\nlen = 48\nbatch = 2\ntangents = 1\nrank = 2\n\
                     targets = \"q,v\"\nlayers = \"29..30\"\nmode = \"per-epoch\"\nlocal_steps = 2\n";
/// Records of the board.
const RECORDS: usize = 64;

/// It.
pub struct Home {
    sprig: Sprig,
    /// The fleet's folder.
    pub fleet: PathBuf,
    say: Sender<Said>,
    said: Receiver<Said>,
    broker: Option<Process>,
    coordinator: Option<Process>,
}

impl Home {
    /// Provisions a fleet of one board in the folder `work`, for the model at `model`.
    pub fn new(sprig: Sprig, model: &Path, work: &Path) -> Result<Self> {
        let fleet = work.join("fleet");
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).context("no free port")?.port();
        let (out, port) = (fleet.display().to_string(), port.to_string());
        let request = ["provision", "--out", &out, "--fleet", "boot", "--devices", BOARD, "--host", HOST];
        sprig.json(&[&request[..], &["--host", "localhost", "--port", &port]].concat())?;
        let records = fleet.join("records.jsonl");
        fs::write(&records, texts())?;
        let path = fleet.join("coordinator/fleet.toml");
        let text = fs::read_to_string(&path)?;
        // The broker is this machine's own to the coordinator.
        let head = text.split("[model]").next().context("no [model]")?.replace(HOST, "localhost");
        let settings = format!(
            "{head}[model]\npath = {model:?}\nthreads = 1\n\n[rounds]\ncount = {ROUNDS}\ndevices = 1\nmin_devices = 1\n\
             quorum = 1\ndeadline_seconds = 900\nevaluate_every = 0\n\n[train]\n{TRAIN}\n[coordinator]\nstate = \"state\"\n\
             dashboard = \"127.0.0.1:0\"\n"
        );
        fs::write(&path, settings)?;
        let path = fleet.join("devices").join(BOARD).join("device.toml");
        let text = fs::read_to_string(&path)?;
        fs::write(&path, text.replace("# stay = true", "stay = true"))?;
        let (say, said) = channel();
        Ok(Self { sprig, fleet, say, said, broker: None, coordinator: None })
    }

    /// The board's folder of the fleet.
    pub fn bundle(&self) -> PathBuf {
        self.fleet.join("devices").join(BOARD)
    }

    /// The board's records.
    pub fn records(&self) -> PathBuf {
        self.fleet.join("records.jsonl")
    }

    /// Starts the broker.
    pub fn open(&mut self) -> Result<()> {
        let folder = self.fleet.join("broker");
        let config = folder.join("mosquitto.conf");
        let text = fs::read_to_string(&config)?;
        if packages::is_root() && !text.contains("\nuser root\n") {
            // Started by root, mosquitto would become a user who cannot read the keys.
            fs::write(&config, text + "user root\n")?;
        }
        let mut broker = Command::new(packages::find_or_install("mosquitto", "mosquitto")?);
        let log = File::options().append(true).create(true).open(folder.join("mosquitto.log"))?;
        broker.args(["-c", "mosquitto.conf"]).current_dir(&folder).stderr(log);
        self.broker = Some(Process::start("broker", broker, &self.say)?);
        Ok(())
    }

    /// Ends the broker.
    pub fn close(&mut self) {
        self.broker = None;
    }

    /// Starts the coordinator.
    pub fn coordinate(&mut self) -> Result<()> {
        let mut command = self.sprig.command(&["coordinate", "--json", "--config"]);
        command.arg(self.fleet.join("coordinator/fleet.toml"));
        self.coordinator = Some(Process::start("coordinator", command, &self.say)?);
        Ok(())
    }

    /// What the coordinator's dashboard, at this address, shows right now.
    pub fn shown(&self, url: &str) -> Result<Value> {
        let address = url.trim_start_matches("http://").trim_end_matches('/');
        let mut stream = TcpStream::connect(address).with_context(|| format!("no dashboard at {url}"))?;
        write!(stream, "GET /api/view HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("the dashboard answered nothing")?;
        serde_json::from_str(body).with_context(|| format!("the dashboard answered {head}"))
    }

    /// Forgets what was said so far.
    pub fn forget(&self) {
        while self.said.try_recv().is_ok() {}
    }

    /// The coordinator's next event of this name.
    pub fn hears(&mut self, event: &str, limit: Duration) -> Result<Value> {
        let until = Instant::now() + limit;
        loop {
            match self.said.recv_timeout(Duration::from_secs(1)) {
                Ok(Said { event: Some(said), .. }) if said["event"] == event => return Ok(said),
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => bail!("nobody speaks any more"),
            }
            let processes = [&mut self.broker, &mut self.coordinator];
            if let Some(problem) = processes.into_iter().flatten().find_map(Process::failed) {
                bail!("the {problem}");
            }
            if Instant::now() > until {
                bail!("the coordinator told of no `{event}` in {limit:?}");
            }
        }
    }
}

/// Short texts of two kinds.
fn texts() -> String {
    let mut text = String::new();
    for i in 0..RECORDS {
        let (label, words) = if i % 2 == 0 { ("up", "rose by") } else { ("down", "fell by") };
        let _ = writeln!(text, "{{\"text\": \"The level {words} {i} points.\", \"label\": \"{label}\"}}");
    }
    text
}
