//! Sums of derivatives of which no example moves more than it may, and their noise.

use super::{Bits, Epsilon};
use sprig_ground::random::SplitMix64;
use std::fmt::{self, Formatter};
use std::io::{self, Read};

/// Steps of the length 1 that an example's derivatives are brought to.
pub(crate) const UNIT: u32 = 1024;
/// γ: derivatives this short are halved, and shorter ones not blown up.
const SHORT: f64 = 0.01;
/// How far another example in the place of one moves a batch's sum, in steps: from one end of the ball to the other.
const REACH: u64 = 2 * UNIT as u64;
/// Largest variance that is drawn.
const MOST: f64 = (1u64 << 52) as f64;

/// What sums get before they leave the device.
pub struct Noise {
    variance: u64,
    source: Box<dyn Read + Send>,
}

/// The variance, in steps², with which `visits` batches that have an example among them tell no more of it than `epsilon`
/// allows. `None` where it would be more than can be drawn.
pub fn variance(epsilon: Epsilon, visits: u64) -> Option<u64> {
    let variance = visits.max(1) as f64 * (REACH * REACH) as f64 / (2.0 * epsilon.rho());
    // Rounded up, and a billionth for the rounding of ρ itself.
    let up = (variance * (1.0 + 1e-9)).ceil();
    (up <= MOST).then_some(up as u64)
}

/// The variance of one of `among` parts of noise that has `whole` in all. A sum of discrete Gaussians tells a little more than
/// one of their variance (Kairouz, Liu, Steinke: *The Distributed Discrete Gaussian Mechanism for Federated Learning with Secure
/// Aggregation*, ICML 2021, theorem 1: τ = 10·Σₖ exp(−2π²σ²k/(k + 1)), k from 1 to parts less one, times half the numbers): of
/// parts of a variance of 4, of 342 devices and 2²⁰ numbers, 10⁻⁸ in ρ beside the 1 and more of an ε for which that little is
/// enough. So no part is smaller.
pub(crate) fn part(whole: u64, among: u32) -> u64 {
    if among < 2 { whole } else { whole.div_ceil(u64::from(among)).max(4) }
}

/// ρ of one batch with noise of that variance, for an example that is in it.
pub(super) fn rho(variance: u64) -> f64 {
    (REACH * REACH) as f64 / (2.0 * variance as f64)
}

/// Adds an example's derivatives `row` to `sums`, at no more than the length [`UNIT`]. Those that are no numbers count as none.
pub(crate) fn bound(row: &[f32], sums: &mut [i64]) {
    let square: f64 = row.iter().map(|&s| f64::from(s) * f64::from(s)).sum();
    if square.is_finite() {
        let scale = f64::from(UNIT) / (square.sqrt() + SHORT);
        // Towards 0, so that rounding lengthens nothing.
        sums.iter_mut().zip(row).for_each(|(sum, &s)| *sum += (f64::from(s) * scale) as i64);
    }
}

impl Noise {
    /// Of `variance`, in steps², from 1 to 2⁵², drawn from `source`: the system's own randomness wherever it is to hide
    /// anything.
    pub fn new(variance: u64, source: Box<dyn Read + Send>) -> Self {
        Self { variance: variance.max(1), source }
    }

    /// The same from `seed`: it hides nothing, and simulates noise that would.
    pub fn foreseeable(variance: u64, seed: u64) -> Self {
        Self::new(variance, Box::new(Foreseeable::new(seed)))
    }

    /// Adds noise to each of `sums`.
    ///
    /// # Errors
    /// Those of the source; the sums must not leave then.
    pub(crate) fn add(&mut self, sums: &mut [i64]) -> io::Result<()> {
        let mut bits = Bits::new(&mut *self.source);
        sums.iter_mut().try_for_each(|sum| {
            *sum += bits.gaussian(self.variance)?;
            Ok(())
        })
    }
}

/// Bytes that a seed gives: what is drawn from them hides nothing, and simulates what would.
#[derive(Debug)]
pub struct Foreseeable(SplitMix64);

