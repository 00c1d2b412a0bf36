//! Draws from a softmax, and what it says of tokens.

use sprig_ground::names;
use sprig_ground::philox::philox;

/// Marks counters of draws, apart from those of directions and masks.
const DRAWS: u32 = 4;

/// Where of k candidates the surest is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConfidenceAt {
    /// Among k whole texts, by the answer behind each.
    #[default]
    Sample,
    /// Among k draws of each token, by its own probability.
    Token,
}

names!(ConfidenceAt, "place of confidence", [Sample = "sample", Token = "token"]);

/// Draws tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// Key of all draws.
    pub key: [u32; 2],
    /// What logits are divided by, above 0.
    pub temperature: f32,
}

impl Sampler {
    /// The token at place `token` of text `text`, drawn from the softmax of `logits` over the temperature; of several
    /// `draws` the likeliest, of equals the smallest id. Logits of −∞ are never drawn.
    pub fn draw(&self, logits: &[f32], [text, token]: [u32; 2], draws: u32) -> u32 {
        let one = |draw: u32| self.draw_of(logits.iter().copied(), [text, token, draw]);
        let likelier = |a: usize, b: usize| if (logits[b], a) > (logits[a], b) { b } else { a };
        (0..draws.max(1)).map(one).reduce(likelier).unwrap_or(0) as u32
    }

    /// The place of one draw among `logits`, by its coordinates: text, token and draw.
    pub(super) fn draw_of(
        &self,
        logits: impl Iterator<Item = f32> + Clone,
        [text, token, draw]: [u32; 3],
    ) -> usize {
        let top = logits.clone().fold(f32::NEG_INFINITY, f32::max);
        let weight = |l: f32| libm::exp(f64::from(l - top) / f64::from(self.temperature));
        let sum: f64 = logits.clone().map(weight).sum();
        let [word, ..] = philox(self.key, [text, token, draw, DRAWS]);
        let mut left = sum * (f64::from(word) + 0.5) / 2f64.powi(32);
        let place = logits.clone().position(|l| {
            left -= weight(l);
            left < 0.0
        });
        // What rounding leaves over falls to the likeliest.
        place.or_else(|| logits.clone().position(|l| l == top)).unwrap_or(0)
    }
}

/// The token with the largest logit; of equals the smallest id.
pub fn likeliest(logits: &[f32]) -> u32 {
    let larger = |best: (usize, f32), (i, &l): (usize, &f32)| if l > best.1 { (i, l) } else { best };
    logits.iter().enumerate().fold((0, f32::NEG_INFINITY), larger).0 as u32
}

/// The natural logarithm of the probability of `token` in the softmax of `logits`, and the `rivals` likeliest tokens with theirs,
/// in order; of equals the smallest id first.
pub fn log_probabilities(logits: &[f32], token: u32, rivals: usize) -> (f32, Vec<(u32, f32)>) {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&l| libm::exp(f64::from(l - top))).sum();
    let of = |logit: f32| (f64::from(logit - top) - libm::log(sum)) as f32;
    let mut likeliest: Vec<(u32, f32)> = Vec::with_capacity(rivals + 1);
    for (id, &logit) in (0u32..).zip(logits) {
        if likeliest.len() == rivals && likeliest.last().is_none_or(|&(_, least)| logit <= least) {
            continue;
        }
        let at = likeliest.partition_point(|&(_, other)| other >= logit);
        likeliest.insert(at, (id, logit));
        likeliest.truncate(rivals);
    }
    let own = logits.get(token as usize).map_or(f32::NEG_INFINITY, |&logit| of(logit));
    (own, likeliest.into_iter().map(|(id, logit)| (id, of(logit))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_are_those_of_the_softmax_and_rivals_come_in_order() {
        let logits = [0.5f32, 2.0, -1.0, 2.0, 0.7];
        let sum: f64 = logits.iter().map(|&l| f64::from(l).exp()).sum();
        let of = |id: usize| (f64::from(logits[id]).exp() / sum).ln();
        let (own, rivals) = log_probabilities(&logits, 2, 4);
        assert!((f64::from(own) - of(2)).abs() < 1e-6);
        assert_eq!(rivals.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [1, 3, 4, 0]);
        assert!(rivals.iter().all(|&(id, found)| (f64::from(found) - of(id as usize)).abs() < 1e-6));
        assert_eq!(log_probabilities(&logits, 9, 0), (f32::NEG_INFINITY, Vec::new()));
    }

    const LOGITS: [f32; 4] = [0.0, 1.0, f32::NEG_INFINITY, 2.0];

    fn shares(temperature: f32, draws: u32) -> [f64; 4] {
        let sampler = Sampler { key: [7, 9], temperature };
        let mut counts = [0.0; 4];
        (0..20_000).for_each(|i| counts[sampler.draw(&LOGITS, [i, 3], draws) as usize] += 1.0 / 20_000.0);
        counts
    }

    #[test]
    fn draws_have_the_probabilities_of_the_softmax() {
        for temperature in [0.7f32, 1.0, 3.0] {
            let weights = LOGITS.map(|l| f64::from(l / temperature).exp());
            let sum: f64 = weights.iter().sum();
            for (share, weight) in shares(temperature, 1).into_iter().zip(weights) {
                assert!((share - weight / sum).abs() < 0.015, "{temperature}: {share} and {}", weight / sum);
            }
        }
    }

    /// All but e⁻¹⁰⁰ of it at 0.02; the likeliest of many draws.
    #[test]
    fn cold_and_repeated_draws_are_greedy() {
        assert_eq!(shares(0.02, 1).map(|share| share > 0.0), [false, false, false, true]);
        assert!(shares(1.0, 30)[3] > 0.999);
        let sampler = Sampler { key: [1, 1], temperature: 1.0 };
        assert_eq!(sampler.draw(&[1.0, 1.0], [0, 0], 40), 0);
    }

    #[test]
    fn a_place_has_one_draw() {
        let sampler = Sampler { key: [1, 2], temperature: 1.0 };
        let text = |t: u32| -> Vec<u32> { (0..64).map(|i| sampler.draw(&LOGITS, [t, i], 1)).collect() };
        assert_eq!(text(0), text(0));
        assert_ne!(text(0), text(1));
        assert!(!text(0).contains(&2));
    }
}
