//! One judged item.

use serde::{Deserialize, Serialize};

/// The logits of an item's candidates, and which was right.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// One a candidate.
    pub logits: Vec<f64>,
    /// Place of the right one.
    pub answer: usize,
}

impl Item {
    /// Probabilities of the candidates at a `temperature`.
    pub fn probabilities(&self, temperature: f64) -> Vec<f64> {
        probabilities(&self.logits, temperature)
    }

    /// The largest of them, and whether it is that of the right candidate; of equals the first counts.
    pub fn confidence(&self, temperature: f64) -> (f64, bool) {
        let shares = self.probabilities(temperature);
        let first = (0, f64::NEG_INFINITY);
        let best = shares.iter().enumerate().fold(first, |b, (i, p)| if *p > b.1 { (i, *p) } else { b });
        (best.1, best.0 == self.answer)
    }
}

/// The softmax of `logits` at a `temperature`.
pub fn probabilities(logits: &[f64], temperature: f64) -> Vec<f64> {
    let top = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut shares: Vec<f64> = logits.iter().map(|l| libm::exp((l - top) / temperature)).collect();
    let sum: f64 = shares.iter().sum();
    shares.iter_mut().for_each(|share| *share /= sum);
    shares
}
