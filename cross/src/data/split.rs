//! From a pool of records to a balanced training and held-out set.

use super::Record;
use sprig_ground::random::SplitMix64;
use std::collections::BTreeMap;

/// A record and the document it was taken from.
pub struct Candidate {
    /// The record.
    pub record: Record,
    /// Records of one document are never split between the two sets.
    pub document: u64,
}

/// How many records each of the two sets has.
pub struct Sizes {
    /// Training records.
    pub train: usize,
    /// Held-out records.
    pub held_out: usize,
}

/// Splits by document, then draws from each side as many records of every label, and within a label as even
/// a share of every domain as there is.
pub fn split(candidates: Vec<Candidate>, sizes: &Sizes, seed: u64) -> (Vec<Record>, Vec<Record>) {
    let (mut train, mut held_out) = (Vec::new(), Vec::new());
    for candidate in candidates {
        // A third of the documents is more than the held-out set needs of the scarcest label.
        let side = SplitMix64::new(candidate.document ^ seed.rotate_left(32)).below(3);
        if side == 0 { &mut held_out } else { &mut train }.push(candidate.record);
    }
    let mut random = SplitMix64::new(seed);
    (balanced(train, sizes.train, &mut random), balanced(held_out, sizes.held_out, &mut random))
}

/// `count` of `records`, rounded down to a multiple of the number of labels, in random order.
fn balanced(mut records: Vec<Record>, count: usize, random: &mut SplitMix64) -> Vec<Record> {
    random.shuffle(&mut records);
    let mut cells: BTreeMap<&str, BTreeMap<&str, Vec<Record>>> = BTreeMap::new();
    for record in records {
        cells.entry(record.label).or_default().entry(record.domain).or_default().push(record);
    }
    let scarcest = cells.values().map(|domains| domains.values().map(Vec::len).sum()).min().unwrap_or(0);
    let share = (count / cells.len().max(1)).min(scarcest);
    let mut chosen = Vec::new();
    for mut domains in cells.into_values() {
        let mut taken = 0;
        while taken < share {
            for records in domains.values_mut() {
                if taken < share
                    && let Some(record) = records.pop()
                {
                    chosen.push(record);
                    taken += 1;
                }
            }
        }
    }
    random.shuffle(&mut chosen);
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates() -> Vec<Candidate> {
        let record = |n: u64| Record {
            text: n.to_string(),
            label: if n.is_multiple_of(3) { "rare" } else { "common" },
            domain: if n.is_multiple_of(2) { "even" } else { "odd" },
        };
        (0..900).map(|n| Candidate { record: record(n), document: n / 5 }).collect()
    }

    #[test]
    fn documents_stay_on_one_side_and_labels_are_even() {
        let (train, held_out) = split(candidates(), &Sizes { train: 200, held_out: 80 }, 7);
        assert_eq!((train.len(), held_out.len()), (200, 80));
        let documents = |records: &[Record]| -> std::collections::BTreeSet<u64> {
            records.iter().map(|record| record.text.parse::<u64>().unwrap() / 5).collect()
        };
        assert!(documents(&train).is_disjoint(&documents(&held_out)));
        for label in ["rare", "common"] {
            let of = |domain| train.iter().filter(|r| r.label == label && r.domain == domain).count();
            assert_eq!((of("even"), of("odd")), (50, 50));
        }
    }

    #[test]
    fn the_seed_decides() {
        let sizes = Sizes { train: 100, held_out: 50 };
        assert_eq!(split(candidates(), &sizes, 1), split(candidates(), &sizes, 1));
        assert_ne!(split(candidates(), &sizes, 1), split(candidates(), &sizes, 2));
    }

    #[test]
    fn a_pool_that_is_too_small_gives_what_it_has() {
        let (train, _) = split(candidates(), &Sizes { train: 5000, held_out: 1 }, 1);
        let rare = train.iter().filter(|record| record.label == "rare").count();
        assert_eq!(rare * 2, train.len());
    }
}
