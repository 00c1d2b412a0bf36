//! Objectives: small pure functions of a row's statistics, written once over a scalar that may carry a derivative.

use std::ops::{Add, Mul, Neg, Sub};

/// A number an objective can be computed in.
pub trait Scalar:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Neg<Output = Self>
{
    /// A constant.
    fn constant(v: f64) -> Self;
    /// Its value.
    fn value(self) -> f64;
    /// e to its power.
    fn exp(self) -> Self;
    /// Natural logarithm.
    fn ln(self) -> Self;
}

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

impl Scalar for Dual {
    fn constant(v: f64) -> Self {
        Self { v, d: 0.0 }
    }
    fn value(self) -> f64 {
        self.v
    }
    fn exp(self) -> Self {
        let e = libm::exp(self.v);
        Self { v: e, d: e * self.d }
    }
    fn ln(self) -> Self {
        Self { v: libm::log(self.v), d: self.d / self.v }
    }
}

impl Scalar for f64 {
    fn constant(v: f64) -> Self {
        v
    }
    fn value(self) -> f64 {
        self
    }
    fn exp(self) -> Self {
        libm::exp(self)
    }
    fn ln(self) -> Self {
        libm::log(self)
    }
}

/// Causal language model, one row: −log p(target) = lse − l_target (spec 3.5, CE).
pub fn causal_lm<S: Scalar>(lse: S, target: S) -> S {
    lse - target
}

/// Classification among named candidates, one row: −log of the answer's share of the candidates' probability.
pub fn classification<S: Scalar>(logits: impl Iterator<Item = S> + Clone, answer: S) -> S {
    let max = logits.clone().map(S::value).fold(f64::NEG_INFINITY, f64::max);
    let shift = S::constant(max);
    let sum = logits.fold(S::constant(0.0), |sum, l| sum + (l - shift).exp());
    sum.ln() + shift - answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivatives_match_central_differences() {
        let (l, dl) = ([1.0f64, -2.0, 0.5], [0.3f64, 0.1, -0.7]);
        let at = |h: f64| {
            let moved: Vec<f64> = l.iter().zip(dl).map(|(l, d)| l + h * d).collect();
            classification(moved.iter().copied(), moved[2])
        };
        let dual: Vec<Dual> = l.iter().zip(dl).map(|(&v, d)| Dual { v, d }).collect();
        let found = classification(dual.iter().copied(), dual[2]);
        assert!((found.v - at(0.0)).abs() < 1e-15);
        assert!((found.d - (at(1e-6) - at(-1e-6)) / 2e-6).abs() < 1e-8);
        assert_eq!(causal_lm(Dual { v: 3.0, d: 1.0 }, Dual { v: 1.0, d: 0.25 }), Dual { v: 2.0, d: 0.75 });
    }
}
