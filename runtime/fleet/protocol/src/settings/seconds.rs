//! A time as a person writes it.

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

/// Seconds, from a tenth up to `MOST`.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Seconds<const MOST: u32>(f64);

impl<const MOST: u32> Seconds<MOST> {
    /// `seconds`; in a constant, another than the limits allow does not compile.
    ///
    /// # Panics
    /// They are out of the limits.
    pub const fn of(seconds: f64) -> Self {
        assert!(Self::holds(seconds), "out of range");
        Self(seconds)
    }

    /// The number.
    pub const fn get(self) -> f64 {
        self.0
    }

    /// The same as a time.
    pub fn duration(self) -> Duration {
        Duration::from_secs_f64(self.0)
    }

    const fn holds(seconds: f64) -> bool {
        seconds >= 0.1 && seconds <= MOST as f64
    }
}

impl<const MOST: u32> Display for Seconds<MOST> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<const MOST: u32> Serialize for Seconds<MOST> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(self.0)
    }
}

impl<'de, const MOST: u32> Deserialize<'de> for Seconds<MOST> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_f64(SecondsVisitor)
    }
}

struct SecondsVisitor<const MOST: u32>;

impl<const MOST: u32> Visitor<'_> for SecondsVisitor<MOST> {
    type Value = Seconds<MOST>;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "seconds from 0.1 to {MOST}")
    }

    fn visit_f64<E: Error>(self, seconds: f64) -> Result<Self::Value, E> {
        match Seconds::<MOST>::holds(seconds) {
            true => Ok(Seconds(seconds)),
            false => Err(E::invalid_value(Unexpected::Float(seconds), &self)),
        }
    }

    fn visit_i64<E: Error>(self, seconds: i64) -> Result<Self::Value, E> {
        self.visit_f64(seconds as f64)
    }

    fn visit_u64<E: Error>(self, seconds: u64) -> Result<Self::Value, E> {
        self.visit_f64(seconds as f64)
    }
}
