//! A number of bytes, and a size as a person writes it.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Mul, Sub, SubAssign};
use std::str::FromStr;

/// A number of bytes. Arithmetic saturates: a plan too large to count is too large for any budget.
/// Serialised as a plain number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

impl Bytes {
    /// No bytes.
    pub const ZERO: Bytes = Bytes(0);

    /// `n` KiB (2^10 bytes).
    pub const fn kib(n: u64) -> Bytes {
        Bytes(n.saturating_mul(1 << 10))
    }

    /// `n` MiB (2^20 bytes).
    pub const fn mib(n: u64) -> Bytes {
        Bytes(n.saturating_mul(1 << 20))
    }

    /// `n` values of type `T`, without padding.
    pub const fn of<T>(n: usize) -> Bytes {
        Bytes((n as u64).saturating_mul(size_of::<T>() as u64))
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number as an index; saturates where pointers are 32 bits wide.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// In MiB, for display and ratios.
    pub fn as_mib(self) -> f64 {
        self.0 as f64 / f64::from(1 << 20)
    }

    /// `self / whole`; 0 when `whole` is 0.
    pub fn share_of(self, whole: Bytes) -> f64 {
        if whole.0 == 0 { 0.0 } else { self.0 as f64 / whole.0 as f64 }
    }

    /// The sum, or `None` past 2^64.
    pub fn checked_add(self, other: Bytes) -> Option<Bytes> {
        self.0.checked_add(other.0).map(Bytes)
    }

    /// The product, or `None` past 2^64.
    pub fn checked_mul(self, n: u64) -> Option<Bytes> {
        self.0.checked_mul(n).map(Bytes)
    }
}

impl From<u64> for Bytes {
    fn from(n: u64) -> Bytes {
        Bytes(n)
    }
}

impl From<usize> for Bytes {
    fn from(n: usize) -> Bytes {
        Bytes(n as u64)
    }
}

impl Add for Bytes {
    type Output = Bytes;
    fn add(self, other: Bytes) -> Bytes {
        Bytes(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Bytes {
    fn add_assign(&mut self, other: Bytes) {
        *self = *self + other;
    }
}

impl Sub for Bytes {
    type Output = Bytes;
    fn sub(self, other: Bytes) -> Bytes {
        Bytes(self.0.saturating_sub(other.0))
    }
}

impl SubAssign for Bytes {
    fn sub_assign(&mut self, other: Bytes) {
        *self = *self - other;
    }
}

impl Mul<u64> for Bytes {
    type Output = Bytes;
    fn mul(self, n: u64) -> Bytes {
        Bytes(self.0.saturating_mul(n))
    }
}

impl Sum for Bytes {
    fn sum<I: Iterator<Item = Bytes>>(iter: I) -> Bytes {
        iter.fold(Bytes::ZERO, Add::add)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.0 as f64;
        let text = match self.0 {
            0..0x400 => format!("{} B", self.0),
            0x400..0x10_0000 => format!("{:.1} KiB", n / 1024.0),
            0x10_0000..0x4000_0000 => format!("{:.1} MiB", self.as_mib()),
            _ => format!("{:.2} GiB", self.as_mib() / 1024.0),
        };
        f.pad(&text)
    }
}

/// A size as written on a command line: a number of bytes, or a share of what there is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Size {
    /// `300MiB`, `1GB`, `64k`, `4096`.
    Bytes(Bytes),
    /// `80%`, in percent: above 0, at most 100.
    Percent(f64),
}

impl Size {
    /// The bytes meant, where `total` is what a percentage is taken of (rounded down).
    pub fn resolve(self, total: Bytes) -> Bytes {
        match self {
            Size::Bytes(bytes) => bytes,
            Size::Percent(percent) => Bytes((total.0 as f64 * percent / 100.0) as u64),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Size::Bytes(bytes) => bytes.fmt(f),
            Size::Percent(percent) => f.pad(&format!("{percent}%")),
        }
    }
}

/// A text that is no size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a size: {why}; write 300MiB or 300M (2^20 bytes each), 1GB (10^9 bytes), 64k (64 KiB), \
     a plain number of bytes, or 80% of the memory there is"
)]
pub struct SizeError {
    /// What was written.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl FromStr for Size {
    type Err = SizeError;

