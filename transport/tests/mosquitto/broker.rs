//! A mosquitto of a test's own: a free port, a folder that goes when it does.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

pub struct Mosquitto {
    port: u16,
    folder: tempfile::TempDir,
    process: Option<Child>,
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
        let folder = tempfile::tempdir().unwrap();
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let settings = settings(folder.path());
        // Started by root it would give up its rights, and with them those to this folder.
        let config = format!(
            "listener {} 127.0.0.1\nuser root\npersistence false\nmax_queued_messages 100000\n\
             log_dest stderr\nlog_type all\n{settings}\n",
            free.port()
        );
        fs::write(folder.path().join("mosquitto.conf"), config).unwrap();
        Self { port: free.port(), folder, process: None }
    }

    pub fn start(&mut self) {
        let log = fs::File::create(self.folder.path().join("log")).unwrap();
        let mut command = Command::new(program("mosquitto"));
        command.arg("-c").arg(self.folder.path().join("mosquitto.conf"));
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let until = Instant::now() + Duration::from_secs(20);
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
        self.folder.path().join(name)
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A program of the mosquitto packages, in `PATH` or where Debian puts servers.
pub fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    let mut found = folders.map(|folder| folder.join(name)).filter(|file| file.is_file());
    found.next().unwrap_or_else(|| panic!("no {name}: run `cargo xtask test`, which installs mosquitto"))
}
