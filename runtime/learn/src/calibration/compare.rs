//! Two models on the same items: the difference of an error, and whether there is one.

use super::bins::Bins;
use super::item::Item;
use serde::Serialize;
use sprig_ground::random::SplitMix64;

/// Resamples of the items.
const RESAMPLES: usize = 2000;

/// A difference, first less second, and its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Of the errors over 15 bins of equal width.
    pub ece15: f64,
    /// Its interval by resampling items, the same for both.
    pub ece15_interval: [f64; 2],
    /// Of the accuracies.
    pub accuracy: f64,
    /// Its interval.
    pub accuracy_interval: [f64; 2],
}

/// Compares `first` with `second`, which judge the same items in the same order; `None` where they are not as many.
pub fn difference(first: &[Item], second: &[Item], seed: u64) -> Option<Difference> {
    if first.len() != second.len() || first.is_empty() {
        return None;
    }
    let judged = |items: &[Item]| items.iter().map(|item| item.confidence(1.0)).collect::<Vec<_>>();
    let (a, b) = (judged(first), judged(second));
    let of = |pick: &[usize]| {
        let one = |all: &[(f64, bool)]| {
            let bins = Bins::of(15, pick.iter().map(|&i| all[i]));
            let right = pick.iter().filter(|&&i| all[i].1).count();
            (bins.ece(), right as f64 / pick.len() as f64)
        };
        let (a, b) = (one(&a), one(&b));
        (a.0 - b.0, a.1 - b.1)
    };
    let mut random = SplitMix64::new(seed);
    let mut pick: Vec<usize> = (0..first.len()).collect();
    let (ece15, accuracy) = of(&pick);
    let mut found = [Vec::with_capacity(RESAMPLES), Vec::with_capacity(RESAMPLES)];
    for _ in 0..RESAMPLES {
        pick.iter_mut().for_each(|i| *i = random.below(first.len()));
        let (error, right) = of(&pick);
        found[0].push(error);
        found[1].push(right);
    }
    let interval = |values: &mut Vec<f64>| {
        values.sort_unstable_by(f64::total_cmp);
        [values[RESAMPLES / 40], values[RESAMPLES - 1 - RESAMPLES / 40]]
    };
    let [mut errors, mut rights] = found;
    Some(Difference {
        ece15,
        ece15_interval: interval(&mut errors),
        accuracy,
        accuracy_interval: interval(&mut rights),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_surer_model_that_knows_no_more_is_told_apart() {
        let items = |scale: f64| -> Vec<Item> {
            let item = |i: usize| Item { logits: vec![scale, 0.0], answer: usize::from(i.is_multiple_of(4)) };
            (0..400).map(item).collect()
        };
        let (calm, sure) = (items(1.1), items(4.0));
        let found = difference(&sure, &calm, 1).unwrap();
        assert!(found.ece15 > 0.2 && found.ece15_interval[0] > 0.1, "{found:?}");
        assert_eq!((found.accuracy, found.accuracy_interval), (0.0, [0.0; 2]));
        assert!(difference(&sure, &sure, 1).is_some_and(|same| same.ece15_interval == [0.0; 2]));
        assert_eq!(difference(&sure, &calm[1..], 1), None);
    }
}