    /// Units in any case: `B`; `k`, `M`, `G`, `T` and `KiB`, `MiB`, `GiB`, `TiB` are powers of 1024 (as
    /// systemd and Docker read them); `kB`, `MB`, `GB`, `TB` powers of 1000; `%` a share.
    fn from_str(text: &str) -> Result<Size, SizeError> {
        let err = |why| SizeError { text: text.chars().take(40).collect(), why };
        let trimmed = text.trim();
        let split = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(split);
        if number.is_empty() {
            return Err(err("it does not begin with a number"));
        }
        let unit = unit.trim_start().to_ascii_lowercase();
        let value: f64 = number.parse().map_err(|_| err("the number does not parse"))?;
        if unit == "%" {
            let sane = value > 0.0 && value <= 100.0;
            return if sane {
                Ok(Size::Percent(value))
            } else {
                Err(err("a share is above 0% and at most 100%"))
            };
        }
        let (base, power) = match unit.as_str() {
            "" | "b" => (1, 0),
            "k" | "kib" => (1024, 1),
            "m" | "mib" => (1024, 2),
            "g" | "gib" => (1024, 3),
            "t" | "tib" => (1024, 4),
            "kb" => (1000, 1),
            "mb" => (1000, 2),
            "gb" => (1000, 3),
            "tb" => (1000, 4),
            _ => return Err(err("the unit is unknown")),
        };
        let factor = u64::pow(base, power);
        // Whole numbers stay exact; only a fraction such as 1.5GiB goes through floating point.
        let bytes = match number.parse::<u64>() {
            Ok(n) => n.checked_mul(factor),
            Err(_) => Some(value * factor as f64).filter(|b| *b < u64::MAX as f64).map(|b| b as u64),
        };
        bytes.map(|n| Size::Bytes(Bytes(n))).ok_or_else(|| err("it is more than 2^64 bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Result<u64, SizeError> {
        text.parse::<Size>().map(|s| s.resolve(Bytes(1000)).0)
    }

    #[test]
    fn sizes_as_people_write_them() {
        for (text, want) in [
            ("300MiB", 300 << 20),
            ("300 mib", 300 << 20),
            ("300M", 300 << 20),
            ("1GB", 1_000_000_000),
            ("64k", 65_536),
            ("64kB", 64_000),
            ("1.5GiB", 3 << 29),
            ("4096", 4096),
            ("4096B", 4096),
            ("18446744073709551615", u64::MAX),
            ("80%", 800),
            (" 12.5% ", 125),
        ] {
            assert_eq!(bytes(text), Ok(want), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_named_in_the_error() {
        for text in ["", "MiB", "-5MiB", "3XB", "1.2.3k", "0%", "101%", "NaN", "1e9", "99999999999TiB", "."] {
            let err = bytes(text).expect_err(text);
            assert!(
                err.to_string().contains(&format!("{text:?}")) && err.to_string().contains("300MiB"),
                "{err}"
            );
        }
    }

    #[test]
    fn display_and_saturation() {
        assert_eq!(Bytes(512).to_string(), "512 B");
        assert_eq!(Bytes(12_897_485).to_string(), "12.3 MiB");
        assert_eq!(format!("{:>10}", Bytes::kib(3)), "   3.0 KiB");
        assert_eq!(Bytes::mib(2048).to_string(), "2.00 GiB");
        assert_eq!(Bytes(u64::MAX) + Bytes(1), Bytes(u64::MAX));
        assert_eq!(Bytes(1) - Bytes(2), Bytes::ZERO);
        assert_eq!([Bytes(1), Bytes(2)].into_iter().sum::<Bytes>(), Bytes(3));
        assert_eq!(serde_json::to_string(&Bytes(7)).unwrap(), "7");
    }
}
