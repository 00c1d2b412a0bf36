//! Scores of a set of items, in one place.

use super::bins::{Bins, equal_mass};
use super::conformal::Sets;
use super::item::Item;
use super::scaling;
use serde::Serialize;
use sprig_ground::random::SplitMix64;

/// Draws behind the floor.
const DRAWS: usize = 200;

/// How well confidence and correctness agree; shares of 1, nats.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Scores {
    /// Items.
    pub n: u64,
    /// Share of them that are right.
    pub accuracy: f64,
    /// Expected calibration error over 15 bins of equal width,
    pub ece15: f64,
    /// over 10,
    pub ece10: f64,
    /// and over 15 of as many items each.
    pub ece15_mass: f64,
    /// Mean confidence less accuracy.
    pub gap: f64,
    /// Mean over items of the squared distance of all probabilities from the answer.
    pub brier: f64,
    /// Mean negative log-likelihood of the answer.
    pub nll: f64,
    /// Probability that a right answer has the larger confidence than a wrong one; `None` where there are not both.
    pub auroc: Option<f64>,
    /// Temperature that makes the answers likeliest,
    pub temperature: f64,
    /// and the error over 15 bins with one that was fitted to other items.
    pub ece15_scaled: f64,
    /// The error over 15 bins that a perfectly calibrated model with these confidences would show.
    pub floor15: f64,
    /// Mean size of the sets of options that hold the answer nine times in ten, with a threshold from other items,
    pub set_size90: f64,
    /// and the share of them that do.
    pub covered90: f64,
}

impl Scores {
    /// Of `items`; the temperature is fitted to `validation`, or where there are none to the items themselves, and what it does
    /// then judged on halves, as the sets are.
    pub fn of(items: &[Item], validation: Option<&[Item]>, seed: u64) -> Self {
        let judged: Vec<(f64, bool)> = items.iter().map(|item| item.confidence(1.0)).collect();
        let bins = Bins::of(15, judged.iter().copied());
        let n = items.len().max(1) as f64;
        let mean = |of: &dyn Fn(&Item) -> f64| items.iter().map(of).sum::<f64>() / n;
        let temperature = scaling::temperature(validation.unwrap_or(items));
        let scaled = match validation {
            Some(_) => items.iter().map(|item| item.confidence(temperature)).collect(),
            None => scaling::crossed(items, seed),
        };
        let sets = Sets::of(items, validation, seed);
        Self {
            n: bins.n(),
            accuracy: judged.iter().filter(|(_, hit)| *hit).count() as f64 / n,
            ece15: bins.ece(),
            ece10: Bins::of(10, judged.iter().copied()).ece(),
            ece15_mass: equal_mass(15, judged.clone()),
            gap: bins.gap(),
            brier: mean(&|item| {
                let shares = item.probabilities(1.0).into_iter().enumerate();
                shares.map(|(i, p)| (p - f64::from(u8::from(i == item.answer))).powi(2)).sum()
            }),
            nll: mean(&|item| -libm::log(item.probabilities(1.0)[item.answer].max(f64::MIN_POSITIVE))),
            auroc: auroc(&judged),
            temperature,
            ece15_scaled: Bins::of(15, scaled).ece(),
            floor15: floor(15, &judged, seed),
            set_size90: sets.size,
            covered90: sets.covered,
        }
    }
}

/// Area under the receiver's curve: how often a right answer has the larger confidence than a wrong one, equals counted half.
pub fn auroc(judged: &[(f64, bool)]) -> Option<f64> {
    let right = judged.iter().filter(|(_, hit)| *hit).count();
    let wrong = judged.len() - right;
    if right == 0 || wrong == 0 {
        return None;
    }
    let mut order = judged.to_vec();
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut ranks, mut from) = (0.0, 0);
    for tie in order.chunk_by(|a, b| a.0 == b.0) {
        // Ranks from 1; those of a tie are their mean.
        let rank = from as f64 + (tie.len() as f64 + 1.0) / 2.0;
        ranks += rank * tie.iter().filter(|(_, hit)| *hit).count() as f64;
        from += tie.len();
    }
    let right = right as f64;
    Some((ranks - right * (right + 1.0) / 2.0) / (right * wrong as f64))
}

/// The mean error over `count` bins of draws in which an item of confidence c is right with probability c.
pub fn floor(count: usize, judged: &[(f64, bool)], seed: u64) -> f64 {
    let mut random = SplitMix64::new(seed);
    let mut uniform = || (random.draw() >> 11) as f64 / (1u64 << 53) as f64;
    let mut draw =
        || Bins::of(count, judged.iter().map(|(confidence, _)| (*confidence, uniform() < *confidence))).ece();
    (0..DRAWS).map(|_| draw()).sum::<f64>() / DRAWS as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_of_four_items() {
        let item = |logits: [f64; 2], answer| Item { logits: logits.to_vec(), answer };
        let ln = libm::log;
        // Confidences .8, .8, .6, .6; right, right, right, wrong.
        let items = [
            item([ln(4.0), 0.0], 0),
            item([0.0, ln(4.0)], 1),
            item([ln(1.5), 0.0], 0),
            item([ln(1.5), 0.0], 1),
        ];
        let scores = Scores::of(&items, None, 0);
        let near = |a: f64, b: f64| (a - b).abs() < 1e-8;
        assert_eq!((scores.n, scores.accuracy), (4, 0.75));
        assert!(near(scores.ece15, 0.5 * 0.2 + 0.5 * 0.1) && near(scores.gap, 0.7 - 0.75), "{scores:?}");
        assert!(near(scores.brier, (0.08 + 0.08 + 0.32 + 0.72) / 4.0), "{scores:?}");
        assert!(near(scores.nll, -(2.0 * ln(0.8) + ln(0.6) + ln(0.4)) / 4.0), "{scores:?}");
        // The wrong one against .8, .8 and its equal .6.
        assert!(near(scores.auroc.unwrap(), 2.5 / 3.0), "{scores:?}");
        assert!(scores.floor15 > 0.1, "four items are few: {scores:?}");
        assert_eq!(auroc(&[(0.5, true)]), None);
    }
}
