//! How often the same thing is told: a device that comes and goes, or a fleet that loses every round, is told of at once, and
//! then ever less often while it goes on.

use super::kind::Kind;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Time for which the same thing is not told again, at first; each time twice as long.
const SHORTEST: Duration = Duration::from_secs(60);
/// The same at most.
const LONGEST: Duration = Duration::from_secs(3600);
/// Things of which is remembered when they were told: more than are told in [`LONGEST`].
const MOST: usize = 1024;
/// Calls in a row, whatever of.
const BURST: u32 = 16;
/// Time after which there may be one more.
const PACE: Duration = Duration::from_secs(10);

/// What was told, and when.
#[derive(Debug, Default)]
pub(super) struct Calm {
    told: HashMap<(Kind, String), (Instant, Duration)>,
    /// Calls that count, and since when.
    calls: u32,
    since: Option<Instant>,
}

impl Calm {
    /// Whether this is to be told now; then it has been.
    pub(super) fn lets(&mut self, now: Instant, (kind, subject): (Kind, &str)) -> bool {
        let key = (kind, subject.to_owned());
        let known = self.told.get(&key).copied();
        if known.is_some_and(|(at, pause)| now.duration_since(at) < pause) || !self.has_room(now) {
            return false;
        }
        // What was quiet for as long again is new.
        let pause = match known {
            Some((at, pause)) if now.duration_since(at) < 2 * pause => (2 * pause).min(LONGEST),
            _ => SHORTEST,
        };
        self.told.retain(|_, (at, pause)| now.duration_since(*at) < 2 * *pause);
        if self.told.len() < MOST {
            self.told.insert(key, (now, pause));
        }
        self.calls += 1;
        true
    }

    /// Whether there may be a call, whatever of.
    fn has_room(&mut self, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        let gone = (now.duration_since(since).as_secs() / PACE.as_secs()) as u32;
        self.calls = self.calls.saturating_sub(gone);
        self.since = Some(since + gone * PACE);
        self.calls < BURST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_told_ever_less_often_while_it_goes_on() {
        let (mut calm, start) = (Calm::default(), Instant::now());
        let mut told = Vec::new();
        for second in 0..20_000 {
            if calm.lets(start + Duration::from_secs(second), (Kind::Quarantined, "kitchen")) {
                told.push(second);
            }
        }
        assert_eq!(told, [0, 60, 180, 420, 900, 1860, 3780, 7380, 10_980, 14_580, 18_180]);
        // Another device is another matter; what was quiet for long is new.
        let later = start + Duration::from_secs(18_181);
        assert!(calm.lets(later, (Kind::Quarantined, "hall")));
        let much_later = later + 3 * LONGEST;
        assert!(calm.lets(much_later, (Kind::Quarantined, "kitchen")));
        assert!(calm.lets(much_later + SHORTEST, (Kind::Quarantined, "kitchen")));
    }

    #[test]
    fn many_things_at_once_are_told_at_a_pace() {
        let (mut calm, start) = (Calm::default(), Instant::now());
        let mut told = |second: u64, devices: std::ops::Range<u32>| {
            let now = start + Duration::from_secs(second);
            devices.filter(|n| calm.lets(now, (Kind::Quarantined, &n.to_string()))).count()
        };
        assert_eq!(told(0, 0..1000), BURST as usize);
        assert_eq!(told(9, 1000..2000), 0);
        assert_eq!(told(31, 2000..3000), 3);
        assert_eq!(told(100_000, 3000..4000), BURST as usize);
    }
}
