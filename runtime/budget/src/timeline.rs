//! Memory over time, in a fixed amount of memory.

use crate::{Bytes, alloc, process};
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// Memory at one moment, or the most of each over the interval that ends there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Milliseconds since the timeline began.
    pub ms: u64,
    /// Bytes allocated.
    pub heap: Bytes,
    /// Bytes resident.
    pub rss: Bytes,
    /// The step the run was in.
    pub step: u64,
}

impl Sample {
    fn merge(self, later: Sample) -> Sample {
        Sample { heap: self.heap.max(later.heap), rss: self.rss.max(later.rss), ..later }
    }
}

/// A series that covers the whole run in at most `capacity` samples: when it is full, neighbours are
/// merged two by two and each later sample stands for twice as many. Peaks survive every merge.
/// Nothing is allocated after construction. As JSON it is the list of its samples.
#[derive(Clone, Debug)]
pub struct Timeline {
    start: Instant,
    samples: Vec<Sample>,
    capacity: usize,
    /// Pushes that one kept sample stands for.
    stride: u64,
    /// Pushes merged into `pending` so far.
    count: u64,
    pending: Option<Sample>,
}

impl Timeline {
    /// An empty timeline that begins now; `capacity` is rounded up to an even number, at least 2.
    pub fn new(capacity: usize) -> Timeline {
        let capacity = capacity.max(2).next_multiple_of(2);
        Timeline {
            start: Instant::now(),
            samples: Vec::with_capacity(capacity),
            capacity,
            stride: 1,
            count: 0,
            pending: None,
        }
    }

    /// Samples the heap and the resident size of this process.
    pub fn record(&mut self, step: u64) {
        let ms = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let rss = process::status().rss.unwrap_or_default();
        self.push(Sample { ms, heap: alloc::current(), rss, step });
    }

    /// Adds a sample taken elsewhere; samples come in order of time.
    pub fn push(&mut self, sample: Sample) {
        let merged = self.pending.map_or(sample, |pending| pending.merge(sample));
        self.count += 1;
        if self.count < self.stride {
            self.pending = Some(merged);
            return;
        }
        (self.pending, self.count) = (None, 0);
        if self.samples.len() == self.capacity {
            for i in 0..self.capacity / 2 {
                self.samples[i] = self.samples[2 * i].merge(self.samples[2 * i + 1]);
            }
            self.samples.truncate(self.capacity / 2);
            self.stride *= 2;
            // This push is the first half of the next, coarser sample.
            (self.pending, self.count) = (Some(merged), self.stride / 2);
        } else {
            self.samples.push(merged);
        }
    }

    /// All samples, the unfinished one last.
    pub fn iter(&self) -> impl Iterator<Item = &Sample> {
        self.samples.iter().chain(&self.pending)
    }
}

impl Serialize for Timeline {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample(i: u64, rss: u64) -> Sample {
        Sample { ms: 10 * i, heap: Bytes(rss / 2), rss: Bytes(rss), step: i }
    }

    proptest! {
        #[test]
        fn covers_the_run_keeps_the_peak_and_its_size(rss in prop::collection::vec(0u64..1000, 1..200), capacity in 0usize..9) {
            let mut timeline = Timeline::new(capacity);
            let room = timeline.samples.capacity();
            for (i, r) in rss.iter().enumerate() {
                timeline.push(sample(i as u64, *r));
            }
            prop_assert_eq!(timeline.samples.capacity(), room);
            prop_assert!(timeline.iter().count() <= timeline.capacity + 1);
            prop_assert_eq!(timeline.iter().map(|s| s.rss.0).max(), rss.iter().max().copied());
            prop_assert_eq!(timeline.iter().last().unwrap().step, rss.len() as u64 - 1);
            // Every push is in exactly one sample: the last step of each is a whole number of strides on.
            for (i, s) in timeline.samples.iter().enumerate() {
                prop_assert_eq!(s.step + 1, (i as u64 + 1) * timeline.stride);
            }
        }
    }

    #[test]
    fn records_this_process_and_serialises_as_a_list() {
        let mut timeline = Timeline::new(4);
        timeline.record(7);
        let json = serde_json::to_value(&timeline).unwrap();
        assert_eq!(json[0]["step"], 7);
        assert!(json[0]["rss"].as_u64() > Some(100_000), "{json}");
    }
}
