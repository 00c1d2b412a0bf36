//! The right answer of a stem.

use crate::answer::Answer;
use crate::domain::OutOfDomain;
use crate::ratio::{Ratio, gcd};
use crate::stem::{Decimal, Fraction, Operation, Stem};

/// What `stem` is rightly answered with.
pub fn key(stem: &Stem) -> Result<Answer, OutOfDomain> {
    stem.check()?;
    // Within the checked ranges every value fits; were it not so, the stem would be out of the domain.
    right(stem).ok_or_else(|| OutOfDomain {
        what: "the right answer",
        stem: stem.to_string(),
        needs: "smaller numbers: no answer has more than 18 digits",
    })
}

/// Whether `given` counts as `wanted`: by its value, and where a fraction is to be brought to lowest terms by how it is
/// written too.
pub fn agree(stem: &Stem, given: &Answer, wanted: &Answer) -> bool {
    match stem {
        Stem::Simplify { .. } => given == wanted,
        _ => given.same(wanted),
    }
}

fn right(stem: &Stem) -> Option<Answer> {
    match *stem {
        Stem::Columns { a, b } => Answer::whole(wide(a - b)),
        Stem::Fractions { operation, left, right } => fractions(operation, left, right),
        Stem::Scale { fraction, n } => Answer::lowest(wide(fraction.top) * wide(n), wide(fraction.bottom)),
        Stem::Simplify { lowest, .. } => Answer::lowest(wide(lowest.top), wide(lowest.bottom)),
        Stem::Compare { left, right } => Some(Answer::Sign(value(left)?.cmp(&value(right)?))),
        Stem::Decimals { operation, left, right } => decimals(operation, left, right),
        Stem::Signed { operation, a, b } => signed(operation, wide(a), wide(b)),
        Stem::Order { a, b, c, d } => Answer::whole(wide(a) + wide(b) * wide(c) - wide(d.unwrap_or(0))),
        Stem::Times { a, c } => Answer::lowest(wide(c), wide(a)),
        Stem::Over { a, c } => Answer::whole(wide(a) * wide(c)),
        Stem::TwoStep { a, b, c } => Answer::lowest(wide(c - b), wide(a)),
        Stem::PercentOfWhat { p, n } => Answer::lowest(100 * wide(n), wide(p)),
        Stem::PercentOf { p, n } => Answer::lowest(wide(p) * wide(n), 100),
        Stem::SquareOfDifference { a } => Answer::polynomial(vec![a * a, -2 * a, 1]),
        Stem::LessThan { a } => Answer::polynomial(vec![-a, 1]),
        Stem::ConstantDifference { p, q, m } => Answer::whole(wide(m + p - q)),
    }
}

fn fractions(operation: Operation, left: Fraction, right: Fraction) -> Option<Answer> {
    let [a, b, c, d] = [left.top, left.bottom, right.top, right.bottom].map(wide);
    match operation {
        Operation::Add => Answer::lowest(a * d + c * b, b * d),
        Operation::Subtract => Answer::lowest(a * d - c * b, b * d),
        Operation::Multiply => Answer::lowest(a * c, b * d),
        Operation::Divide => Answer::lowest(a * d, b * c),
    }
}

fn decimals(operation: Operation, left: Decimal, right: Decimal) -> Option<Answer> {
    let places = left.places.max(right.places);
    let aligned = |d: Decimal| wide(d.digits) * 10i128.pow(places - d.places);
    match operation {
        Operation::Add => Answer::decimal(aligned(left) + aligned(right), places),
        Operation::Subtract => Answer::decimal(aligned(left) - aligned(right), places),
        Operation::Multiply => {
            Answer::decimal(wide(left.digits) * wide(right.digits), left.places + right.places)
        }
        Operation::Divide => None,
    }
}

fn signed(operation: Operation, a: i128, b: i128) -> Option<Answer> {
    match operation {
        Operation::Add => Answer::whole(a + b),
        Operation::Multiply => Answer::whole(a * b),
        Operation::Divide => Answer::lowest(a, b),
        Operation::Subtract => None,
    }
}

