//! A part of some records, drawn record by record: whether one is in it depends on what it says and on a seed, not on where it
//! stands, so that data may grow, be sorted or be split over files, and what was held out stays so.

use super::record::Record;
use sprig_ground::random::mix;

/// A share of the records, or all others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part {
    /// How many of all, from 0 to 1.
    pub share: f64,
    /// Another seed draws others.
    pub seed: u64,
    /// Whether those drawn are meant, and not the others.
    pub drawn: bool,
}

impl Part {
    /// All that are not in it.
    pub fn others(self) -> Self {
        Self { drawn: !self.drawn, ..self }
    }

    pub(super) fn has(&self, record: &Record) -> bool {
        let place = mix(record.hash() ^ mix(self.seed)) as f64 / u64::MAX as f64;
        (place < self.share) == self.drawn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(share: f64, seed: u64, texts: std::ops::Range<usize>) -> Vec<usize> {
        let part = Part { share, seed, drawn: true };
        let record = |i: usize| Record::Text(format!("text {i}"));
        let all: Vec<usize> = texts.filter(|&i| part.has(&record(i))).collect();
        assert!(all.iter().all(|&i| !part.others().has(&record(i))));
        all
    }

    #[test]
    fn a_share_is_drawn_whatever_else_there_is() {
        let some = drawn(0.1, 3, 0..10_000);
        assert!((900..1100).contains(&some.len()), "{}", some.len());
        assert_eq!(
            drawn(0.1, 3, 5_000..10_000),
            some.iter().copied().filter(|&i| i >= 5_000).collect::<Vec<_>>()
        );
        // A larger share has those of a smaller one, and another seed has others.
        let more = drawn(0.2, 3, 0..10_000);
        assert!(some.iter().all(|i| more.contains(i)) && more.len() > 1_800);
        assert_ne!(drawn(0.1, 4, 0..10_000), some);
        assert!(drawn(0.0, 3, 0..100).is_empty());
        let labelled = |label: &str| Record::Labelled { text: "t".into(), label: label.into() };
        assert_ne!(labelled("a").hash(), labelled("b").hash());
    }
}
