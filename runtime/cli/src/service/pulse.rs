//! Whether a service is well: its main loop turns, and the broker has let it in.

use super::Supervisor;
use sprig_transport::link::Traffic;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What is known of a service's loop and its link, by the loop's own hand.
pub struct Pulse {
    /// Who looks after it.
    pub supervisor: Supervisor,
    begun: Instant,
    /// Longest time that one turn of the loop may take.
    longest: Duration,
    /// When the loop turned last, in milliseconds since the beginning.
    turned: AtomicU64,
    /// Why there is no connection, where there is none.
    away: Mutex<Option<String>>,
    sent: AtomicU64,
    received: AtomicU64,
}

impl Pulse {
    /// Of a loop whose turns take so long at most.
    pub fn new(longest: Duration) -> Self {
        Self {
            supervisor: Supervisor::of_environment(),
            begun: Instant::now(),
            longest,
            turned: AtomicU64::new(0),
            away: Mutex::new(Some("it has not answered yet".to_owned())),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
        }
    }

    /// The loop turns.
    pub fn turn(&self) {
        self.turned.store(self.begun.elapsed().as_millis() as u64, Ordering::Relaxed);
        self.supervisor.alive();
    }

    /// The broker let us in.
    pub fn connected(&self) {
        *self.away() = None;
        self.supervisor.ready();
    }

    /// It is gone, and why.
    pub fn disconnected(&self, why: String) {
        *self.away() = Some(why);
    }

    /// So much more has travelled.
    pub fn carried(&self, more: Traffic) {
        self.sent.fetch_add(more.up, Ordering::Relaxed);
        self.received.fetch_add(more.down, Ordering::Relaxed);
    }

    /// All that has travelled.
    pub fn traffic(&self) -> Traffic {
        Traffic { up: self.sent.load(Ordering::Relaxed), down: self.received.load(Ordering::Relaxed) }
    }

    /// Whether the broker has let us in, now.
    pub fn is_connected(&self) -> bool {
        self.away().is_none()
    }

    /// Time since the beginning.
    pub fn uptime(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Whether all is well; why not, if not.
    pub fn health(&self) -> Result<(), String> {
        let turned = Duration::from_millis(self.turned.load(Ordering::Relaxed));
        let stuck = self.begun.elapsed().saturating_sub(turned);
        if stuck > self.longest {
            let (stuck, longest) = (stuck.as_secs(), self.longest.as_secs());
            return Err(format!("its loop has not turned for {stuck} s, {longest} s is the most"));
        }
        self.away().as_ref().map_or(Ok(()), |why| Err(format!("not connected to the broker: {why}")))
    }

    fn away(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_well_while_it_is_connected_and_its_loop_turns() {
        let pulse = Pulse::new(Duration::from_millis(200));
        assert!(pulse.health().unwrap_err().contains("not answered yet"));
        pulse.connected();
        pulse.turn();
        assert_eq!(pulse.health(), Ok(()));
        pulse.disconnected("reset".to_owned());
        assert!(pulse.health().unwrap_err().contains("reset"));
        pulse.connected();
        std::thread::sleep(Duration::from_millis(250));
        assert!(pulse.health().unwrap_err().contains("not turned"));
    }
}
