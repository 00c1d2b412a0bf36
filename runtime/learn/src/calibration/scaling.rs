//! Temperature scaling (Guo and others 2017): one number by which all logits are divided, fitted by likelihood.

use super::item::Item;
use crate::data::Shuffle;

/// Temperatures looked at: 2⁻⁶ to 2⁶.
const BOUND: f64 = 64.0;

/// The temperature with the least negative log-likelihood of `items`. That is convex in 1/T: the derivative's zero is halved in.
/// 1 for no items.
pub fn temperature<'i>(items: impl IntoIterator<Item = &'i Item>) -> f64 {
    let items: Vec<&Item> = items.into_iter().collect();
    if items.is_empty() {
        return 1.0;
    }
    // d NLL / dβ at β = 1/T: the mean logit under the model less the answer's.
    let slope = |beta: f64| -> f64 {
        let of = |item: &&Item| {
            let shares = item.probabilities(1.0 / beta);
            let mean: f64 = shares.iter().zip(&item.logits).map(|(p, l)| p * l).sum();
            mean - item.logits[item.answer]
        };
        items.iter().map(of).sum()
    };
    let (mut low, mut high) = (1.0 / BOUND, BOUND);
    for _ in 0..100 {
        let middle = (low * high).sqrt();
        if slope(middle) < 0.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    1.0 / (low * high).sqrt()
}

/// (confidence, whether right) of each item at a temperature that was fitted to the other half of `items`, halves by `seed`:
/// what scaling does where there is nothing else to fit it to.
pub fn crossed(items: &[Item], seed: u64) -> Vec<(f64, bool)> {
    let first = first_half(items.len(), seed);
    let of =
        |half: bool| temperature(items.iter().zip(&first).filter(|(_, f)| **f == half).map(|(item, _)| item));
    let (a, b) = (of(true), of(false));
    items.iter().zip(first).map(|(item, first)| item.confidence(if first { b } else { a })).collect()
}

/// Which of `n` items are in the first half, by `seed`.
pub(super) fn first_half(n: usize, seed: u64) -> Vec<bool> {
    let mut first = vec![false; n];
    if let Some(order) = Shuffle::new(seed, n) {
        (0..n as u64 / 2).for_each(|i| first[order.at(i)] = true);
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibration::Bins;
    use sprig_ground::random::SplitMix64;

    /// Items whose answers are drawn at a temperature of 2.5 want that one, and are calibrated then.
    #[test]
    fn the_temperature_that_made_the_answers_is_found() {
        let mut random = SplitMix64::new(3);
        let mut uniform = || (random.draw() >> 11) as f64 / (1u64 << 53) as f64;
        let items: Vec<Item> = (0..20_000)
            .map(|_| {
                let logits: Vec<f64> = (0..4).map(|_| 6.0 * uniform()).collect();
                let mut item = Item { logits, answer: 0 };
                let (at, mut sum) = (uniform(), 0.0);
                let shares = item.probabilities(2.5);
                item.answer = shares
                    .iter()
                    .position(|p| {
                        sum += p;
                        at < sum
                    })
                    .unwrap_or(3);
                item
            })
            .collect();
        let found = temperature(&items);
        assert!((found - 2.5).abs() < 0.1, "{found}");
        let before = Bins::of(15, items.iter().map(|item| item.confidence(1.0))).ece();
        let after = Bins::of(15, crossed(&items, 1)).ece();
        assert!(before > 0.1 && after < 0.02, "{before} to {after}");
        assert_eq!(temperature(&[]), 1.0);
        let sure = [Item { logits: vec![3.0, 0.0], answer: 0 }];
        assert!(temperature(&sure) < 0.2, "a right answer alone wants all certainty there is");
    }
}
