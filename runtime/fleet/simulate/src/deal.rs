//! Who has which examples: class mixtures by Dirichlet, a few labels each, or all alike.

use sprig_ground::philox::philox;
use sprig_learn::LearnError;
use sprig_learn::data::{DataSet, Shuffle, Target};
use sprig_learn::directions::run_key;
use sprig_protocol::FleetError;
use std::f64::consts::TAU;

/// How unlike the devices' examples are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Skew {
    /// Every device has its own mixture of labels, drawn from a symmetric Dirichlet distribution: the smaller the number,
    /// the fewer labels make up most of a device's examples.
    Dirichlet(f64),
    /// Device i of N has labels i to i + n − 1, going round, and shares each of them evenly with the others that have it.
    Labels(usize),
    /// All devices alike.
    Even,
}

/// First word of the generator's counter; no round of training and no adapter's start has it.
const STREAM: u32 = u32::MAX - 1;

/// Deals every example of `data` to one of `devices` devices: their places in `data`, ascending. A function of the
/// arguments alone, on every machine. Devices have equally many examples, give or take one, but for [`Skew::Labels`].
///
/// # Errors
/// [`LearnError::Settings`] if the skew asks for labels that the data do not have, or leaves a label without a device.
pub(crate) fn deal(
    data: &DataSet,
    devices: usize,
    skew: Option<Skew>,
    seed: u64,
) -> Result<Vec<Vec<usize>>, FleetError> {
    let names = data.labels().map_or(0, |labels| labels.names().len());
    let skew = match (skew, names) {
        (None, 0) => Skew::Even,
        (None, _) => Skew::Dirichlet(1.0),
        (Some(Skew::Even), _) => Skew::Even,
        (Some(_), 0) => {
            let problem = "only records with labels can be skewed by label; leave the skew out for this task";
            return Err(LearnError::Settings(problem.to_owned()).into());
        }
        (Some(skew), _) => skew,
    };
    let label = |i: usize| match data.example(i).target {
        Target::Label { answer, .. } if names > 0 => answer,
        _ => 0,
    };
    let labels: Vec<usize> = (0..data.len()).map(label).collect();
    deal_labels(&labels, names.max(1), devices, skew, seed)
}

/// The same by the label of each example, below `names`.
fn deal_labels(
    labels: &[usize],
    names: usize,
    devices: usize,
    skew: Skew,
    seed: u64,
) -> Result<Vec<Vec<usize>>, FleetError> {
    let mut pools = pools(labels, names, seed);
    let mut dealt = vec![Vec::new(); devices];
    match skew {
        Skew::Even => {
            let order = Shuffle::new(seed, labels.len());
            let place = |i: usize| order.map_or(0, |order| order.at(i as u64));
            (0..labels.len()).for_each(|i| dealt[i % devices].push(place(i)));
        }
        Skew::Labels(n) => {
            let least = (names + 1).saturating_sub(devices).max(1);
            if n < least || n > names {
                let problem = format!(
                    "{n} labels a device: use {least} to {names}, so that each of the {names} labels has one of {devices} devices"
                );
                return Err(LearnError::Settings(problem).into());
            }
            for (label, pool) in pools.iter().enumerate() {
                let has = |device: &usize| (label + names - device % names) % names < n;
                let holders: Vec<usize> = (0..devices).filter(has).collect();
                pool.iter().enumerate().for_each(|(i, &id)| dealt[holders[i % holders.len()]].push(id));
            }
        }
        Skew::Dirichlet(alpha) => {
            let mut random = Random::new(seed);
            let mixtures: Vec<Vec<f64>> =
                (0..devices).map(|_| (0..names).map(|_| random.ln_gamma_variate(alpha)).collect()).collect();
            // One example a device in turn: what becomes scarce towards the end does so for all.
            for i in 0..labels.len() {
                let device = i % devices;
                let label = random.pick(&mixtures[device], |label| !pools[label].is_empty());
                dealt[device].extend(pools[label].pop());
            }
        }
    }
    dealt.iter_mut().for_each(|ids| ids.sort_unstable());
    Ok(dealt)
}

/// Examples by label, each in a seeded order.
fn pools(labels: &[usize], names: usize, seed: u64) -> Vec<Vec<usize>> {
    let mut pools = vec![Vec::new(); names];
    labels.iter().enumerate().for_each(|(i, &label)| pools[label].push(i));
    for pool in &mut pools {
        let Some(order) = Shuffle::new(seed, pool.len()) else { continue };
        *pool = (0..pool.len()).map(|i| pool[order.at(i as u64)]).collect();
    }
    pools
}

/// Philox as a series of numbers, with a software libm: the same on every machine.
struct Random {
    key: [u32; 2],
    drawn: u32,
    words: [u32; 4],
}

impl Random {
    fn new(seed: u64) -> Self {
        Self { key: run_key(seed), drawn: 0, words: [0; 4] }
    }

    /// Between 0 and 1, neither included.
    fn fraction(&mut self) -> f64 {
        let (block, at) = (self.drawn / 4, self.drawn % 4);
        if at == 0 {
            self.words = philox(self.key, [STREAM, block, 0, 0]);
        }
        self.drawn += 1;
        (f64::from(self.words[at as usize]) + 0.5) / 4_294_967_296.0
    }

    fn normal(&mut self) -> f64 {
        libm::sqrt(-2.0 * libm::log(self.fraction())) * libm::cos(TAU * self.fraction())
    }

