//! A deadline that waits while nobody can be expected to meet it.

use std::time::Duration;

/// Milliseconds of a clock that never jumps.
pub(crate) type Millis = u64;

/// Time left, which runs only while devices can report.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Countdown {
    left: Millis,
    since: Option<Millis>,
}

impl Countdown {
    /// So much time, from `since` on if that is known.
    pub(crate) fn new(left: Duration, since: Option<Millis>) -> Self {
        Countdown { left: left.as_millis() as Millis, since }
    }

    /// Time left.
    pub(crate) fn left(&self, now: Millis) -> Millis {
        self.left.saturating_sub(self.since.map_or(0, |since| now.saturating_sub(since)))
    }

    /// Holds it.
    pub(crate) fn stop(&mut self, now: Millis) {
        *self = Countdown { left: self.left(now), since: None };
    }

    /// Lets it run, if it does not already.
    pub(crate) fn run(&mut self, now: Millis) {
        self.since.get_or_insert(now);
    }
}
