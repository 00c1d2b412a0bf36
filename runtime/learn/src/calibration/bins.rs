//! Confidences in bins: counters that add up exactly, whoever counted.

use serde::{Deserialize, Serialize};

/// Steps of 1 in which confidences are summed up: whole numbers, whose order changes nothing.
const STEPS: f64 = (1u64 << 32) as f64;

/// Bins of a device's examples, and of all devices' put together.
pub const FLEET_BINS: usize = 15;

/// What bins say in all.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Items.
    pub n: u64,
    /// Expected calibration error, of 1.
    pub ece: f64,
    /// Mean confidence less accuracy.
    pub gap: f64,
}

/// Bins of equal width over 0 to 1, closed on the right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bins(Vec<Bin>);

/// What fell into a bin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Bin {
    n: u64,
    hits: u64,
    /// Sum of confidences, in steps of 2⁻³².
    confidence: u64,
}

impl Bins {
    /// So many, empty.
    pub fn new(count: usize) -> Self {
        Self(vec![Bin::default(); count.max(1)])
    }

    /// Of `items` of (confidence, whether right).
    pub fn of(count: usize, items: impl IntoIterator<Item = (f64, bool)>) -> Self {
        let mut bins = Self::new(count);
        items.into_iter().for_each(|(confidence, hit)| bins.add(confidence, hit));
        bins
    }

    /// Counts an item.
    pub fn add(&mut self, confidence: f64, hit: bool) {
        self.count(confidence, u64::from(hit), 1);
    }

    /// Counts `n` items of one confidence, of which `hits` are right.
    pub fn count(&mut self, confidence: f64, hits: u64, n: u64) {
        let at = self.place(confidence);
        let bin = &mut self.0[at];
        bin.n += n;
        bin.hits += hits;
        bin.confidence += n * (confidence * STEPS).round() as u64;
    }

    /// Place of the bin that a confidence belongs into, from 0.
    pub fn place(&self, confidence: f64) -> usize {
        let count = self.0.len();
        ((confidence * count as f64).ceil() as usize).clamp(1, count) - 1
    }

    /// Share of right items of the bin at a place; `None` where it has none, or there is no such bin.
    pub fn accuracy(&self, place: usize) -> Option<f64> {
        let bin = self.0.get(place).filter(|bin| bin.n > 0)?;
        Some(bin.hits as f64 / bin.n as f64)
    }

    /// Adds what another has counted, in as many bins; false if those are another number.
    pub fn merge(&mut self, other: &Self) -> bool {
        if self.0.len() != other.0.len() {
            return false;
        }
        for (own, other) in self.0.iter_mut().zip(&other.0) {
            own.n += other.n;
            own.hits += other.hits;
            own.confidence += other.confidence;
        }
        true
    }

    /// Of `rows` that somebody counted: (items, those that were right, the sum of their confidences in steps of 2⁻³²) a bin.
    /// `None` where they cannot be counts: more were right than there are, or a sum is none of confidences within its bin.
    pub fn of_rows(rows: &[[u64; 3]]) -> Option<Self> {
        let count = rows.len() as u64;
        let sound = |(at, &[n, hits, confidence]): (u64, &[u64; 3])| {
            // Each confidence was rounded to a whole step, and the edge between two bins may be none.
            let edge = |at: u64| u128::from(n) * u128::from(at << 32);
            let (sum, slack) =
                (u128::from(count) * u128::from(confidence), u128::from(count) * u128::from(n));
            let held = edge(at) <= sum + slack && sum <= edge(at + 1) + slack;
            n <= u64::from(u32::MAX) && hits <= n && held
        };
        let all = (0..).zip(rows).all(sound);
        let bin = |&[n, hits, confidence]: &[u64; 3]| Bin { n, hits, confidence };
        (all && count > 0).then(|| Self(rows.iter().map(bin).collect()))
    }

    /// Items, those that were right and the sum of their confidences in steps of 2⁻³², a bin.
    pub fn rows(&self) -> Vec<[u64; 3]> {
        self.0.iter().map(|bin| [bin.n, bin.hits, bin.confidence]).collect()
    }

    /// What they say in all.
    pub fn summary(&self) -> Summary {
        Summary { n: self.n(), ece: self.ece(), gap: self.gap() }
    }

    /// Items in all.
    pub fn n(&self) -> u64 {
        self.0.iter().map(|bin| bin.n).sum()
    }

    /// Expected calibration error, of 1: Σ n_b/n·|accuracy_b − confidence_b|; empty bins count for nothing.
    pub fn ece(&self) -> f64 {
        let n = self.n().max(1) as f64;
        self.0.iter().map(|bin| (bin.hits as f64 - bin.confidence as f64 / STEPS).abs()).sum::<f64>() / n
    }