    /// Logarithm of a Gamma(`alpha`, 1) variate (Marsaglia and Tsang 2000); with a small `alpha` the variate itself is
    /// often below the least f64.
    fn ln_gamma_variate(&mut self, alpha: f64) -> f64 {
        let boost = if alpha < 1.0 { libm::log(self.fraction()) / alpha } else { 0.0 };
        let d = if alpha < 1.0 { alpha + 1.0 } else { alpha } - 1.0 / 3.0;
        loop {
            let x = self.normal();
            let v = 1.0 + x / libm::sqrt(9.0 * d);
            let v = v * v * v;
            if v > 0.0 && libm::log(self.fraction()) < 0.5 * x * x + d * (1.0 - v + libm::log(v)) {
                return libm::log(d * v) + boost;
            }
        }
    }

    /// One of the places that are `there`, at least one, with the weights whose logarithms are `ln_weights`.
    fn pick(&mut self, ln_weights: &[f64], there: impl Fn(usize) -> bool) -> usize {
        let left = || ln_weights.iter().enumerate().filter(|(i, _)| there(*i));
        let most = left().map(|(_, w)| *w).fold(f64::NEG_INFINITY, f64::max);
        let weight = |w: f64| libm::exp(w - most);
        let sum: f64 = left().map(|(_, w)| weight(*w)).sum();
        let mut rest = self.fraction() * sum;
        let mut last = 0;
        for (i, w) in left() {
            last = i;
            rest -= weight(*w);
            if rest < 0.0 {
                break;
            }
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 400 examples of 4 labels, in no order.
    fn labels() -> Vec<usize> {
        (0..400).map(|i| i * 7 % 11 % 4).collect()
    }

    fn dealt(devices: usize, skew: Skew, seed: u64) -> Vec<Vec<usize>> {
        deal_labels(&labels(), 4, devices, skew, seed).unwrap()
    }

    /// Mean over devices of the share of a device's most frequent label.
    fn purity(dealt: &[Vec<usize>]) -> f64 {
        let labels = labels();
        let of = |ids: &Vec<usize>| {
            let count = |label| ids.iter().filter(|&&id| labels[id] == label).count();
            (0..4).map(count).max().unwrap() as f64 / ids.len() as f64
        };
        dealt.iter().map(of).sum::<f64>() / dealt.len() as f64
    }

    #[test]
    fn every_example_is_dealt_once() {
        for skew in [Skew::Even, Skew::Labels(2), Skew::Labels(4), Skew::Dirichlet(0.1), Skew::Dirichlet(1.0)]
        {
            for devices in [1, 2, 7, 40, 401] {
                if skew == Skew::Labels(2) && devices < 3 {
                    continue;
                }
                let dealt = dealt(devices, skew, 3);
                assert!(dealt.iter().all(|ids| ids.is_sorted()));
                let mut all: Vec<usize> = dealt.concat();
                all.sort_unstable();
                assert!(all.into_iter().eq(0..400), "{skew:?} {devices}");
            }
        }
    }

    #[test]
    fn shares_are_equal_and_no_device_is_empty_while_there_are_examples() {
        for skew in [Skew::Even, Skew::Dirichlet(1e-3), Skew::Dirichlet(0.1), Skew::Dirichlet(100.0)] {
            let sizes: Vec<usize> = dealt(30, skew, 1).iter().map(Vec::len).collect();
            assert!(sizes.iter().all(|s| (13..=14).contains(s)), "{skew:?} {sizes:?}");
        }
    }

    /// The smaller alpha, the purer the devices; with a very large one they are as pure as chance makes them.
    #[test]
    fn a_smaller_alpha_skews_more() {
        let mean = |skew| (0..20).map(|seed| purity(&dealt(20, skew, seed))).sum::<f64>() / 20.0;
        let [even, large, one, tenth] =
            [Skew::Even, Skew::Dirichlet(1e4), Skew::Dirichlet(1.0), Skew::Dirichlet(0.1)].map(mean);
        assert!((even - large).abs() < 0.03, "{even} {large}");
        assert!(one > large + 0.1 && tenth > one + 0.15, "{large} {one} {tenth}");
    }

    #[test]
    fn labels_go_to_their_devices() {
        let labels = labels();
        for (device, ids) in dealt(6, Skew::Labels(2), 1).iter().enumerate() {
            let allowed = [device % 4, (device + 1) % 4];
            assert!(!ids.is_empty() && ids.iter().all(|&id| allowed.contains(&labels[id])), "{device}");
        }
        for (devices, n) in [(2, 1), (2, 2), (6, 0), (6, 5)] {
            let error = deal_labels(&labels, 4, devices, Skew::Labels(n), 1).unwrap_err().to_string();
            assert!(error.contains("4 labels"), "{error}");
        }
    }

    /// Two machines, or two versions, that deal differently simulate different fleets.
    #[test]
    fn hands_are_pinned_and_follow_the_seed() {
        let dealt = |seed| dealt(50, Skew::Dirichlet(0.1), seed);
        assert_eq!(dealt(5), dealt(5));
        assert_ne!(dealt(5), dealt(6));
        assert_eq!(dealt(5)[0], PINNED);
    }

    const PINNED: [usize; 8] = [149, 173, 208, 212, 215, 259, 271, 337];

    /// Mean and variance of Gamma(alpha) are both alpha.
    #[test]
    fn gamma_variates_have_their_moments() {
        for alpha in [0.1, 1.0, 7.5] {
            let mut random = Random::new(9);
            let n = 40_000.0;
            let drawn: Vec<f64> = (0..n as usize).map(|_| random.ln_gamma_variate(alpha).exp()).collect();
            let mean = drawn.iter().sum::<f64>() / n;
            let variance = drawn.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
            // Five standard deviations of the mean; the variance scatters more.
            assert!((mean - alpha).abs() < 5.0 * (alpha / n).sqrt(), "{alpha}: {mean}");
            assert!((variance / alpha - 1.0).abs() < 0.15, "{alpha}: {variance}");
        }
    }
}
