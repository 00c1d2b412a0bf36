//! The discrete Gaussian, exactly: whole numbers x with probability in proportion to exp(−x²/2σ²), by whole numbers alone
//! (Canonne, Kamath, Steinke: *The Discrete Gaussian for Differential Privacy*, NeurIPS 2020, algorithms 1 to 3). Rounded
//! numbers of a continuous one would tell examples apart by their last bits.

use std::io::{self, Read};

/// Bytes that are read at a time.
const BLOCK: usize = 4096;
/// How far out of the middle a number is looked at, in spreads: it would be taken with a chance below exp(−500,000).
const FAR: u64 = 1 << 10;

/// Random bits from a source that gives them in bytes.
pub(crate) struct Bits<'s> {
    source: &'s mut dyn Read,
    block: Box<[u8; BLOCK]>,
    at: usize,
}

impl<'s> Bits<'s> {
    pub(crate) fn new(source: &'s mut dyn Read) -> Self {
        Self { source, block: Box::new([0; BLOCK]), at: BLOCK }
    }

    /// A number of the discrete Gaussian of that variance parameter σ², from 1 to 2⁵².
    ///
    /// # Errors
    /// Those of the source.
    pub(crate) fn gaussian(&mut self, variance: u64) -> io::Result<i64> {
        let spread = variance.isqrt() + 1;
        let (variance, t) = (u128::from(variance), u128::from(spread));
        loop {
            let laplace = self.laplace(spread)?;
            let (near, far) = (u128::from(laplace.unsigned_abs()) * t, u128::from(FAR) * t * t);
            // (|x| − σ²/t)²/2σ², over t²: below 2¹²⁴, for |x| is below 2¹⁰·t and t² is 2⁵² at most, but for a rounding.
            let off = near.abs_diff(variance);
            if near < far && self.falls(off * off, 2 * variance * t * t)? {
                return Ok(laplace);
            }
        }
    }

    /// A number x with probability in proportion to exp(−|x|/t).
    fn laplace(&mut self, t: u64) -> io::Result<i64> {
        loop {
            let low = self.below(u128::from(t))?;
            if !self.falls(low, u128::from(t))? {
                continue;
            }
            let mut high = 0u64;
            while high <= FAR && self.falls(1, 1)? {
                high += 1;
            }
            let size = (low as u64 + t * high) as i64;
            let negative = self.below(2)? == 1;
            if !(negative && size == 0) {
                return Ok(if negative { -size } else { size });
            }
        }
    }

    /// True with probability exp(−a/b).
    fn falls(&mut self, mut a: u128, b: u128) -> io::Result<bool> {
        while a > b {
            if !self.falls_within_one(1, 1)? {
                return Ok(false);
            }
            a -= b;
        }
        self.falls_within_one(a, b)
    }

    /// The same for a ≤ b: the first k at which a draw of probability a/bk fails is odd.
    fn falls_within_one(&mut self, a: u128, b: u128) -> io::Result<bool> {
        let mut k = 1;
        while self.below(b)? < a && self.below(k)? == 0 {
            k += 1;
        }
        Ok(k % 2 == 1)
    }

    /// A number in `0..bound`, each as likely; `bound` is above 0.
    fn below(&mut self, bound: u128) -> io::Result<u128> {
        let bits = u128::BITS - (bound - 1).leading_zeros();
        loop {
            let mut number = 0;
            for _ in 0..bits.div_ceil(8) {
                number = number << 8 | u128::from(self.byte()?);
            }
            // As many bits as the bound has: half of all tries and more are below it.
            let number = if bits == 0 { 0 } else { number & (u128::MAX >> (u128::BITS - bits)) };
            if number < bound {
                return Ok(number);
            }
        }
    }

    fn byte(&mut self) -> io::Result<u8> {
        if self.at == BLOCK {
            self.source.read_exact(&mut self.block[..])?;
            self.at = 0;
        }
        let byte = self.block[self.at];
        self.at += 1;
        Ok(byte)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use sprig_ground::random::SplitMix64;

    /// Bytes that are the same for a seed: never outside of tests.
    pub(crate) struct Seeded(pub(crate) SplitMix64);

    impl Read for Seeded {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            out.iter_mut().for_each(|byte| *byte = (self.0.draw() >> 56) as u8);
            Ok(out.len())
        }
    }

    fn seeded(seed: u64) -> Seeded {
        Seeded(SplitMix64::new(seed))
    }

    /// Probabilities of −reach..=reach, and of all beyond.
    fn density(variance: u64, reach: i64) -> Vec<f64> {
        let weight = |x: i64| (-(x * x) as f64 / (2.0 * variance as f64)).exp();
        let all: f64 = (-20 * reach - 200..=20 * reach + 200).map(weight).sum();
        let near: Vec<f64> = (-reach..=reach).map(|x| weight(x) / all).collect();
        let rest = 1.0 - near.iter().sum::<f64>();
        near.into_iter().chain([rest]).collect()
    }

    #[test]
    fn draws_are_those_of_the_discrete_gaussian() {
        // 99.99 % of χ² with so many degrees of freedom, by Wilson and Hilferty.
        let most = |degrees: f64| {
            let w = 2.0 / (9.0 * degrees);
            degrees * (1.0 - w + 3.719 * w.sqrt()).powi(3)
        };
        for (variance, n) in [(1u64, 60_000), (2, 60_000), (9, 60_000), (100, 120_000)] {
            let mut source = seeded(variance);
            let mut bits = Bits::new(&mut source);
            let reach = (3.0 * (variance as f64).sqrt()) as i64;
            let expected = density(variance, reach);
            let mut found = vec![0.0; expected.len()];
            for _ in 0..n {
                let x = bits.gaussian(variance).unwrap();
                let at = if x.abs() <= reach { (x + reach) as usize } else { expected.len() - 1 };
                found[at] += 1.0;
            }
            let chi: f64 = expected
                .iter()
                .zip(&found)
                .map(|(p, found)| (found - p * n as f64) * (found - p * n as f64) / (p * n as f64))
                .sum();
            let limit = most(expected.len() as f64 - 1.0);
            assert!(chi < limit, "variance {variance}: χ² {chi} of {limit}");
        }
    }

    #[test]
    fn mean_and_variance_are_those_asked_for_at_any_size() {
        for variance in [1u64, 7, 1_000, 123_456_789, 1 << 50] {
            let mut source = seeded(variance ^ 77);
            let mut bits = Bits::new(&mut source);
            let n = 20_000;
            let spread = (variance as f64).sqrt();
            let draws: Vec<f64> = (0..n).map(|_| bits.gaussian(variance).unwrap() as f64 / spread).collect();
            let mean = draws.iter().sum::<f64>() / f64::from(n);
            let square = draws.iter().map(|x| x * x).sum::<f64>() / f64::from(n);
            // Four deviations of each: 1/√n and √(2/n).
            assert!(mean.abs() < 0.0283 && (square - 1.0).abs() < 0.04, "{variance}: {mean} {square}");
        }
    }

    #[test]
    fn a_source_that_ends_is_an_error_and_no_number() {
        let mut empty: &[u8] = &[];
        assert!(Bits::new(&mut empty).gaussian(4).is_err());
    }
}
