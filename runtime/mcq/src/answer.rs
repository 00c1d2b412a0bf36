//! An answer: a number and how it was written, a polynomial, or a comparison sign.

use crate::ratio::{Ratio, fitting, gcd};
use std::cmp::Ordering;
use std::fmt;

/// Most coefficients of a polynomial: degree 8, four times what any stem asks for.
pub const COEFFICIENTS: usize = 9;

/// What a question is answered with. Equal are two that are written alike; [`Answer::same`] asks for the value alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// A rational number.
    Number(Number),
    /// A polynomial in one variable, whose letter does not count.
    Polynomial(Polynomial),
    /// `<`, `=` or `>`.
    Sign(Ordering),
}

/// A rational number and how it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Number {
    value: Ratio,
    form: Form,
}

/// How a number is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// A whole number, or a fraction in lowest terms.
    Lowest,
    /// A fraction whose terms share this factor, which is above 1.
    Unreduced(i64),
    /// Digits after a point.
    Decimal,
}

/// The coefficients of a polynomial from the constant up: two or more, the last not 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Polynomial(Vec<i64>);

impl Answer {
    /// A whole number; `None` where it has more than 18 digits.
    pub fn whole(value: i128) -> Option<Self> {
        Self::lowest(value, 1)
    }

    /// `top / bottom`, written in lowest terms; `None` for a zero denominator or more than 18 digits.
    pub fn lowest(top: i128, bottom: i128) -> Option<Self> {
        Ratio::new(top, bottom).map(|value| Self::Number(Number { value, form: Form::Lowest }))
    }

    /// `top / bottom`, written with these terms; a denominator of 1 makes a whole number.
    pub fn written(top: i128, bottom: i128) -> Option<Self> {
        let (value, shared) = (Ratio::new(top, bottom)?, fitting(gcd(top, bottom))?);
        fitting(top).and(fitting(bottom))?;
        let form = if shared == 1 { Form::Lowest } else { Form::Unreduced(shared) };
        Some(Self::Number(Number { value, form }))
    }

    /// `digits` with the point `places` from their right; without places that are needed it is a whole number.
    pub fn decimal(digits: i128, places: u32) -> Option<Self> {
        fitting(digits)?;
        let value = Ratio::new(digits, 10i128.checked_pow(places).filter(|_| places <= 18)?)?;
        let form = if value.bottom() == 1 { Form::Lowest } else { Form::Decimal };
        Some(Self::Number(Number { value, form }))
    }

    /// A polynomial by its coefficients from the constant up; one that is constant is a number. `None` where there are
    /// more than [`COEFFICIENTS`] or one has more than 18 digits.
    pub fn polynomial(mut coefficients: Vec<i64>) -> Option<Self> {
        while coefficients.len() > 1 && coefficients.last() == Some(&0) {
            coefficients.pop();
        }
        let small = coefficients.iter().all(|c| fitting(i128::from(*c)).is_some());
        match coefficients[..] {
            [] => None,
            [constant] => Self::whole(i128::from(constant)),
            _ if coefficients.len() <= COEFFICIENTS && small => {
                Some(Self::Polynomial(Polynomial(coefficients)))
            }
            _ => None,
        }
    }

    /// The number, where it is one.
    pub fn number(&self) -> Option<Number> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// Whether both mean the same, however they are written.
    pub fn same(&self, other: &Self) -> bool {
        match (self.number(), other.number()) {
            (Some(one), Some(two)) => one.value == two.value,
            _ => self == other,
        }
    }

    /// The one text for it, which [`canon`](crate::canon()) reads back.
    pub fn render(&self) -> String {
        self.to_string()
    }
}

impl Number {
    /// The value.
    pub const fn value(self) -> Ratio {
        self.value
    }

    /// How it is written.
    pub const fn form(self) -> Form {
        self.form
    }
}

impl Polynomial {
    /// The coefficients from the constant up.
    pub fn coefficients(&self) -> &[i64] {
        &self.0
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Polynomial(polynomial) => polynomial.fmt(f),
            Self::Sign(Ordering::Less) => f.write_str("<"),
            Self::Sign(Ordering::Equal) => f.write_str("="),
            Self::Sign(Ordering::Greater) => f.write_str(">"),
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (top, bottom) = (i128::from(self.value.top()), i128::from(self.value.bottom()));
        match (self.form, self.value.places()) {
            (Form::Unreduced(factor), _) => {
                write!(f, "{}/{}", top * i128::from(factor), bottom * i128::from(factor))
            }
            (Form::Decimal, Some(places)) => {
                let digits = top * (10i128.pow(places) / bottom);
                let sign = if digits < 0 { "-" } else { "" };
                let width = places as usize + 1;
                let digits = format!("{:0width$}", digits.unsigned_abs());
                let (whole, rest) = digits.split_at(digits.len() - places as usize);
                write!(f, "{sign}{whole}.{rest}")
            }
            _ => self.value.fmt(f),
        }
    }
}

impl fmt::Display for Polynomial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for (power, &coefficient) in self.0.iter().enumerate().rev().filter(|(_, c)| **c != 0) {
            let sign = match (coefficient < 0, first) {
                (true, _) => "-",
                (false, true) => "",
                (false, false) => "+",
            };
            f.write_str(sign)?;
            first = false;
            match (coefficient.unsigned_abs(), power) {
                (size, 0) => write!(f, "{size}")?,
                (1, _) => f.write_str("x")?,
                (size, _) => write!(f, "{size}x")?,
            }
            if power > 1 {
                write!(f, "^{power}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ratio::LIMIT;

    #[test]
    fn each_form_has_its_text() {
        for (answer, text) in [
            (Answer::whole(-12), "-12"),
            (Answer::lowest(6, 4), "3/2"),
            (Answer::written(-6, 4), "-6/4"),
            (Answer::written(6, 3), "6/3"),
            (Answer::decimal(128, 2), "1.28"),
            (Answer::decimal(-5, 3), "-0.005"),
            (Answer::decimal(120, 1), "12"),
            (Answer::polynomial(vec![16, -8, 1]), "x^2-8x+16"),
            (Answer::polynomial(vec![3, -1]), "-x+3"),
            (Answer::polynomial(vec![4, 0, 0]), "4"),
            (Some(Answer::Sign(Ordering::Less)), "<"),
        ] {
            assert_eq!(answer.map(|answer| answer.render()).as_deref(), Some(text));
        }
    }

    #[test]
    fn the_value_counts_apart_from_the_writing() {
        let (half, two_quarters) = (Answer::lowest(1, 2).unwrap(), Answer::written(2, 4).unwrap());
        assert!(half.same(&two_quarters) && half.same(&Answer::decimal(5, 1).unwrap()));
        assert_ne!(half, two_quarters);
        assert!(!half.same(&Answer::whole(1).unwrap()) && !half.same(&Answer::Sign(Ordering::Equal)));
    }

    #[test]
    fn what_has_no_text_is_none() {
        assert_eq!((Answer::lowest(1, 0), Answer::written(0, 0)), (None, None));
        assert_eq!((Answer::decimal(1, 19), Answer::decimal(i128::from(LIMIT), 3)), (None, None));
        assert_eq!((Answer::polynomial(vec![]), Answer::polynomial(vec![1; 10])), (None, None));
        assert_eq!(Answer::polynomial(vec![1, LIMIT]), None);
    }
}
