//! Numbers that carry their limits in their type: what is out of range can be written neither in a settings file nor on
//! the command line nor in the code.

use crate::setting::{Setting, SettingError};
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

/// A whole number from `LOW` to `HIGH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Whole<const LOW: u32, const HIGH: u32>(u32);

/// A finite number: from 0 if `ZERO`, above it otherwise; below 1 if `FRACTION`.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Real<const ZERO: bool, const FRACTION: bool>(f32);

/// A finite number above 0.
pub type Positive = Real<false, false>;
/// A finite number of 0 or more.
pub type NotNegative = Real<true, false>;
/// A number from 0 up to, but not, 1.
pub type Fraction = Real<true, true>;

/// A text that is no number within the limits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("use {0}")]
pub struct LimitError(String);

impl LimitError {
    /// The limits, after "use".
    pub(super) fn new(limits: &str) -> Self {
        Self(limits.to_owned())
    }
}

impl<const LOW: u32, const HIGH: u32> Whole<LOW, HIGH> {
    /// `N`; another than the limits allow does not compile.
    pub const fn of<const N: u32>() -> Self {
        const { assert!(LOW <= N && N <= HIGH, "out of range") };
        Self(N)
    }

    /// `n`, if it is within the limits.
    pub fn new(n: u64) -> Option<Self> {
        u32::try_from(n).ok().filter(|n| (LOW..=HIGH).contains(n)).map(Self)
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The number as a length.
    pub const fn as_usize(self) -> usize {
        self.0 as usize
    }
}

impl<const ZERO: bool, const FRACTION: bool> Real<ZERO, FRACTION> {
    const LIMITS: &str = match (ZERO, FRACTION) {
        (false, false) => "a number above 0",
        (false, true) => "a number above 0 and below 1",
        (true, false) => "a number of 0 or more",
        (true, true) => "a number from 0 up to, but not, 1",
    };

    /// `value`; in a constant, another than the limits allow does not compile.
    ///
    /// # Panics
    /// It is out of the limits.
    pub const fn of(value: f32) -> Self {
        assert!(Self::holds(value), "out of range");
        Self(value)
    }

    /// `value`, if it is within the limits.
    pub fn new(value: f32) -> Option<Self> {
        Self::holds(value).then_some(Self(value))
    }

    /// The `value` that was given for `setting`.
    ///
    /// # Errors
    /// It is out of the limits, which are named.
    pub fn given(setting: Setting, value: f32) -> Result<Self, SettingError> {
        Self::new(value).ok_or_else(|| setting.error(value, format!("use {}", Self::LIMITS)))
    }

    /// The number.
    pub const fn get(self) -> f32 {
        self.0
    }

    const fn holds(value: f32) -> bool {
        value.is_finite() && (value > 0.0 || ZERO && value == 0.0) && (value < 1.0 || !FRACTION)
    }
}

impl<const LOW: u32, const HIGH: u32> FromStr for Whole<LOW, HIGH> {
    type Err = LimitError;

    fn from_str(text: &str) -> Result<Self, LimitError> {
        let limits = || LimitError(format!("a whole number from {LOW} to {HIGH}"));
        text.parse().ok().and_then(Self::new).ok_or_else(limits)
    }
}

impl<const ZERO: bool, const FRACTION: bool> FromStr for Real<ZERO, FRACTION> {
    type Err = LimitError;

    fn from_str(text: &str) -> Result<Self, LimitError> {
        text.parse().ok().and_then(Self::new).ok_or_else(|| LimitError(Self::LIMITS.to_owned()))
    }
}

impl<const LOW: u32, const HIGH: u32> Display for Whole<LOW, HIGH> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<const ZERO: bool, const FRACTION: bool> Display for Real<ZERO, FRACTION> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<const LOW: u32, const HIGH: u32> Serialize for Whole<LOW, HIGH> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u32(self.0)
    }
}

impl<const ZERO: bool, const FRACTION: bool> Serialize for Real<ZERO, FRACTION> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f32(self.0)
    }
}

impl<'de, const LOW: u32, const HIGH: u32> Deserialize<'de> for Whole<LOW, HIGH> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_u64(WholeVisitor)
    }
}

impl<'de, const ZERO: bool, const FRACTION: bool> Deserialize<'de> for Real<ZERO, FRACTION> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_f64(RealVisitor)
    }
}

struct WholeVisitor<const LOW: u32, const HIGH: u32>;

impl<const LOW: u32, const HIGH: u32> Visitor<'_> for WholeVisitor<LOW, HIGH> {
    type Value = Whole<LOW, HIGH>;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from {LOW} to {HIGH}")
    }

    fn visit_u64<E: Error>(self, n: u64) -> Result<Self::Value, E> {
        Whole::new(n).ok_or_else(|| E::invalid_value(Unexpected::Unsigned(n), &self))
    }

    fn visit_i64<E: Error>(self, n: i64) -> Result<Self::Value, E> {
        let found = u64::try_from(n).ok().and_then(Whole::new);
        found.ok_or_else(|| E::invalid_value(Unexpected::Signed(n), &self))
    }
}

struct RealVisitor<const ZERO: bool, const FRACTION: bool>;

impl<const ZERO: bool, const FRACTION: bool> Visitor<'_> for RealVisitor<ZERO, FRACTION> {
    type Value = Real<ZERO, FRACTION>;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(Real::<ZERO, FRACTION>::LIMITS)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        Real::new(value as f32).ok_or_else(|| E::invalid_value(Unexpected::Float(value), &self))
    }

    fn visit_i64<E: Error>(self, n: i64) -> Result<Self::Value, E> {
        Real::new(n as f32).ok_or_else(|| E::invalid_value(Unexpected::Signed(n), &self))
    }

    fn visit_u64<E: Error>(self, n: u64) -> Result<Self::Value, E> {
        Real::new(n as f32).ok_or_else(|| E::invalid_value(Unexpected::Unsigned(n), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::value::{Error, F64Deserializer, I64Deserializer};

    type Small = Whole<2, 9>;

    fn whole(n: i64) -> Result<u32, String> {
        let read: Result<Small, Error> = Small::deserialize(I64Deserializer::new(n));
        read.map(Small::get).map_err(|e| e.to_string())
    }

    fn fraction(value: f64) -> Result<f32, String> {
        let read: Result<Fraction, Error> = Fraction::deserialize(F64Deserializer::new(value));
        read.map(Fraction::get).map_err(|e| e.to_string())
    }

    #[test]
    fn numbers_within_their_limits_are_read_and_others_refused_with_them() {
        assert_eq!(("2".parse().map(Small::get), whole(9)), (Ok(2), Ok(9)));
        for text in ["1", "10", "-2", "2.5", "", "99999999999999999999"] {
            let message = text.parse::<Small>().unwrap_err().to_string();
            assert_eq!(message, "use a whole number from 2 to 9", "{text}");
        }
        assert_eq!(
            whole(-1).unwrap_err(),
            "invalid value: integer `-1`, expected a whole number from 2 to 9"
        );
        assert_eq!((fraction(0.0), fraction(0.99)), (Ok(0.0), Ok(0.99)));
        for value in [1.0, -0.1, f64::NAN, f64::INFINITY] {
            assert!(fraction(value).unwrap_err().contains("expected a number from 0 up to, but not, 1"));
        }
        assert!("0".parse::<Positive>().is_err() && "inf".parse::<NotNegative>().is_err());
        assert!("1e39".parse::<Positive>().is_err(), "not finite as it is kept");
        assert_eq!(NotNegative::of(0.0).get(), 0.0);
    }
}
