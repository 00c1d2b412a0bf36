//! How much noise sums over so many directions get for an ε.

use super::CLIP;
use crate::privacy::{Epsilon, part};

/// Variances of what is added to the sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Noise {
    /// Of a sum of products of two directions; twice that of a sum of squares.
    pub(super) products: u64,
    /// Of a number of a class's sum.
    pub(super) classes: u64,
    /// Of a class's examples.
    pub(super) counts: u64,
}

impl Noise {
    /// What sums over `kept` directions need.
    pub(super) fn of(epsilon: Epsilon, kept: usize) -> Self {
        let square = (CLIP * kept as u64) as f64; // C²
        let class = square / 2.0; // s²
        // Rounded up, and a billionth for the rounding of ρ itself. Below 2⁵⁰: 2,048 directions at the least ε have 7·10¹⁴.
        let up = |variance: f64| (variance * (1.0 + 1e-9)).ceil() as u64;
        let products = (square + class) * (square + class) / (2.0 * epsilon.rho());
        Self {
            products: up(products),
            classes: up(products / class),
            counts: up(2.0 * products / (class * class)),
        }
    }

    /// One of `among` parts of it.
    pub(super) fn part(self, among: u32) -> Self {
        let Self { products, classes, counts } = self;
        Self { products: part(products, among), classes: part(classes, among), counts: part(counts, among) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(epsilon: f64, kept: usize) -> Noise {
        Noise::of(Epsilon::new(epsilon).unwrap(), kept)
    }

    #[test]
    fn variances_are_those_of_the_rule_rounded_up() {
        let found = noise(8.0, 128);
        // C² = 2048, s² = 1024, ρ = 1.052.
        let sigma = 3072.0 * 3072.0 / (2.0 * Epsilon::new(8.0).unwrap().rho());
        assert!(
            (found.products as f64 - sigma).abs() <= 1.0 + 1e-6 * sigma && found.products as f64 >= sigma
        );
        assert!((found.classes as f64 - sigma / 1024.0).abs() <= 1.0);
        assert_eq!(found.counts, 9);
        assert!(noise(0.01, 2048).products < 1 << 50);
        assert!(noise(100.0, 2).counts >= 1);
    }
}
