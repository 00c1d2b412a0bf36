//! ε as a setting, and the ρ of zero-concentrated differential privacy that it allows (Canonne, Kamath, Steinke 2020).

use serde::de::{Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

/// δ, the chance that ε does not hold: far below one in as many examples as a device has.
pub const DELTA: f64 = 1e-6;
const LEAST: f64 = 0.01;
const MOST: f64 = 100.0;
const LIMITS: &str = "a number from 0.01 to 100, the smaller the more private";

/// How much more likely anything a device sends may be with one example than with another in its place: e^ε times.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Epsilon(f64);

/// A text that is no ε.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("use {LIMITS}; leave it out for no noise")]
pub struct EpsilonError;

impl Eq for Epsilon {} // never not a number

impl Epsilon {
    /// `value`, if it is one that means something.
    pub fn new(value: f64) -> Option<Self> {
        (LEAST..=MOST).contains(&value).then_some(Self(value))
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }

    /// The more private of two.
    pub fn least(self, other: Self) -> Self {
        if other.0 < self.0 { other } else { self }
    }

    /// ρ, the zero-concentrated differential privacy that this and δ allow: the most that any order α proves, by
    /// δ = exp((α − 1)(αρ − ε) + α·ln(1 − 1/α))/(α − 1). An order that is not the best gives less, and no wrong one.
    pub(crate) fn rho(self) -> f64 {
        orders().map(|(over, alpha)| (self.0 - correction(over, alpha)) / alpha).fold(0.0, f64::max)
    }

    /// The least ε that `rho` proves, at the same δ: what was spent. Infinite where that is beyond any order's reach.
    pub fn spent(rho: f64) -> f64 {
        if rho <= 0.0 {
            return 0.0;
        }
        orders()
            .map(|(over, alpha)| alpha * rho + correction(over, alpha))
            .fold(f64::INFINITY, f64::min)
            .max(0.0)
    }
}

/// Orders α of Rényi divergence that are tried, as (α − 1, α).
fn orders() -> impl Iterator<Item = (f64, f64)> {
    (-96..=256).map(|sixteenth: i32| {
        let over = libm::exp2(f64::from(sixteenth) / 16.0);
        (over, 1.0 + over)
    })
}

/// ε − αρ, of δ = exp((α − 1)(αρ − ε) + α·ln(1 − 1/α))/(α − 1).
fn correction(over: f64, alpha: f64) -> f64 {
    -(libm::log(DELTA) + libm::log(over) - alpha * libm::log(over / alpha)) / over
}

impl FromStr for Epsilon {
    type Err = EpsilonError;

    fn from_str(text: &str) -> Result<Self, EpsilonError> {
        text.parse().ok().and_then(Self::new).ok_or(EpsilonError)
    }
}

impl Display for Epsilon {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Epsilon {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(self.0)
    }
}

impl<'de> Deserialize<'de> for Epsilon {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_f64(EpsilonVisitor)
    }
}

struct EpsilonVisitor;

impl Visitor<'_> for EpsilonVisitor {
    type Value = Epsilon;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(LIMITS)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Epsilon, E> {
        Epsilon::new(value).ok_or_else(|| E::invalid_value(Unexpected::Float(value), &self))
    }

    fn visit_i64<E: serde::de::Error>(self, n: i64) -> Result<Epsilon, E> {
        Epsilon::new(n as f64).ok_or_else(|| E::invalid_value(Unexpected::Signed(n), &self))
    }

    fn visit_u64<E: serde::de::Error>(self, n: u64) -> Result<Epsilon, E> {
        Epsilon::new(n as f64).ok_or_else(|| E::invalid_value(Unexpected::Unsigned(n), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::value::{Error, F64Deserializer, U64Deserializer};

    #[test]
    fn what_is_no_epsilon_is_refused_with_the_limits() {
        for text in ["0", "-1", "NaN", "inf", "1e9", "0.009", "", "much"] {
            let message = text.parse::<Epsilon>().unwrap_err().to_string();
            assert!(
                message.contains("from 0.01 to 100") && message.contains("leave it out"),
                "{text}: {message}"
            );
        }
        for value in [0.0, -2.0, f64::NAN, 1e9] {
            let read: Result<Epsilon, Error> = Epsilon::deserialize(F64Deserializer::new(value));
            assert!(read.unwrap_err().to_string().contains("expected a number from 0.01 to 100"));
        }
        let read: Result<Epsilon, Error> = Epsilon::deserialize(U64Deserializer::new(8));
        assert_eq!((read.unwrap(), "0.5".parse()), (Epsilon(8.0), Ok(Epsilon(0.5))));
        assert_eq!(Epsilon(3.0).least(Epsilon(2.0)), Epsilon(2.0).least(Epsilon(3.0)));
    }

    /// δ of ρ at ε, over many orders: the definition, and not the way it is solved here.
    fn delta(rho: f64, epsilon: f64) -> f64 {
        let of = |alpha: f64| {
            ((alpha - 1.0) * (alpha * rho - epsilon)).exp() / (alpha - 1.0) * (1.0 - 1.0 / alpha).powf(alpha)
        };
        (1..400_000).map(|i| of(1.0 + 0.01 * f64::from(i))).fold(1.0, f64::min)
    }

    #[test]
    fn rho_is_what_epsilon_and_delta_allow_and_nearly_all_of_it() {
        for epsilon in [0.05, 0.5, 1.0, 4.0, 8.0, 16.0, 50.0] {
            let rho = Epsilon(epsilon).rho();
            assert!(delta(rho, epsilon) < DELTA * 1.001, "{epsilon}");
            assert!(delta(1.02 * rho, epsilon) > DELTA, "{epsilon}");
            // What the usual ε = ρ + 2√(ρ·ln 1/δ) proves is less.
            let usual = rho + 2.0 * (rho * (1.0 / DELTA).ln()).sqrt();
            assert!(usual > epsilon, "{usual} {epsilon}");
            let spent = Epsilon::spent(rho);
            assert!((spent / epsilon - 1.0).abs() < 1e-3, "{spent} {epsilon}");
        }
    }

    /// Against an accountant that others keep: Google's dp-accounting 0.6.0, `GaussianDpEvent` of that noise multiplier composed so
    /// often, at δ = 10⁻⁶: by Rényi's divergences, as here, and by privacy loss distributions, which are as good as exact.
    #[test]
    fn epsilons_are_those_of_an_accountant_of_others() {
        for (multiplier, times, by_orders, exact) in [
            (2.0, 1.0, 2.41910, 2.25408),
            (4.0, 10.0, 4.01038, 3.74722),
            (1.0, 1.0, 5.22154, 4.88655),
            (10.0, 100.0, 5.22154, 4.88655),
            (3.0, 60.0, 15.95298, 15.04190),
            (8.0, 3.0, 0.97979, 0.90840),
        ] {
            let spent = Epsilon::spent(times / (2.0 * multiplier * multiplier));
            assert!((spent / by_orders - 1.0).abs() < 2e-4, "{spent} {by_orders}");
            assert!(spent > exact && spent < 1.09 * exact, "never less than is spent: {spent} {exact}");
        }
        assert_eq!(Epsilon::spent(0.0), 0.0);
    }
}
