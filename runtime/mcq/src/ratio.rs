//! A fraction in lowest terms, small enough that a canonical text can hold it.

use std::cmp::Ordering;
use std::fmt;

/// Numerators and denominators stay below it: 18 digits, so that a product of two fits an `i128`.
pub(crate) const LIMIT: i64 = 1_000_000_000_000_000_000;

/// A rational number: lowest terms, denominator above 0, both of 18 digits at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ratio {
    top: i64,
    bottom: i64,
}

impl Ratio {
    /// `top / bottom` in lowest terms; `None` for a zero denominator or a value that does not fit.
    pub fn new(top: i128, bottom: i128) -> Option<Self> {
        let shared = gcd(top, bottom);
        if bottom == 0 || shared == 0 {
            return None;
        }
        let sign = bottom.signum();
        Some(Self { top: fitting(sign * (top / shared))?, bottom: fitting(sign * (bottom / shared))? })
    }

    /// The numerator, which carries the sign.
    pub const fn top(self) -> i64 {
        self.top
    }

    /// The denominator, above 0.
    pub const fn bottom(self) -> i64 {
        self.bottom
    }

    /// How many places after the point the value needs; `None` where it never ends.
    pub fn places(self) -> Option<u32> {
        (0..=18).find(|&places| 10i128.pow(places) % i128::from(self.bottom) == 0)
    }
}

impl Ord for Ratio {
    fn cmp(&self, other: &Self) -> Ordering {
        let left = i128::from(self.top) * i128::from(other.bottom);
        left.cmp(&(i128::from(other.top) * i128::from(self.bottom)))
    }
}

impl PartialOrd for Ratio {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bottom {
            1 => write!(f, "{}", self.top),
            bottom => write!(f, "{}/{bottom}", self.top),
        }
    }
}

/// The greatest common divisor, never below 0; 0 of 0 and 0, and of what has no magnitude.
pub(crate) fn gcd(a: i128, b: i128) -> i128 {
    let (Some(mut a), Some(mut b)) = (a.checked_abs(), b.checked_abs()) else { return 0 };
    while b != 0 {
        // Terms of 64 bits are the rule, and processors divide these by themselves.
        if let (Ok(a), Ok(b)) = (u64::try_from(a), u64::try_from(b)) {
            return i128::from(gcd_short(a, b));
        }
        (a, b) = (b, a % b);
    }
    a
}

fn gcd_short(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// `value` where it stays below [`LIMIT`].
pub(crate) fn fitting(value: i128) -> Option<i64> {
    i64::try_from(value).ok().filter(|value| -LIMIT < *value && *value < LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_the_lowest_and_the_sign_stands_above() {
        for (top, bottom, text) in [(6, 4, "3/2"), (6, -4, "-3/2"), (-6, -3, "2"), (0, -7, "0")] {
            assert_eq!(Ratio::new(top, bottom).map(|ratio| ratio.to_string()).as_deref(), Some(text));
        }
        assert_eq!((Ratio::new(1, 0), Ratio::new(0, 0)), (None, None));
    }

    #[test]
    fn what_does_not_fit_is_none() {
        let limit = i128::from(LIMIT);
        assert_eq!(Ratio::new(limit, 1), None);
        assert_eq!(Ratio::new(1, limit), None);
        assert_eq!((Ratio::new(i128::MIN, 3), Ratio::new(3, i128::MIN)), (None, None));
        assert_eq!(Ratio::new(limit - 1, 1).map(Ratio::top), Some(LIMIT - 1));
        assert_eq!(Ratio::new(2 * limit, 2 * limit), Ratio::new(1, 1));
    }

    #[test]
    fn long_and_short_terms_have_the_same_divisor() {
        let long = 1i128 << 100;
        assert_eq!((gcd(6 * long, 4 * long), gcd(3 * long, 9), gcd(0, -long)), (2 * long, 3, long));
        assert_eq!((gcd(-12, 18), gcd(7, 0), gcd(0, 0), gcd(i128::MIN, 2)), (6, 7, 0, 0));
    }

    #[test]
    fn places_are_those_a_decimal_needs() {
        for (top, bottom, places) in [(3, 1, Some(0)), (1, 8, Some(3)), (7, 20, Some(2)), (1, 3, None)] {
            assert_eq!(Ratio::new(top, bottom).and_then(Ratio::places), places, "{top}/{bottom}");
        }
    }

    #[test]
    fn order_is_that_of_the_values() {
        let ratio = |top, bottom| Ratio::new(top, bottom).unwrap();
        assert!(ratio(1, 3) < ratio(1, 2) && ratio(-1, 2) < ratio(-1, 3));
        assert_eq!(ratio(2, 4).cmp(&ratio(1, 2)), Ordering::Equal);
    }
}
