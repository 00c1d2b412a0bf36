//! What is asked, without its words: the kinds of stem that the error library covers (specification 6.5).

use crate::domain::OutOfDomain;
use sha2::{Digest, Sha256};
use std::fmt;

/// No parameter of a stem is larger in size: with it no right or wrong answer needs more than 18 digits.
pub const LARGEST: i64 = 1_000_000;

/// A fraction as it stands in a stem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fraction {
    /// Above the bar.
    pub top: i64,
    /// Below the bar: above 0.
    pub bottom: i64,
}

/// A decimal as it stands in a stem: 0.50 is not 0.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Decimal {
    /// Its digits, not below 0.
    pub digits: i64,
    /// How many of them stand after the point: 6 at most.
    pub places: u32,
}

/// One of the four operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Addition.
    Add,
    /// Subtraction.
    Subtract,
    /// Multiplication.
    Multiply,
    /// Division.
    Divide,
}

/// A question without its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the fields are the letters of each variant's formula")]
pub enum Stem {
    /// a - b in columns, a > b >= 0.
    Columns { a: i64, b: i64 },
    /// Two fractions.
    Fractions { operation: Operation, left: Fraction, right: Fraction },
    /// A fraction times the whole number n > 0.
    Scale { fraction: Fraction, n: i64 },
    /// Bring ka/kb to lowest terms; a/b is in them, k > 1.
    Simplify { lowest: Fraction, k: i64 },
    /// Which of two decimals is larger.
    Compare { left: Decimal, right: Decimal },
    /// Two decimals, added, subtracted or multiplied.
    Decimals { operation: Operation, left: Decimal, right: Decimal },
    /// Two whole numbers with signs, added, multiplied or divided.
    Signed { operation: Operation, a: i64, b: i64 },
    /// a + b*c - d, or a + b*c, of numbers above 0.
    Order { a: i64, b: i64, c: i64, d: Option<i64> },
    /// ax = c, a not 0.
    Times { a: i64, c: i64 },
    /// x/a = c, a not 0.
    Over { a: i64, c: i64 },
    /// ax + b = c, neither a nor b 0; below 0, b is taken away.
    TwoStep { a: i64, b: i64, c: i64 },
    /// p % of what is n, both above 0.
    PercentOfWhat { p: i64, n: i64 },
    /// p % of n, both above 0.
    PercentOf { p: i64, n: i64 },
    /// (x - a)^2, a above 0.
    SquareOfDifference { a: i64 },
    /// "a less than a number", a above 0.
    LessThan { a: i64 },
    /// Two go equally fast, one is at p when the other is at q: where is the one when the other is at m? All above 0.
    ConstantDifference { p: i64, q: i64, m: i64 },
}

impl Stem {
    /// Whether it is one of those that its kind is declared for.
    pub fn check(&self) -> Result<(), OutOfDomain> {
        let (fits, needs) = self.range();
        if fits {
            return Ok(());
        }
        Err(OutOfDomain { what: "the right answer", stem: self.to_string(), needs })
    }

    /// A fingerprint of the stem, by which splits are made. Addends in either order share it: they are one question.
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut stem = *self;
        if let Self::Fractions { operation: Operation::Add, left, right } = &mut stem
            && left > right
        {
            std::mem::swap(left, right);
        }
        Sha256::digest(stem.to_string()).into()
    }

    /// Whether the parameters are in the range of their kind, and what that is.
    fn range(&self) -> (bool, &'static str) {
        let small = |values: &[i64]| values.iter().all(|value| (-LARGEST..=LARGEST).contains(value));
        let counts = |values: &[i64]| values.iter().all(|value| (1..=LARGEST).contains(value));
        let fraction = |f: Fraction| small(&[f.top]) && counts(&[f.bottom]);
        let decimal = |d: Decimal| (0..=LARGEST).contains(&d.digits) && d.places <= 6;
        match *self {
            Self::Columns { a, b } => (counts(&[a]) && 0 <= b && b < a, "a - b with 0 <= b < a <= 1000000"),
            Self::Fractions { operation, left, right } => {
                let divides = operation != Operation::Divide || right.top != 0;
                (
                    fraction(left) && fraction(right) && divides,
                    "fractions with denominators from 1 to 1000000, none divided by 0",
                )
            }
            Self::Scale { fraction: f, n } => {
                (fraction(f) && counts(&[n]), "a fraction and a whole number from 1 to 1000000")
            }
            Self::Simplify { lowest, k } => {
                let reduced = crate::ratio::gcd(lowest.top.into(), lowest.bottom.into()) == 1;
                let fits = counts(&[lowest.top, lowest.bottom]) && (2..=LARGEST).contains(&k) && reduced;
                (fits, "a fraction above 0 in lowest terms and a factor from 2 to 1000000")
            }
            Self::Compare { left, right } => {
                (decimal(left) && decimal(right), "decimals of 6 places and 1000000 in digits at most")
            }
            Self::Decimals { operation, left, right } => (
                decimal(left) && decimal(right) && operation != Operation::Divide,
                "decimals of 6 places and 1000000 in digits at most, added, subtracted or multiplied",
            ),
            Self::Signed { operation, a, b } => {
                let fits = small(&[a, b]) && operation != Operation::Subtract;
                let divides = operation != Operation::Divide || b != 0;
                (fits && divides, "numbers of size 1000000 at most, added, multiplied or divided, not by 0")
            }
            Self::Order { a, b, c, d } => {
                (counts(&[a, b, c, d.unwrap_or(1)]), "whole numbers from 1 to 1000000")
            }
            Self::Times { a, c } | Self::Over { a, c } => {
                (small(&[a, c]) && a != 0, "numbers of size 1000000 at most and a coefficient that is not 0")
            }
            Self::TwoStep { a, b, c } => (
                small(&[a, b, c]) && a != 0 && b != 0,
                "numbers of size 1000000 at most, a coefficient and a constant that are not 0",
            ),
            Self::PercentOfWhat { p, n } | Self::PercentOf { p, n } => {
                (counts(&[p, n]), "whole numbers from 1 to 1000000")
            }
            Self::SquareOfDifference { a } | Self::LessThan { a } => {
                (counts(&[a]), "a whole number from 1 to 1000000")
            }
            Self::ConstantDifference { p, q, m } => (counts(&[p, q, m]), "whole numbers from 1 to 1000000"),
        }
    }
}

