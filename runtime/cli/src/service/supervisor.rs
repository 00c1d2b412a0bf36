//! What systemd is told, as sd_notify(3) has it: lines of `NAME=value` to a socket whose address is in the environment. Where
//! there is none, nobody is told.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Bytes of a status line, at most.
const STATUS: usize = 256;
/// Longest time that telling may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whoever started this service and looks after it.
pub struct Supervisor {
    to: Option<(UnixDatagram, SocketAddr)>,
    /// Time from one sign of life to the next: half of the time after which the process is ended without one.
    pause: Option<Duration>,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    ready: bool,
    /// When it was told last that the main loop turns.
    alive: Option<Instant>,
    status: String,
}

impl Supervisor {
    /// The one that the environment names.
    pub fn of_environment() -> Self {
        let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
        // A parent's watchdog is none of ours.
        let ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|_| ours).map(Duration::from_micros);
        Self::new(std::env::var_os("NOTIFY_SOCKET"), watchdog)
    }

    fn new(socket: Option<OsString>, watchdog: Option<Duration>) -> Self {
        let to = socket.and_then(|name| {
            let (own, address) = (UnixDatagram::unbound().ok()?, address(&name).ok()?);
            // One that does not read must not hold the loop up that it watches.
            own.set_write_timeout(Some(PATIENCE)).ok()?;
            Some((own, address))
        });
        Self { to, pause: watchdog.map(|watchdog| watchdog / 2), told: Mutex::default() }
    }

    /// The service is up. Told once.
    pub fn ready(&self) {
        let first = !std::mem::replace(&mut self.told().ready, true);
        if first {
            self.tell("READY=1");
        }
    }

    /// How it goes, in one line.
    pub fn status(&self, line: &str) {
        let plain = line.chars().map(|c| if c.is_control() { ' ' } else { c });
        let mut line: String = plain.take(STATUS).collect();
        line.truncate(line.floor_char_boundary(STATUS));
        let mut told = self.told();
        if told.status != line {
            self.tell(&format!("STATUS={line}"));
            told.status = line;
        }
    }

    /// The main loop turns. Called by that loop alone, as often as it likes: one that is stuck must be noticed.
    pub fn alive(&self) {
        let Some(pause) = self.pause else { return };
        let mut told = self.told();
        if told.alive.is_none_or(|last| last.elapsed() >= pause) {
            told.alive = Some(Instant::now());
            self.tell("WATCHDOG=1");
        }
    }

    /// The service ends in order.
    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A supervisor that cannot be told is no reason to stop.
    fn tell(&self, text: &str) {
        if let Some((own, address)) = &self.to {
            let _ = own.send_to_addr(text.as_bytes(), address);
        }
    }
}

/// A path, or after `@` a name in the abstract space.
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes().strip_prefix(b"@") {
        Some(abstract_name) => SocketAddr::from_abstract_name(abstract_name),
        None => SocketAddr::from_pathname(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> Vec<String> {
        socket.set_nonblocking(true).unwrap();
        let mut bytes = [0; 1024];
        std::iter::from_fn(|| {
            socket.recv(&mut bytes).ok().map(|n| String::from_utf8_lossy(&bytes[..n]).into())
        })
        .collect()
    }

    #[test]
    fn a_supervisor_hears_each_thing_once_at_either_kind_of_address() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("sprig-test-{}", std::process::id());
        let abstract_address = SocketAddr::from_abstract_name(&name).unwrap();
        for (socket, given) in [
            (UnixDatagram::bind(&path).unwrap(), path.into_os_string()),
            (UnixDatagram::bind_addr(&abstract_address).unwrap(), OsString::from(format!("@{name}"))),
        ] {
            let supervisor = Supervisor::new(Some(given), Some(Duration::from_millis(40)));
            supervisor.ready();
            supervisor.ready();
            supervisor.status("round 1\nof 2");
            supervisor.status("round 1 of 2");
            supervisor.alive();
            supervisor.alive();
            assert_eq!(heard(&socket), ["READY=1", "STATUS=round 1 of 2", "WATCHDOG=1"]);
            std::thread::sleep(Duration::from_millis(25));
            supervisor.alive();
            supervisor.stopping();
            assert_eq!(heard(&socket), ["WATCHDOG=1", "STOPPING=1"]);
        }
    }

    #[test]
    fn without_a_supervisor_nobody_is_told() {
        let supervisor = Supervisor::new(None, None);
        supervisor.ready();
        supervisor.alive();
        // One that is gone harms nobody.
        let gone = Supervisor::new(Some("/nowhere/notify".into()), Some(Duration::ZERO));
        gone.ready();
        gone.alive();
    }
}
