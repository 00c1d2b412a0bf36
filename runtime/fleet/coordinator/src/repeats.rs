//! How often a device may ask for the same blob from its beginning: one that asks again and again must not keep the coordinator
//! sending.

use crate::countdown::Millis;
use sprig_transport::messages::{DeviceId, Digest};
use std::collections::HashMap;

/// A blob is begun for a device so often in [`WINDOW`]; a device that lacks some of its chunks asks from the first of those.
const MOST: u32 = 4;
/// A small one so often as makes so many chunks, 512 KiB: a link that loses much loses it several times in a row, and a device
/// asks every three seconds.
const CHUNKS: u32 = 32;
/// The time in which that is counted.
const WINDOW: Millis = 60_000;
/// Devices that are remembered, at most, beyond those of the last minute.
const REMEMBERED: usize = 4096;

/// What devices asked for last.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    asked: HashMap<DeviceId, Asked>,
    /// Devices left when those of long ago were last forgotten.
    left: usize,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    digest: Digest,
    times: u32,
    since: Millis,
}

impl Repeats {
    /// Whether `device` is sent the blob `digest` of so many chunks from its beginning now.
    pub(crate) fn allow(&mut self, device: &DeviceId, (digest, chunks): (Digest, u32), now: Millis) -> bool {
        // Once they have doubled: many that ask in one minute are not all looked at for each of them.
        if self.asked.len() >= REMEMBERED.max(2 * self.left) {
            self.asked.retain(|_, asked| now < asked.since + WINDOW);
            self.left = self.asked.len();
        }
        let fresh = Asked { digest, times: 0, since: now };
        let asked = self.asked.entry(device.clone()).or_insert(fresh);
        if asked.digest != digest || now >= asked.since + WINDOW {
            *asked = fresh;
        }
        asked.times = asked.times.saturating_add(1);
        asked.times <= MOST.max(CHUNKS / chunks.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_blob_is_begun_a_few_times_a_minute_for_a_device() {
        let mut repeats = Repeats::default();
        let (one, other) = (DeviceId::parse("one").unwrap(), DeviceId::parse("other").unwrap());
        let (blob, next) = ((Digest([1; 32]), 300), (Digest([2; 32]), 300));
        let asked: Vec<bool> = (0..6).map(|i| repeats.allow(&one, blob, 1000 * i)).collect();
        assert_eq!(asked, [true, true, true, true, false, false]);
        assert!(repeats.allow(&other, blob, 6000), "another device");
        assert!(repeats.allow(&one, next, 7000), "the next round's");
        assert!(repeats.allow(&one, blob, 8000), "it may come back to one");
        for _ in 0..5 {
            repeats.allow(&one, blob, 9000);
        }
        assert!(!repeats.allow(&one, blob, 10_000) && repeats.allow(&one, blob, 70_000), "a minute later");
    }

    #[test]
    fn a_small_blob_is_begun_whenever_a_device_asks_as_devices_do() {
        let (mut repeats, device) = (Repeats::default(), DeviceId::parse("one").unwrap());
        let begun = |every: Millis, chunks: u32, repeats: &mut Repeats| {
            let asks = (0..WINDOW / every).map(|i| i * every);
            asks.filter(|now| repeats.allow(&device, (Digest([chunks as u8; 32]), chunks), *now)).count()
        };
        assert_eq!(begun(3000, 1, &mut repeats), 20, "all");
        assert_eq!(begun(100, 2, &mut repeats), 16, "no more than 512 KiB");
    }

    #[test]
    fn whoever_asked_long_ago_is_forgotten() {
        let mut repeats = Repeats::default();
        for i in 0..REMEMBERED {
            repeats.allow(&DeviceId::parse(&format!("d{i}")).unwrap(), (Digest([0; 32]), 1), 0);
        }
        repeats.allow(&DeviceId::parse("late").unwrap(), (Digest([0; 32]), 1), WINDOW);
        assert_eq!(repeats.asked.len(), 1);
    }
}
