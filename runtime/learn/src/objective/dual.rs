//! Numbers that carry one directional derivative: v and v̇, with
//! (a ± b)˙ = ȧ ± ḃ, (a·b)˙ = ȧ·b + a·ḃ, (eᵃ)˙ = eᵃ·ȧ, (ln a)˙ = ȧ/a, |a|˙ = sign(a)·ȧ with sign(0) = 0,
//! σ(a)˙ = σ(a)·σ(−a)·ȧ, (ln(1 + eᵃ))˙ = σ(a)·ȧ, (ln(1 − eᵃ))˙ = −eᵃ/(1 − eᵃ)·ȧ.
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

    /// Its size.
    pub fn abs(self) -> Self {
        let sign = f64::from(i8::from(self.v > 0.0) - i8::from(self.v < 0.0));
        Self { v: self.v.abs(), d: sign * self.d }
    }

    /// σ: 1 / (1 + e⁻ᵃ).
    pub fn logistic(self) -> Self {
        let s = logistic(self.v);
        Self { v: s, d: s * logistic(-self.v) * self.d }
    }

    /// ln(1 + eᵃ), which is −ln σ(−a).
    pub fn softplus(self) -> Self {
        let v = self.v.max(0.0) + libm::log1p(libm::exp(-self.v.abs()));
        Self { v, d: logistic(self.v) * self.d }
    }

    /// ln(1 − eᵃ) of a log-probability: the logarithm of what is left for all else. One that rounding took to 0 or above
    /// counts as the largest below it in single precision, so that it stays finite.
    pub fn ln_rest(self) -> Self {
        let a = self.v.min(-f64::from(f32::EPSILON));
        let rest = -libm::expm1(a);
        Self { v: libm::log(rest), d: -libm::exp(a) / rest * self.d }
    }

    /// Itself without its derivative.
    pub fn held(self) -> Self {
        Self::constant(self.v)
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

fn logistic(v: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-v))
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
    fn rules_of_probabilities_match_central_differences() {
        type Rule = fn(Dual) -> Dual;
        let rules: [(Rule, &[f64]); 4] = [
            (Dual::abs, &[-1.5, 2.0]),
            (Dual::logistic, &[-30.0, -0.4, 0.0, 3.0]),
            (Dual::softplus, &[-30.0, -0.4, 0.0, 3.0, 30.0]),
            (Dual::ln_rest, &[-9.0, -0.7, -1e-3]),
        ];
        for (f, points) in rules {
            for &v in points {
                let h = 1e-6 * v.abs().clamp(1e-3, 1.0);
                let at = |h: f64| f(Dual::constant(v + h)).v;
                let (found, wanted) = (f(Dual { v, d: 2.0 }).d, (at(h) - at(-h)) / h);
                assert!((found - wanted).abs() < 1e-6 * wanted.abs().max(1e-2), "{v}: {found} {wanted}");
            }
        }
    }

    #[test]
    fn what_rounding_spoils_stays_finite() {
        let unsure = Dual { v: 0.0, d: 3.0 };
        assert_eq!(unsure.abs(), Dual { v: 0.0, d: 0.0 });
        assert!((unsure.softplus().v - std::f64::consts::LN_2).abs() < 1e-15);
        for v in [1e-7, 0.0, -1e-9] {
            let rest = Dual { v, d: 1.0 }.ln_rest();
            assert!(rest.v.is_finite() && rest.d.is_finite(), "{v}: {rest:?}");
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
