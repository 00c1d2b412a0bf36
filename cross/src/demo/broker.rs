//! The broker of a demo: our own, Debian's mosquitto as `sprig provision` sets it up, or one that runs already.

use super::processes::{Process, Said};
use crate::packages;
use crate::sprig::Sprig;
use anyhow::{Context, Result, bail};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::str::FromStr;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

/// Longest a broker may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `sprig broker`: no login, no TLS.
    Embedded,
    /// Debian's, with certificates and an access list.
    Mosquitto,
    /// One that runs already.
    Url(String),
}

/// A broker that answers. Dropped, it ends, if it is ours.
pub struct Broker {
    process: Option<Process>,
    /// Where it is.
    pub url: String,
}

impl FromStr for Kind {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "embedded" => Ok(Self::Embedded),
            "mosquitto" => Ok(Self::Mosquitto),
            url if url.starts_with("mqtt://") || url.starts_with("mqtts://") => Ok(Self::Url(url.to_owned())),
            _ => Err("use embedded, mosquitto, or a URL: mqtt://HOST:PORT or mqtts://HOST:PORT"),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => write!(f, "embedded"),
            Self::Mosquitto => write!(f, "mosquitto"),
            Self::Url(url) => write!(f, "{url}"),
        }
    }
}

impl Broker {
    /// Starts it on a free port, if it does not run already. For mosquitto `work`, an empty folder, becomes a provisioned
    /// fleet with these devices.
    pub fn start(
        kind: &Kind,
        sprig: &Sprig,
        devices: &[String],
        work: &Path,
        say: &Sender<Said>,
    ) -> Result<Self> {
        if let Kind::Url(url) = kind {
            return Ok(Self { process: None, url: url.clone() });
        }
        let address =
            TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).context("no free port")?;
        let (command, url) = match kind {
            Kind::Mosquitto => mosquitto(sprig, address.port(), devices, work)?,
            _ => {
                let command = sprig.command(&["broker", "--listen", &address.to_string()]);
                (command, format!("mqtt://{address}"))
            }
        };
        let mut process = Process::start("broker", command, say)?;
        let until = Instant::now() + PATIENCE;
        while !answers(address) {
            if let Some(problem) = process.failed() {
                bail!("the {problem}{}", log(work));
            }
            if Instant::now() > until {
                bail!("the {kind} broker does not answer at {address}{}", log(work));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Self { process: Some(process), url })
    }

    /// Whether it has ended, where it is ours.
    pub fn failed(&mut self) -> Option<String> {
        self.process.as_mut()?.failed()
    }
}

/// Provisions a fleet in `work`; mosquitto as configured there, and where it will be.
fn mosquitto(sprig: &Sprig, port: u16, devices: &[String], work: &Path) -> Result<(Command, String)> {
    let program = packages::find_or_install("mosquitto", "mosquitto")?;
    let (port, devices, out) = (port.to_string(), devices.join(","), work.to_string_lossy());
    let mut request = vec!["provision", "--out", &out, "--fleet", "demo", "--devices", &devices];
    request.extend(["--host", "127.0.0.1", "--port", &port]);
    let made = sprig.json(&request)?;
    let url = made["broker_url"].as_str().context("sprig provision names no broker")?.to_owned();
    let folder = work.join("broker");
    if packages::is_root() {
        // Started by root, mosquitto would become a user who cannot read the keys.
        let config = folder.join("mosquitto.conf");
        let mut config = OpenOptions::new().append(true).open(&config)?;
        writeln!(config, "user root")?;
    }
    let mut command = Command::new(program);
    let log = File::create(folder.join("mosquitto.log")).context("cannot write mosquitto's log")?;
    command.args(["-c", "mosquitto.conf"]).current_dir(&folder).stderr(log);
    Ok((command, url))
}

fn answers(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
}

/// The end of a message: mosquitto's last word.
fn log(work: &Path) -> String {
    let text = std::fs::read_to_string(work.join("broker/mosquitto.log")).unwrap_or_default();
    text.lines().last().map_or_else(String::new, |line| format!(": {line}"))
}
