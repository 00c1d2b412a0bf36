//! A mosquitto of a test's own: it ends with the test.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Longest it may take to start; a loaded machine needs some of it.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Mosquitto {
    port: u16,
    folder: PathBuf,
    process: Option<Child>,
    /// Goes with the value, if the folder is its own.
    _own: Option<tempfile::TempDir>,
}

impl Mosquitto {
    /// Starts one that lets everybody in.
    pub fn open() -> Self {
        Self::with(|_| "allow_anonymous true".to_owned())
    }

    /// Starts one whose further settings `settings` makes, in the folder given.
    pub fn with(settings: impl FnOnce(&Path) -> String) -> Self {
        let mut broker = Self::prepared(settings);
        broker.start();
        broker
    }

    /// One that is not started yet.
    pub fn prepared(settings: impl FnOnce(&Path) -> String) -> Self {
        let own = tempfile::tempdir().unwrap();
        let (folder, port) = (own.path().to_owned(), free_port());
        let settings = settings(&folder);
        let config = format!(
            "listener {port} 127.0.0.1\npersistence false\nmax_queued_messages 100000\nlog_dest stderr\n\
             log_type all\n{settings}\n"
        );
        fs::write(folder.join("mosquitto.conf"), config).unwrap();
        Self { port, folder, process: None, _own: Some(own) }
    }

    /// Starts the one that `folder` has the configuration of, and that listens at `port`.
    pub fn configured(folder: &Path, port: u16) -> Self {
        let mut broker = Self { port, folder: folder.to_owned(), process: None, _own: None };
        broker.start();
        broker
    }

    pub fn start(&mut self) {
        // Started by root it would give up its rights, and with them those to this folder.
        let config = fs::read_to_string(self.file("mosquitto.conf")).unwrap();
        if !config.contains("\nuser root\n") {
            fs::write(self.file("mosquitto.conf"), config + "\nuser root\n").unwrap();
        }
        let log = fs::File::create(self.file("log")).unwrap();
        let mut command = Command::new(program("mosquitto"));
        command.args(["-c", "mosquitto.conf"]).current_dir(&self.folder);
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            if Instant::now() > until || process.try_wait().unwrap().is_some() {
                panic!("mosquitto does not start: {}", self.log());
            }
            thread::sleep(Duration::from_millis(20));
        }
        self.process = Some(process);
    }

    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Has it read its files anew. It says nothing of it, and does it between two messages.
    pub fn reload(&self) {
        let id = self.process.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args(["-HUP", &id]).status().unwrap().success());
    }

    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    pub fn tls_url(&self) -> String {
        format!("mqtts://localhost:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.file("log")).unwrap_or_default()
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that nobody listens at.
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// A program of the mosquitto packages, in `PATH` or where Debian puts servers.
pub fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    let mut found = folders.map(|folder| folder.join(name)).filter(|file| file.is_file());
    found.next().unwrap_or_else(|| panic!("no {name}: run `cargo xtask test`, which installs mosquitto"))
}
