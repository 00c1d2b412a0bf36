//! Virtual time, and the clocks that processes read it from.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The time of a world, in milliseconds. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Time(Arc<AtomicU64>);

impl Time {
    /// Milliseconds since the world began.
    pub(crate) fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Lets time pass.
    pub(crate) fn pass(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }
}

/// A machine's clock: it only moves forward, but may jump. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    time: Time,
    ahead: Arc<AtomicU64>,
}

impl Watch {
    pub(crate) fn new(time: &Time) -> Self {
        Self { time: time.clone(), ahead: Arc::default() }
    }

    /// What it shows.
    pub(crate) fn now(&self) -> Duration {
        Duration::from_millis(self.time.now() + self.ahead.load(Ordering::Relaxed))
    }

    /// It jumps.
    pub(crate) fn jump(&self, ms: u64) {
        self.ahead.fetch_add(ms, Ordering::Relaxed);
    }
}
