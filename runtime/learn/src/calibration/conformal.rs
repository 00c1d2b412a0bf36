//! Conformal sets (split conformal prediction, Vovk and others 2005; scored as Sadinle, Lei and Wasserman 2019): how many
//! options one has to name to have the right one among them nine times in ten, whatever the model's probabilities are worth.

use super::item::Item;
use super::scaling::first_half;

/// Share of items whose set has to hold the answer.
const COVERAGE: f64 = 0.9;

/// What sets come to on some items.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sets {
    /// Mean number of options in a set.
    pub size: f64,
    /// Share of sets that hold the answer.
    pub covered: f64,
}

impl Sets {
    /// Of `items`, with a threshold that `validation` gives, or where there is none either half of the items the other, halves by
    /// `seed`. With fewer than nine items for a threshold every option is in every set.
    pub fn of(items: &[Item], validation: Option<&[Item]>, seed: u64) -> Self {
        let first = first_half(items.len(), seed);
        let half =
            |which: bool| items.iter().zip(&first).filter(move |(_, f)| **f == which).map(|(item, _)| item);
        let thresholds = match validation {
            Some(validation) => [threshold(validation.iter()); 2],
            None => [threshold(half(false)), threshold(half(true))],
        };
        let (mut size, mut covered) = (0, 0);
        for (item, first) in items.iter().zip(&first) {
            let least = thresholds[usize::from(!first)];
            let shares = item.probabilities(1.0);
            size += shares.iter().filter(|share| **share >= least).count();
            covered += usize::from(shares[item.answer] >= least);
        }
        let n = items.len().max(1) as f64;
        Self { size: size as f64 / n, covered: covered as f64 / n }
    }
}

/// The least probability of an option in a set: that of the answer which ⌈0.9(n + 1)⌉ of `items` reach; 0 of too few.
fn threshold<'i>(items: impl Iterator<Item = &'i Item>) -> f64 {
    let mut shares: Vec<f64> = items.map(|item| item.probabilities(1.0)[item.answer]).collect();
    shares.sort_unstable_by(|a, b| b.total_cmp(a));
    // Not a hair above a whole number that the product stands for.
    let rank = ((shares.len() + 1) as f64 * COVERAGE - 1e-9).ceil() as usize;
    shares.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sprig_ground::random::SplitMix64;

    /// Items of four options whose answers are drawn at a `temperature` that their probabilities do not know of.
    fn stream(random: &mut SplitMix64, n: usize, temperature: f64) -> Vec<Item> {
        let mut one = || {
            let logits = (0..4).map(|_| 5.0 * random.fraction()).collect();
            let mut item = Item { logits, answer: 0 };
            let (at, mut sum) = (random.fraction(), 0.0);
            let mut reached = |p: &f64| {
                sum += p;
                at < sum
            };
            item.answer = item.probabilities(temperature).iter().position(&mut reached).unwrap_or(3);
            item
        };
        (0..n).map(|_| one()).collect()
    }

    #[test]
    fn sets_hold_nine_answers_of_ten_however_sure_the_model_is() {
        let mut random = SplitMix64::new(5);
        let sizes = [1.0, 3.0].map(|temperature| {
            let (items, validation) =
                (stream(&mut random, 20_000, temperature), stream(&mut random, 20_000, temperature));
            let [by_others, by_halves] = [Some(&*validation), None].map(|v| Sets::of(&items, v, 1));
            for sets in [by_others, by_halves] {
                assert!((sets.covered - 0.9).abs() < 0.01, "{temperature}: {sets:?}");
                assert!(sets.size > 1.0 && sets.size < 4.0, "{temperature}: {sets:?}");
            }
            by_others.size
        });
        assert!(sizes[0] + 0.5 < sizes[1], "who knows less names more: {sizes:?}");
    }

    #[test]
    fn few_items_give_no_threshold() {
        let items = stream(&mut SplitMix64::new(1), 9, 1.0);
        assert_eq!(Sets::of(&items, Some(&items[..8]), 0), Sets { size: 4.0, covered: 1.0 });
        // Of nine the worst one's share, of nineteen the last but one's.
        let worst = items.iter().map(|item| item.probabilities(1.0)[item.answer]).fold(1.0, f64::min);
        assert_eq!(threshold(items.iter()), worst);
        assert_eq!(Sets::of(&items, Some(&items), 0).covered, 1.0);
        assert_eq!(Sets::of(&[], None, 0), Sets { size: 0.0, covered: 0.0 });
    }
}