impl Foreseeable {
    /// The same bytes for the same seed.
    pub fn new(seed: u64) -> Self {
        Self(SplitMix64::new(seed))
    }
}

impl Read for Foreseeable {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        out.iter_mut().for_each(|byte| *byte = (self.0.draw() >> 56) as u8);
        Ok(out.len())
    }
}

impl fmt::Debug for Noise {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Noise").field("variance", &self.variance).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(random: &mut SplitMix64, k: usize) -> Vec<f32> {
        let size = 10f64.powi(random.below(60) as i32 - 30);
        let mut row: Vec<f32> = (0..k).map(|_| (size * (random.fraction() - 0.5)) as f32).collect();
        let at = random.below(k);
        match random.below(8) {
            0 => row[at] = f32::NAN,
            1 => row[at] = f32::INFINITY,
            2 => row[at] = f32::MAX,
            3 => row.fill(f32::MIN),
            4 => row.fill(0.0),
            _ => {}
        }
        row
    }

    #[test]
    fn no_example_in_place_of_another_moves_a_sum_further_than_the_noise_is_for() {
        let (mut random, mut furthest) = (SplitMix64::new(3), 0);
        for draw in 0..20_000 {
            let k = 1 + random.below(16);
            let first = row(&mut random, k);
            let second: Vec<f32> =
                if draw % 4 == 0 { first.iter().map(|s| -s).collect() } else { row(&mut random, k) };
            let mut sums = [vec![0i64; k], vec![0i64; k]];
            bound(&first, &mut sums[0]);
            bound(&second, &mut sums[1]);
            let moved: i64 = sums[0].iter().zip(&sums[1]).map(|(a, b)| (a - b) * (a - b)).sum();
            assert!(moved as u64 <= REACH * REACH, "{first:?} {second:?}");
            furthest = furthest.max(moved);
        }
        assert!(furthest as u64 > 9 * REACH * REACH / 10, "{furthest}");
    }

    #[test]
    fn the_direction_of_an_example_is_kept_and_short_ones_stay_short() {
        let mut sums = [0i64; 2];
        bound(&[30.0, -40.0], &mut sums);
        assert_eq!(sums, [614, -819]);
        let mut sums = [0i64; 2];
        bound(&[0.0, 0.01], &mut sums);
        assert_eq!(sums, [0, 511]);
    }

    #[test]
    fn visits_within_the_plan_spend_no_more_than_epsilon_and_one_more_does() {
        for (epsilon, visits) in [(0.5, 1u64), (1.0, 3), (8.0, 1), (8.0, 100), (50.0, 1000)] {
            let allowed = Epsilon::new(epsilon).unwrap();
            let each = rho(variance(allowed, visits).unwrap());
            assert!(visits as f64 * each <= allowed.rho(), "{epsilon} {visits}");
            assert!((visits as f64 + 1.0) * each > allowed.rho(), "{epsilon} {visits}");
            let told = Epsilon::spent(visits as f64 * each);
            assert!(told <= epsilon * (1.0 + 1e-9) && told > 0.99 * epsilon, "{told} {epsilon}");
        }
        assert_eq!(variance(Epsilon::new(0.01).unwrap(), 1 << 40), None);
    }

    #[test]
    fn noise_is_of_its_variance_and_a_source_that_ends_gives_none() {
        let mut noise = Noise::foreseeable(10_000, 9);
        let mut sums = vec![5i64; 20_000];
        noise.add(&mut sums).unwrap();
        let n = sums.len() as f64;
        let mean = sums.iter().map(|&s| s as f64 - 5.0).sum::<f64>() / n;
        let square = sums.iter().map(|&s| (s as f64 - 5.0).powi(2)).sum::<f64>() / n;
        // Four deviations of each: 100/√n and 10,000·√(2/n).
        assert!(mean.abs() < 2.83 && (square / 10_000.0 - 1.0).abs() < 0.04, "{mean} {square}");
        assert!(Noise::new(4, Box::new(io::empty())).add(&mut [0]).is_err());
    }
}
