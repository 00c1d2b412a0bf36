//! Numbers that carry one directional derivative: v and v̇, with
//! (a ± b)˙ = ȧ ± ḃ, (a·b)˙ = ȧ·b + a·ḃ, (eᵃ)˙ = eᵃ·ȧ, (ln a)˙ = ȧ/a.
//! In double precision and through a software libm, so that a loss has the same bits on every CPU.

use std::iter::Sum;
use std::ops::{Add, Mul, Neg, Sub};

/// A value and one directional derivative.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dual {
    /// Value.
    pub v: f64,
    /// Derivative.
    pub d: f64,
}

impl Dual {
    /// From single-precision parts.
    pub fn new(v: f32, d: f32) -> Self {
        Self { v: f64::from(v), d: f64::from(d) }
    }

    /// A number that depends on nothing.
    pub fn constant(v: f64) -> Self {
        Self { v, d: 0.0 }
    }

    /// e to its power.
    pub fn exp(self) -> Self {
        let e = libm::exp(self.v);
        Self { v: e, d: e * self.d }
    }

    /// Natural logarithm.
    pub fn ln(self) -> Self {
        Self { v: libm::log(self.v), d: self.d / self.v }
    }

    /// A constant times it.
    pub fn times(self, c: f64) -> Self {
        Self { v: self.v * c, d: self.d * c }
    }

    /// It over a constant: the mean of a sum, rounded once.
    pub fn over(self, n: f64) -> Self {
        Self { v: self.v / n, d: self.d / n }
    }
}

impl Add for Dual {
    type Output = Self;
    fn add(self, o: Self) -> Self {
        Self { v: self.v + o.v, d: self.d + o.d }
    }
}

impl Sub for Dual {
    type Output = Self;
    fn sub(self, o: Self) -> Self {
        Self { v: self.v - o.v, d: self.d - o.d }
    }
}

impl Mul for Dual {
    type Output = Self;
    fn mul(self, o: Self) -> Self {
        Self { v: self.v * o.v, d: self.d * o.v + self.v * o.d }
    }
}

impl Neg for Dual {
    type Output = Self;
    fn neg(self) -> Self {
        Self { v: -self.v, d: -self.d }
    }
}

impl Sum for Dual {
    /// In the order of the terms. Starts from −0, as sums of plain numbers do: a lone term keeps all its bits.
    fn sum<I: Iterator<Item = Self>>(terms: I) -> Self {
        terms.fold(Self { v: -0.0, d: -0.0 }, Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_match_central_differences() {
        let f = |x: Dual| (x * x.exp() + Dual::constant(2.0)).ln().times(3.0) - -x.over(7.0);
        for v in [-1.5, 0.1, 2.0] {
            let at = |h: f64| f(Dual::constant(v + h)).v;
            let found = f(Dual { v, d: 0.5 });
            assert!((found.d - 0.5 * (at(1e-6) - at(-1e-6)) / 2e-6).abs() < 1e-8, "{v}: {found:?}");
        }
    }

    #[test]
    fn sums_keep_a_lone_terms_bits() {
        let zero = Dual { v: -0.0, d: -0.0 };
        let sum: Dual = [zero].into_iter().sum();
        assert!(sum.v.is_sign_negative() && sum.d.is_sign_negative());
        let plain: f64 = [zero.v].into_iter().sum();
        assert_eq!(plain.to_bits(), sum.v.to_bits());
    }
}
