//! Decimals: compared, and the point in sums, differences and products.

use crate::answer::Answer;
use crate::stem::{Decimal, Operation, Stem};

/// LONGER: the numeral with more digits is taken for the larger number.
pub(super) fn longer_is_larger(stem: &Stem) -> Option<Answer> {
    match *stem {
        Stem::Compare { left, right } => {
            let order = length(left).cmp(&length(right));
            order.is_ne().then_some(Answer::Sign(order))
        }
        _ => None,
    }
}

/// DECJOIN: the sum of the tenths is written after the point, both its digits.
pub(super) fn join(stem: &Stem) -> Option<Answer> {
    let (left, right) = operands(stem, Operation::Add)?;
    let tenths = |decimal: Decimal| decimal.places == 1 && decimal.digits < 10;
    let sum = left.digits + right.digits;
    if tenths(left) && tenths(right) && sum >= 10 { Answer::decimal(i128::from(sum), 2) } else { None }
}

/// DECBRING: the whole numbers are subtracted, and the places that stand under nothing are brought down.
pub(super) fn bring_down(stem: &Stem) -> Option<Answer> {
    let (left, right) = operands(stem, Operation::Subtract)?;
    let (units, places) = (right.digits / 100, right.digits % 100);
    if left.places != 0 || right.places != 2 || places == 0 || left.digits <= units {
        return None;
    }
    Answer::decimal(i128::from(left.digits - units) * 100 + i128::from(places), 2)
}

/// DECLEFT: the point is set as many digits from the left as it stands in the factor.
pub(super) fn point_from_left(stem: &Stem) -> Option<Answer> {
    let (left, right) = operands(stem, Operation::Multiply)?;
    if left.places != 1 || right.places != 0 || left.digits == 0 || right.digits == 0 {
        return None;
    }
    let product = i128::from(left.digits) * i128::from(right.digits);
    let before = length(left) - 1;
    // The product is no shorter than its first factor, which has one digit more than `before`, or is below 1: 0.4 * 2
    // has one digit, and all of them are before the point.
    Answer::decimal(product, count(product).saturating_sub(before))
}

fn operands(stem: &Stem, wanted: Operation) -> Option<(Decimal, Decimal)> {
    match *stem {
        Stem::Decimals { operation, left, right } if operation == wanted => Some((left, right)),
        _ => None,
    }
}

/// How many digits a numeral is written with; 0.5 has two.
fn length(decimal: Decimal) -> u32 {
    count(i128::from(decimal.digits)).max(decimal.places + 1)
}

fn count(value: i128) -> u32 {
    value.checked_ilog10().map_or(1, |log| log + 1)
}
