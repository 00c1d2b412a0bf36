//! How long examples are, were none of them cut: counts of lengths as people give them.

use std::collections::BTreeMap;

/// Examples by their whole length, rounded up by an eighth at most or to 8 tokens: of such lengths there are few, however many
/// examples.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lengths {
    counts: BTreeMap<usize, usize>,
}

impl Lengths {
    /// One more example of so many tokens.
    pub fn add(&mut self, length: usize) {
        *self.counts.entry(rounded(length)).or_default() += 1;
    }

    /// A limit of tokens at which at least this share of the examples, from 0 to 1, would not be cut.
    pub fn limit_for(&self, share: f64) -> usize {
        let wanted = (share * self.counts.values().sum::<usize>() as f64).ceil() as usize;
        let mut whole = 0;
        let reached = self.counts.iter().find(|(_, examples)| {
            whole += **examples;
            whole >= wanted
        });
        reached.or(self.counts.last_key_value()).map_or(0, |(length, _)| *length)
    }

    /// Examples of at most so many tokens as the next power of two, from 8 on: (tokens, examples).
    pub fn doubling(&self) -> Vec<(usize, usize)> {
        let mut by_power = BTreeMap::new();
        for (length, examples) in &self.counts {
            *by_power.entry(length.next_power_of_two().max(8)).or_default() += examples;
        }
        let last = by_power.last_key_value().map_or(0, |(power, _)| *power);
        let first = by_power.first_key_value().map_or(8, |(power, _)| *power);
        let powers = std::iter::successors(Some(first), |power| Some(2 * power));
        powers
            .take_while(|power| *power <= last)
            .map(|p| (p, by_power.get(&p).copied().unwrap_or(0)))
            .collect()
    }
}

fn rounded(length: usize) -> usize {
    length.next_multiple_of((length.next_power_of_two() / 16).max(8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_keeps_the_share_that_was_asked_for() {
        let mut lengths = Lengths::default();
        assert_eq!((lengths.limit_for(1.0), lengths.doubling()), (0, vec![]));
        [3, 9, 9, 40, 100, 900].into_iter().for_each(|length| lengths.add(length));
        for (share, at_least) in [(0.1, 3), (0.5, 9), (0.6, 40), (0.8, 100), (1.0, 900)] {
            let limit = lengths.limit_for(share);
            assert!(limit >= at_least && limit <= at_least + at_least / 8 + 8, "{share}: {limit}");
        }
        let doubling = lengths.doubling();
        assert_eq!(doubling[..2], [(8, 1), (16, 2)]);
        assert_eq!(doubling.iter().map(|(_, n)| n).sum::<usize>(), 6);
        assert_eq!(doubling.last().map(|(power, _)| *power), Some(1024));
    }
}
