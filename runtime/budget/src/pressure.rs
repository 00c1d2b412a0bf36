//! Memory pressure: what others on the machine leave, and how far to step aside for them.
//!
//! A burst by another process should slow a run, never have it killed. Between steps the run looks at
//! the kernel's readings; a [`Governor`] turns them into the bytes it may hold for now, and the plan
//! for that many bytes does the rest.

use crate::{Bytes, cgroup, process};
use sprig_ground::kernel::read_small;
use std::path::Path;
use std::time::Duration;

/// What the kernel says about memory now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// What could still be had without swapping, by the machine or by the cgroup, whichever is less.
    pub room: Option<Bytes>,
    /// Share of the last 10 s, in percent, in which some task waited for memory (pressure stall
    /// information, `some avg10`; Linux 4.20 and later).
    pub stalled: Option<f64>,
    /// All memory that may be counted on; see [`process::memory_at_hand`].
    pub at_hand: Option<Bytes>,
}

/// Takes a reading: five small files, about 0.1 ms.
pub fn read() -> Reading {
    let (machine, group, own) = (process::meminfo(), cgroup::cgroup(), process::status().file);
    // The group's page cache can be taken back, but for the pages this process has mapped and uses.
    let cache = group.cache.unwrap_or_default().0.saturating_sub(own.unwrap_or_default().0);
    let group_room = group
        .limit
        .zip(group.used)
        .map(|(limit, used)| Bytes((limit.0.saturating_sub(used.0) + cache).min(limit.0)));
    Reading {
        room: [machine.available, group_room].into_iter().flatten().min(),
        stalled: read_small(Path::new("/proc/pressure/memory"), parse_stall),
        at_hand: process::memory_at_hand(),
    }
}

/// Decides how many bytes a run may hold, between the least it can do with and what it was planned for.
#[derive(Clone, Debug)]
pub struct Governor {
    floor: Bytes,
    full: Bytes,
    now: Bytes,
    moved: Duration,
}

impl Governor {
    /// Stall share, percent, from which memory counts as tight.
    pub const STALLED: f64 = 10.0;
    /// Quiet time before more is taken again; `avg10` needs 10 s to forget a burst.
    pub const CALM: Duration = Duration::from_secs(10);
    /// Time between two moves down: the kernel needs some to show what a move gave.
    pub const PAUSE: Duration = Duration::from_secs(1);

    /// A run that holds `full` bytes and could do with `floor`.
    pub fn new(floor: Bytes, full: Bytes) -> Governor {
        Governor { floor: floor.min(full), full, now: full, moved: Duration::ZERO }
    }

    /// What should stay free for others: a 32nd of the memory at hand, at least 16 MiB.
    pub fn reserve(at_hand: Option<Bytes>) -> Bytes {
        Bytes::mib(16).max(Bytes(at_hand.unwrap_or_default().0 / 32))
    }

    /// The bytes to hold from now on, if that changed. `clock` is the time since the run began.
    pub fn judge(&mut self, clock: Duration, reading: &Reading) -> Option<Bytes> {
        let reserve = Self::reserve(reading.at_hand);
        let tight = reading.room.is_some_and(|room| room < reserve)
            || reading.stalled.is_some_and(|stalled| stalled >= Self::STALLED);
        let since = clock.saturating_sub(self.moved);
        let next = if tight {
            if since < Self::PAUSE {
                return None;
            }
            Bytes(self.now.0 / 4 * 3).max(self.floor)
        } else {
            let next = Bytes(self.now.0 / 3 * 4 + 4).min(self.full);
            let fits = reading.room.is_none_or(|room| room.0 >= reserve.0 + (next.0 - self.now.0));
            if since < Self::CALM || !fits {
                return None;
            }
            next
        };
        if tight || next != self.now {
            self.moved = clock;
        }
        (next != self.now).then(|| {
            self.now = next;
            next
        })
    }
}

/// `some avg10=1.23 avg60=...` of a pressure file.
fn parse_stall(text: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let number = line.split_whitespace().find_map(|field| field.strip_prefix("avg10="))?;
    number.parse().ok().filter(|share: &f64| share.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(mib: u64) -> Reading {
        Reading { room: Some(Bytes::mib(mib)), stalled: Some(0.0), at_hand: Some(Bytes::mib(512)) }
    }

    fn seconds(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    #[test]
    fn steps_aside_down_to_the_floor_and_comes_back_when_it_is_over() {
        let mut governor = Governor::new(Bytes::mib(60), Bytes::mib(128));
        assert_eq!(governor.judge(seconds(20), &room(100)), None);
        assert_eq!(governor.judge(seconds(21), &room(10)), Some(Bytes::mib(96)));
        // A move down is given a second to show.
        assert_eq!(governor.judge(seconds(21), &room(10)), None);
        assert_eq!(governor.judge(seconds(22), &room(10)), Some(Bytes::mib(72)));
        assert_eq!(governor.judge(seconds(23), &room(10)), Some(Bytes::mib(60)));
        assert_eq!(governor.judge(seconds(24), &room(10)), None);
        // Back, ten quiet seconds a move, and only into room that is there.
        assert_eq!(governor.judge(seconds(33), &room(100)), None);
        assert_eq!(governor.judge(seconds(34), &room(30)), None);
        let mut held = Bytes::mib(60);
        for s in 35..100 {
            if let Some(more) = governor.judge(seconds(s), &room(100)) {
                assert!(more > held);
                held = more;
            }
        }
        assert_eq!(held, Bytes::mib(128));
    }

    #[test]
    fn stalls_count_as_pressure_and_unknown_readings_as_none() {
        let mut governor = Governor::new(Bytes::mib(60), Bytes::mib(128));
        assert_eq!(governor.judge(seconds(99), &Reading::default()), None);
        let stalled = Reading { stalled: Some(12.5), ..room(100) };
        assert_eq!(governor.judge(seconds(100), &stalled), Some(Bytes::mib(96)));
    }

    #[test]
    fn pressure_files_as_the_kernel_writes_them() {
        let text =
            "some avg10=3.07 avg60=0.54 avg300=0.11 total=1234\nfull avg10=1.00 avg60=0 avg300=0 total=9\n";
        assert_eq!(parse_stall(text), Some(3.07));
        assert_eq!(parse_stall("some avg10=NaN avg60=0"), None);
        assert_eq!(parse_stall(""), None);
        assert!(read().room > Some(Bytes::mib(1)));
    }
}
