//! The order in which examples are visited.

use sprig_ground::random::mix;

/// The order in which examples are visited: for every epoch another permutation of the data set, a pure function
/// of (seed, length, epoch), computed position by position and never stored.
///
/// The positions of all epochs form one endless sequence, so a batch at the end of an epoch takes its rest from
/// the next one, every batch is full, and the step number alone says where to resume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shuffle {
    seed: u64,
    len: u64,
    /// Bits of each half of the number that the Feistel network permutes.
    half_bits: u32,
}

/// Rounds of the network; four make a good permutation, two more cost nothing here.
const ROUNDS: u64 = 6;

/// Small sets are permuted within 2^8 numbers: with halves of a bit or two the network reaches few permutations.
const MIN_HALF_BITS: u32 = 4;

impl Shuffle {
    /// The order of `len` examples. `None` for an empty set, which has none.
    pub fn new(seed: u64, len: usize) -> Option<Self> {
        let len = u64::try_from(len).ok().filter(|&len| len > 0)?;
        let bits = u64::BITS - (len - 1).leading_zeros();
        Some(Self { seed, len, half_bits: bits.div_ceil(2).max(MIN_HALF_BITS) })
    }

    /// The example at `position` of the endless sequence; epoch `position / len`.
    pub fn at(&self, position: u64) -> usize {
        let key = mix(self.seed ^ mix(position / self.len));
        let mut index = position % self.len;
        // Walking the permutation of the larger power of two until it lands inside gives one of 0..len: at most
        // four steps on average for sets above 64, since the power is below 4·len.
        loop {
            index = self.permute(key, index);
            if index < self.len {
                return index as usize;
            }
        }
    }

    /// The examples of optimiser step `step` (from 0) with `batch` examples a step.
    pub fn batch(&self, step: u64, batch: usize) -> impl ExactSizeIterator<Item = usize> + use<> {
        let (order, first) = (*self, step * batch as u64);
        (0..batch).map(move |i| order.at(first + i as u64))
    }

    /// (epoch, examples of it already taken) after `steps` steps, for progress and reports.
    pub fn position(&self, steps: u64, batch: usize) -> (u64, u64) {
        let taken = steps * batch as u64;
        (taken / self.len, taken % self.len)
    }

    fn permute(&self, key: u64, index: u64) -> u64 {
        let mask = (1 << self.half_bits) - 1;
        let (mut left, mut right) = (index >> self.half_bits, index & mask);
        for round in 0..ROUNDS {
            (left, right) = (right, left ^ (mix(key ^ mix(right << 8 | round)) & mask));
        }
        left << self.half_bits | right
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(order: &Shuffle, epoch: u64) -> Vec<usize> {
        (0..order.len).map(|i| order.at(epoch * order.len + i)).collect()
    }

    #[test]
    fn every_epoch_visits_every_example_once_in_another_order() {
        for len in [1, 2, 3, 7, 64, 255, 256, 257, 1000, 4097] {
            let order = Shuffle::new(7, len).unwrap();
            let (first, second) = (epoch(&order, 0), epoch(&order, 1));
            for visited in [&first, &second] {
                let mut sorted = visited.clone();
                sorted.sort_unstable();
                assert!(sorted.into_iter().eq(0..len), "{len}");
            }
            let other = epoch(&Shuffle::new(8, len).unwrap(), 0);
            assert!(len < 7 || (first != second && first != other), "{len}");
        }
    }

    #[test]
    fn an_empty_set_has_no_order() {
        assert_eq!(Shuffle::new(7, 0), None);
    }

    /// A checkpoint resumes on another machine and in another version: the order is part of the format.
    #[test]
    fn the_order_is_pinned() {
        assert_eq!(epoch(&Shuffle::new(42, 10).unwrap(), 3), [6, 0, 5, 7, 8, 4, 2, 1, 9, 3]);
    }

    #[test]
    fn batches_wrap_into_the_next_epoch_and_resume_by_step() {
        let order = Shuffle::new(1, 5).unwrap();
        let straight: Vec<usize> = (0..12).map(|p| order.at(p)).collect();
        let batches: Vec<usize> = (0..4).flat_map(|step| order.batch(step, 3)).collect();
        assert_eq!(straight, batches);
        assert_eq!(order.position(2, 3), (1, 1));
        assert_eq!(order.batch(0, 8).len(), 8, "a batch may be larger than the set");
    }

    #[test]
    fn every_example_comes_to_every_place_about_equally_often() {
        for len in [2usize, 3, 5, 12, 20] {
            let (seeds, epochs) = (8, 3000);
            let mut chi = 0.0;
            for seed in 0..seeds {
                let order = Shuffle::new(seed, len).unwrap();
                let mut counts = vec![0.0; len * len];
                for e in 0..epochs {
                    for (place, example) in epoch(&order, e).into_iter().enumerate() {
                        counts[place * len + example] += 1.0;
                    }
                }
                let expected = epochs as f64 / len as f64;
                // Rows and columns of the table both have fixed sums: hence the factor and the degrees of freedom.
                let factor = (len - 1) as f64 / len as f64;
                chi +=
                    counts.iter().map(|c| (c - expected) * (c - expected) / expected).sum::<f64>() * factor;
            }
            let freedom = (seeds as usize * (len - 1) * (len - 1)) as f64;
            assert!((chi - freedom).abs() < 4.0 * (2.0 * freedom).sqrt(), "{len}: {chi} against {freedom}");
        }
    }
}