impl fmt::Display for Stem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Columns { a, b } => write!(f, "{a} - {b}"),
            Self::Fractions { operation, left, right } => write!(f, "{left} {operation} {right}"),
            Self::Scale { fraction, n } => write!(f, "{fraction} \u{d7} {n}"),
            Self::Simplify { lowest, k } => {
                let [top, bottom] = [lowest.top, lowest.bottom].map(|term| i128::from(term) * i128::from(k));
                write!(f, "{top}/{bottom} in lowest terms")
            }
            Self::Compare { left, right } => write!(f, "{left} or {right}"),
            Self::Decimals { operation, left, right } => write!(f, "{left} {operation} {right}"),
            Self::Signed { operation, a, b } if b < 0 => write!(f, "{a} {operation} ({b})"),
            Self::Signed { operation, a, b } => write!(f, "{a} {operation} {b}"),
            Self::Order { a, b, c, d: None } => write!(f, "{a} + {b} \u{d7} {c}"),
            Self::Order { a, b, c, d: Some(d) } => write!(f, "{a} + {b} \u{d7} {c} - {d}"),
            Self::Times { a, c } => write!(f, "{a}x = {c}"),
            Self::Over { a, c } => write!(f, "x/{a} = {c}"),
            Self::TwoStep { a, b, c } if b < 0 => write!(f, "{a}x - {} = {c}", b.unsigned_abs()),
            Self::TwoStep { a, b, c } => write!(f, "{a}x + {b} = {c}"),
            Self::PercentOfWhat { p, n } => write!(f, "{p} % of what is {n}"),
            Self::PercentOf { p, n } => write!(f, "{p} % of {n}"),
            Self::SquareOfDifference { a } => write!(f, "(x - {a})^2"),
            Self::LessThan { a } => write!(f, "{a} less than a number"),
            Self::ConstantDifference { p, q, m } => {
                write!(f, "at {p} when the other is at {q}, equally fast; the other is at {m}")
            }
        }
    }
}

impl fmt::Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.top, self.bottom)
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A stem of any content is shown in a refusal: no width beyond reason.
        let places = self.places.min(18) as usize;
        let digits = format!("{:0width$}", self.digits.unsigned_abs(), width = places + 1);
        let (whole, rest) = digits.split_at(digits.len() - places);
        let sign = if self.digits < 0 { "-" } else { "" };
        let point = if places > 0 { "." } else { "" };
        write!(f, "{sign}{whole}{point}{rest}")
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "\u{d7}",
            Self::Divide => "\u{f7}",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: Fraction = Fraction { top: 1, bottom: 2 };

    #[test]
    fn mirrored_sums_share_a_fingerprint_and_quotients_do_not() {
        let third = Fraction { top: 1, bottom: 3 };
        let pair = |operation| {
            [(HALF, third), (third, HALF)]
                .map(|(left, right)| Stem::Fractions { operation, left, right }.fingerprint())
        };
        let ([sum, mirrored], [quotient, inverse]) = (pair(Operation::Add), pair(Operation::Divide));
        assert_eq!(sum, mirrored);
        assert!(quotient != inverse && quotient != sum);
    }

    #[test]
    fn texts_are_those_of_a_book() {
        for (stem, text) in [
            (Stem::TwoStep { a: -4, b: 6, c: 26 }, "-4x + 6 = 26"),
            (Stem::TwoStep { a: 3, b: -6, c: 21 }, "3x - 6 = 21"),
            (Stem::Signed { operation: Operation::Divide, a: 8, b: -2 }, "8 \u{f7} (-2)"),
            (Stem::Simplify { lowest: HALF, k: 3 }, "3/6 in lowest terms"),
            (
                Stem::Compare {
                    left: Decimal { digits: 4, places: 2 },
                    right: Decimal { digits: 50, places: 2 },
                },
                "0.04 or 0.50",
            ),
        ] {
            assert_eq!((stem.to_string().as_str(), stem.check()), (text, Ok(())));
        }
    }

    #[test]
    fn a_stem_beyond_its_range_is_refused_with_the_range() {
        let zero = Fraction { top: 0, bottom: 2 };
        for stem in [
            Stem::Columns { a: 5, b: 5 },
            Stem::Fractions { operation: Operation::Divide, left: HALF, right: zero },
            Stem::Simplify { lowest: Fraction { top: 2, bottom: 4 }, k: 2 },
            Stem::Compare {
                left: Decimal { digits: 1, places: u32::MAX },
                right: Decimal { digits: 1, places: 0 },
            },
            Stem::Times { a: i64::MIN, c: 1 },
            Stem::TwoStep { a: 1, b: i64::MIN, c: 1 },
            Stem::Simplify { lowest: Fraction { top: i64::MIN, bottom: i64::MIN }, k: i64::MIN },
        ] {
            let refusal = stem.check().unwrap_err().to_string();
            assert!(refusal.contains("1000000"), "{refusal}");
        }
    }
}
