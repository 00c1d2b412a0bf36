//! How sure and how right a way is on a set of items, and whether another is better: differences over resamples of items and
//! seeds together (paired, specification 6.9).

use sprig_ground::random::SplitMix64;
use std::collections::BTreeMap;

/// Bins of equal width, closed on the right.
pub const BINS: usize = 15;
/// Resamples behind an interval.
const RESAMPLES: usize = 2000;

/// An item as it was judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// The largest probability of its candidates,
    pub confidence: f64,
    /// and the same at the temperature that was fitted to other items.
    pub scaled: f64,
    /// Whether that candidate is the right one.
    pub right: bool,
}

/// One way's judgements of a set, those of each seed; the same items in the same order under all seeds and of all ways.
pub type Judgements = BTreeMap<u64, Vec<Judged>>;

/// What is compared. All are the better the less they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Expected calibration error,
    Ece,
    /// and after temperature scaling.
    ScaledEce,
    /// Share of answers that are wrong.
    Wrong,
    /// 1 less the area under the receiver's curve: how often a wrong answer is surer than a right one.
    Unranked,
}

/// A first way less the best of others; below 0 where the first is better.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// The mean over the seeds,
    pub value: f64,
    /// and 95 of 100 resamples lie within.
    pub interval: (f64, f64),
}

/// Compares over the seeds that all have; `None` where there are none or their items are not as many.
pub fn difference(
    first: &Judgements,
    others: &[&Judgements],
    metric: Metric,
    seed: u64,
) -> Option<Difference> {
    let all = || std::iter::once(first).chain(others.iter().copied());
    let seeds: Vec<u64> = first.keys().copied().filter(|s| all().all(|way| way.contains_key(s))).collect();
    let n = first.get(seeds.first()?)?.len();
    let alike = all().all(|way| seeds.iter().all(|s| way[s].len() == n));
    if others.is_empty() || n == 0 || !alike {
        return None;
    }
    let ways: Vec<Vec<Sorted>> =
        all().map(|way| seeds.iter().map(|s| Sorted::of(&way[s], metric)).collect()).collect();
    let value = |counts: &[u32], picked: &[usize]| {
        let mean = |way: &[Sorted]| {
            picked.iter().map(|&s| way[s].metric(counts, metric)).sum::<f64>() / picked.len() as f64
        };
        mean(&ways[0]) - ways[1..].iter().map(|way| mean(way)).fold(f64::INFINITY, f64::min)
    };
    let mut random = SplitMix64::new(seed);
    let mut found: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let mut counts = vec![0u32; n];
            (0..n).for_each(|_| counts[random.below(n)] += 1);
            let picked: Vec<usize> = seeds.iter().map(|_| random.below(seeds.len())).collect();
            value(&counts, &picked)
        })
        .collect();
    found.sort_unstable_by(f64::total_cmp);
    let whole: Vec<usize> = (0..seeds.len()).collect();
    let interval = (found[RESAMPLES / 40], found[RESAMPLES - 1 - RESAMPLES / 40]);
    Some(Difference { value: value(&vec![1; n], &whole), interval })
}

/// A metric of one seed's items.
pub fn metric(items: &[Judged], metric: Metric) -> f64 {
    Sorted::of(items, metric).metric(&vec![1; items.len()], metric)
}

/// Mean confidence, share of right answers and number of items of each bin that has some.
pub fn bins(items: &[Judged], confidence: fn(&Judged) -> f64) -> Vec<(f64, f64, usize)> {
    let mut bins = [(0.0, 0.0, 0); BINS];
    for item in items {
        let bin = &mut bins[bin(confidence(item))];
        *bin = (bin.0 + confidence(item), bin.1 + f64::from(u8::from(item.right)), bin.2 + 1);
    }
    let some = bins.into_iter().filter(|bin| bin.2 > 0);
    some.map(|(sum, right, n)| (sum / n as f64, right / n as f64, n)).collect()
}

fn bin(confidence: f64) -> usize {
    ((confidence * BINS as f64).ceil() as usize).clamp(1, BINS) - 1
}

/// The confidence at a `temperature` of an item with these `probabilities`, of which the likeliest keeps its place.
pub fn scaled(probabilities: &[f64], temperature: f64) -> f64 {
    let top = probabilities.iter().copied().fold(0.0, f64::max);
    1.0 / probabilities.iter().map(|p| (p / top).powf(1.0 / temperature)).sum::<f64>()
}

/// Items in the order of their confidence: a resample counts them in one walk.
struct Sorted(Vec<(f64, bool, usize)>);

impl Sorted {
    fn of(items: &[Judged], metric: Metric) -> Self {
        let confidence = |item: &Judged| match metric {
            Metric::ScaledEce => item.scaled,
            _ => item.confidence,
        };
        let mut all: Vec<_> =
            items.iter().enumerate().map(|(i, item)| (confidence(item), item.right, i)).collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        Self(all)
    }

    /// `counts`: how often each item was drawn.
    fn metric(&self, counts: &[u32], metric: Metric) -> f64 {
        let n = counts.iter().sum::<u32>().max(1);
        match metric {
            Metric::Ece | Metric::ScaledEce => {
                let mut sums = [0.0; BINS];
                for &(confidence, right, i) in &self.0 {
                    sums[bin(confidence)] += f64::from(counts[i]) * (f64::from(u8::from(right)) - confidence);
                }
                sums.iter().map(|sum| sum.abs()).sum::<f64>() / f64::from(n)
            }
            Metric::Wrong => {
                let wrong = self.0.iter().filter(|(_, right, _)| !right);
                f64::from(wrong.map(|&(_, _, i)| counts[i]).sum::<u32>()) / f64::from(n)
            }
            Metric::Unranked => self.unranked(counts),
        }
    }