    /// Mean confidence less accuracy: above 0 it is too sure of itself.
    pub fn gap(&self) -> f64 {
        let n = self.n().max(1) as f64;
        self.0.iter().map(|bin| bin.confidence as f64 / STEPS - bin.hits as f64).sum::<f64>() / n
    }

    /// Mean confidence, accuracy and items of each bin that has some.
    pub fn points(&self) -> impl Iterator<Item = (f64, f64, u64)> + '_ {
        let some = self.0.iter().filter(|bin| bin.n > 0);
        some.map(|bin| {
            let n = bin.n as f64;
            (bin.confidence as f64 / STEPS / n, bin.hits as f64 / n, bin.n)
        })
    }
}

/// The same error over `count` bins of as many items each, give or take one: items in the order of their confidence.
pub fn equal_mass(count: usize, mut items: Vec<(f64, bool)>) -> f64 {
    items.sort_by(|a, b| a.0.total_cmp(&b.0));
    let n = items.len();
    let bounds = |i: usize| i * n / count.max(1);
    let of = |i: usize| {
        let part = &items[bounds(i)..bounds(i + 1)];
        part.iter().map(|(confidence, hit)| f64::from(u8::from(*hit)) - confidence).sum::<f64>().abs()
    };
    (0..count.max(1)).map(of).sum::<f64>() / n.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use sprig_ground::random::SplitMix64;

    fn uniform(random: &mut SplitMix64) -> f64 {
        (random.draw() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// T8: what is calibrated errs by less and less; a constant confidence of 0.9 where half is right errs by 0.4.
    #[test]
    fn errors_of_known_streams() {
        let mut random = SplitMix64::new(7);
        let mut stream = |n: usize| {
            let item = |_| {
                let confidence = 0.25 + 0.75 * uniform(&mut random);
                (confidence, uniform(&mut random) < confidence)
            };
            (0..n).map(item).collect::<Vec<_>>()
        };
        let errors = [100, 10_000, 1_000_000].map(|n| Bins::of(15, stream(n)).ece());
        assert!(errors[0] > errors[1] && errors[1] > errors[2] && errors[2] < 2e-3, "{errors:?}");
        let half: Vec<(f64, bool)> = (0..1000).map(|i| (0.9, i % 2 == 0)).collect();
        let bins = Bins::of(15, half.clone());
        assert!((bins.ece() - 0.4).abs() < 1e-9 && (bins.gap() - 0.4).abs() < 1e-9);
        assert!((equal_mass(15, half) - 0.4).abs() < 1e-9);
    }

    /// What counts come back as, and what cannot be counts.
    #[test]
    fn rows_are_bins_again_and_what_cannot_be_is_refused() {
        let mut random = SplitMix64::new(9);
        for count in [1, 10, 15] {
            let items: Vec<(f64, bool)> = (0..500).map(|i| (uniform(&mut random), i % 3 == 0)).collect();
            let edges = (0..=count).map(|i| (i as f64 / count as f64, true));
            let bins = Bins::of(count, items.into_iter().chain(edges));
            assert_eq!(Bins::of_rows(&bins.rows()), Some(bins));
        }
        let whole = Bins::of(2, [(0.2, false), (0.9, true)]).rows();
        let changed = |at: usize, which: usize, value: u64| {
            let mut rows = whole.clone();
            rows[at][which] = value;
            Bins::of_rows(&rows)
        };
        assert!(changed(0, 1, 1).is_some(), "right after all");
        assert!(changed(0, 1, 2).is_none(), "two right of one");
        assert!(changed(1, 2, 1 << 30).is_none(), "0.25 is of the first bin");
        assert!(changed(1, 2, 3 << 31).is_none(), "more than sure");
        assert!(changed(0, 0, 0).is_none(), "a sum of nothing");
        assert!(changed(0, 0, u64::MAX).is_none() && Bins::of_rows(&[]).is_none());
    }

    /// T8: bins of parts, put together in any order, are the bins of all.
    #[test]
    fn pooled_bins_are_those_of_all() {
        let mut random = SplitMix64::new(8);
        let items: Vec<(f64, bool)> =
            (0..999).map(|_| (uniform(&mut random), uniform(&mut random) < 0.5)).collect();
        let whole = Bins::of(15, items.clone());
        let mut pooled = Bins::new(15);
        for part in items.chunks(100).rev() {
            assert!(pooled.merge(&Bins::of(15, part.to_vec())));
        }
        assert_eq!(pooled, whole);
        assert!(!pooled.merge(&Bins::new(10)));
        // Right-closed: 1/15 is of the first bin, 0 too, and 1 of the last.
        let edges = Bins::of(15, [(1.0 / 15.0, true), (0.0, true), (1.0, true)]);
        assert_eq!(edges.points().map(|p| p.2).collect::<Vec<_>>(), [2, 1]);
    }
}