fn value(decimal: Decimal) -> Option<Ratio> {
    Ratio::new(wide(decimal.digits), 10i128.pow(decimal.places))
}

fn wide(value: i64) -> i128 {
    i128::from(value)
}

/// The least common multiple of two denominators, both above 0.
pub(crate) fn lcm(a: i64, b: i64) -> i128 {
    wide(a) / gcd(wide(a), wide(b)) * wide(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_answered_rightly() {
        let fraction = |top, bottom| Fraction { top, bottom };
        let decimal = |digits, places| Decimal { digits, places };
        let (two_fifths, third) = (fraction(2, 5), fraction(1, 3));
        let of = |operation| Stem::Fractions { operation, left: two_fifths, right: third };
        let decimals = |operation| Stem::Decimals { operation, left: decimal(32, 1), right: decimal(4, 0) };
        let signed = |operation| Stem::Signed { operation, a: -8, b: 2 };
        for (stem, text) in [
            (Stem::Columns { a: 503, b: 247 }, "256"),
            (of(Operation::Add), "11/15"),
            (of(Operation::Subtract), "1/15"),
            (of(Operation::Multiply), "2/15"),
            (of(Operation::Divide), "6/5"),
            (Stem::Scale { fraction: two_fifths, n: 10 }, "4"),
            (Stem::Simplify { lowest: two_fifths, k: 3 }, "2/5"),
            (Stem::Compare { left: decimal(4, 2), right: decimal(5, 1) }, "<"),
            (Stem::Compare { left: decimal(50, 2), right: decimal(5, 1) }, "="),
            (decimals(Operation::Add), "7.2"),
            (decimals(Operation::Subtract), "-0.8"),
            (decimals(Operation::Multiply), "12.8"),
            (signed(Operation::Add), "-6"),
            (signed(Operation::Multiply), "-16"),
            (signed(Operation::Divide), "-4"),
            (Stem::Order { a: 5, b: 3, c: 4, d: None }, "17"),
            (Stem::Times { a: 4, c: -6 }, "-3/2"),
            (Stem::Over { a: 4, c: -6 }, "-24"),
            (Stem::TwoStep { a: 3, b: -6, c: 21 }, "9"),
            (Stem::PercentOf { p: 88, n: 50 }, "44"),
            (Stem::SquareOfDifference { a: 4 }, "x^2-8x+16"),
            (Stem::LessThan { a: 3 }, "x-3"),
            (Stem::ConstantDifference { p: 9, q: 3, m: 15 }, "21"),
        ] {
            assert_eq!(key(&stem).map(|answer| answer.render()).as_deref(), Ok(text), "{stem}");
        }
    }

    #[test]
    fn the_largest_parameters_have_a_right_answer() {
        let m = crate::stem::LARGEST;
        let fraction = |top| Fraction { top, bottom: m - 1 };
        let decimal = Decimal { digits: m - 1, places: 6 };
        for operation in [Operation::Add, Operation::Subtract, Operation::Multiply, Operation::Divide] {
            assert!(key(&Stem::Fractions { operation, left: fraction(m), right: fraction(-m) }).is_ok());
        }
        for operation in [Operation::Add, Operation::Subtract, Operation::Multiply] {
            assert!(key(&Stem::Decimals { operation, left: decimal, right: decimal }).is_ok());
        }
        assert!(key(&Stem::SquareOfDifference { a: m }).is_ok());
        assert!(key(&Stem::Order { a: m, b: m, c: m, d: Some(1) }).is_ok());
    }

    #[test]
    fn only_lowest_terms_answer_a_simplification() {
        let simplify = Stem::Simplify { lowest: Fraction { top: 3, bottom: 4 }, k: 2 };
        let (wanted, unreduced) = (key(&simplify).unwrap(), Answer::written(6, 8).unwrap());
        assert!(!agree(&simplify, &unreduced, &wanted));
        assert!(agree(&Stem::Times { a: 4, c: 3 }, &unreduced, &wanted));
    }
}