    /// Pairs of a wrong and a right answer of which the wrong one is surer, equals counted half, as a share; half of none.
    fn unranked(&self, counts: &[u32]) -> f64 {
        let (mut pairs, mut rights) = (0.0, 0.0);
        let mut wrongs = 0.0;
        for equals in self.0.chunk_by(|a, b| a.0 == b.0) {
            let of = |wanted: bool| {
                let some = equals.iter().filter(|(_, right, _)| *right == wanted);
                f64::from(some.map(|&(_, _, i)| counts[i]).sum::<u32>())
            };
            let (right, wrong) = (of(true), of(false));
            pairs += wrong * (rights + 0.5 * right);
            rights += right;
            wrongs += wrong;
        }
        if rights * wrongs > 0.0 { pairs / (rights * wrongs) } else { 0.5 }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Judgements under three seeds: answers are right with probability `right` and `over` more confident than that.
    pub fn judgements(n: usize, right: f64, over: f64, seed: u64) -> Judgements {
        let mut random = SplitMix64::new(seed);
        let mut item = |_| {
            let share = right - 0.2 + 0.4 * random.fraction();
            let confidence = (share + over).clamp(0.0, 1.0);
            Judged { confidence, scaled: share, right: random.chance(share) }
        };
        (1..=3).map(|s| (s, (0..n).map(&mut item).collect())).collect()
    }

    #[test]
    fn scores_of_four_items() {
        let item = |confidence, right| Judged { confidence, scaled: confidence, right };
        let items = [item(0.8, true), item(0.8, true), item(0.6, true), item(0.6, false)];
        let near = |of, wanted: f64| assert!((metric(&items, of) - wanted).abs() < 1e-12, "{of:?}");
        near(Metric::Ece, 0.5 * 0.2 + 0.5 * 0.1);
        near(Metric::Wrong, 0.25);
        near(Metric::Unranked, 1.0 - 2.5 / 3.0);
        let bins = bins(&items, |item| item.confidence);
        assert_eq!(bins.iter().map(|bin| (bin.1, bin.2)).collect::<Vec<_>>(), [(0.5, 2), (1.0, 2)]);
        let half = [item(0.9, true), item(0.9, false)];
        assert!((metric(&half, Metric::Ece) - 0.4).abs() < 1e-12);
    }

    #[test]
    fn a_temperature_takes_confidence_and_no_place() {
        let shares = [0.7, 0.2, 0.1];
        assert!((scaled(&shares, 1.0) - 0.7).abs() < 1e-12);
        assert!(scaled(&shares, 3.0) < 0.5 && scaled(&shares, 0.3) > 0.9);
        // Square roots: 0.837, 0.447, 0.316.
        assert!((scaled(&shares, 2.0) - 0.836_66 / (0.836_66 + 0.447_21 + 0.316_23)).abs() < 1e-4);
    }

    #[test]
    fn a_difference_is_found_and_none_is_not() {
        let (calm, sure) = (judgements(600, 0.6, 0.0, 1), judgements(600, 0.6, 0.15, 2));
        let found = difference(&calm, &[&sure], Metric::Ece, 7).unwrap();
        assert!(found.value < -0.05 && found.interval.1 < -0.02, "{found:?}");
        assert!(found.interval.0 < found.value && found.value < found.interval.1, "{found:?}");
        // As calm, of other draws.
        let none = difference(&calm, &[&judgements(600, 0.6, 0.0, 3)], Metric::Ece, 7).unwrap();
        assert!(none.interval.0 < 0.0 && none.interval.1 > 0.0, "{none:?}");
        // Of two, the better counts.
        let both = difference(&calm, &[&sure, &calm], Metric::Ece, 7).unwrap();
        assert!(both.value == 0.0 && both.interval == (0.0, 0.0), "{both:?}");
        // At the temperature there is nothing between them.
        let scaled = difference(&calm, &[&sure], Metric::ScaledEce, 7).unwrap();
        assert!(scaled.interval.0 < 0.0 && scaled.interval.1 > 0.0, "{scaled:?}");
        let better = difference(&judgements(600, 0.7, 0.0, 4), &[&calm], Metric::Wrong, 7).unwrap();
        assert!((-0.15..-0.03).contains(&better.value) && better.interval.1 < 0.0, "{better:?}");
    }

    #[test]
    fn only_what_both_have_is_compared() {
        let (mut a, b) = (judgements(50, 0.6, 0.0, 1), judgements(50, 0.6, 0.1, 2));
        a.remove(&2);
        let two = difference(&a, &[&b], Metric::Ece, 1).unwrap();
        let mut fewer = b.clone();
        fewer.remove(&2);
        assert_eq!(Some(two), difference(&a, &[&fewer], Metric::Ece, 1));
        assert_eq!(difference(&Judgements::new(), &[&b], Metric::Ece, 1), None);
        assert_eq!(difference(&a, &[], Metric::Ece, 1), None);
        fewer.insert(1, Vec::new());
        assert_eq!(difference(&a, &[&fewer], Metric::Ece, 1), None);
    }
}
