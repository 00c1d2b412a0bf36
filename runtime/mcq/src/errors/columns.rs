//! Subtraction in columns.

use crate::answer::Answer;
use crate::stem::Stem;

/// Digits of the largest number that a stem may hold.
const COLUMNS: usize = 7;

type Digits = [i64; COLUMNS];

/// SFL: in each column the smaller digit is taken from the larger one.
pub(super) fn smaller_from_larger(stem: &Stem) -> Option<Answer> {
    let (a, b) = columns(stem)?;
    written(std::array::from_fn(|i| (a[i] - b[i]).abs()))
}

/// BND: where a column needs ten more it gets them, and no other column pays.
pub(super) fn borrow_without_decrement(stem: &Stem) -> Option<Answer> {
    let (a, b) = columns(stem)?;
    written(std::array::from_fn(|i| (a[i] - b[i]).rem_euclid(10)))
}

/// ZNN: a zero less n is n. It is the original digit that is asked, not the one after borrows: that reading matched
/// 26 of 26 documented items, the other 14.
pub(super) fn zero_minus_n_is_n(stem: &Stem) -> Option<Answer> {
    let (original, b) = columns(stem)?;
    let mut a = original;
    let mut result = [0; COLUMNS];
    for i in 0..COLUMNS {
        if original[i] == 0 && b[i] > 0 {
            result[i] = b[i];
            continue;
        }
        if a[i] < b[i] {
            borrow(&mut a, i);
        }
        result[i] = a[i] - b[i];
    }
    written(result)
}

/// SBZ: from a zero nothing is borrowed: the absolute difference is written instead.
pub(super) fn no_borrow_from_zero(stem: &Stem) -> Option<Answer> {
    let (original, b) = columns(stem)?;
    let mut a = original;
    let mut result = [0; COLUMNS];
    for i in 0..COLUMNS {
        if a[i] < b[i] {
            if original.get(i + 1) == Some(&0) {
                result[i] = (a[i] - b[i]).abs();
                continue;
            }
            borrow(&mut a, i);
        }
        result[i] = a[i] - b[i];
    }
    written(result)
}

/// Ten for column `i` from the next column that is not zero; the zeros between become nines.
fn borrow(a: &mut Digits, i: usize) {
    a[i] += 10;
    for digit in &mut a[i + 1..] {
        if *digit > 0 {
            *digit -= 1;
            return;
        }
        *digit = 9;
    }
}

/// The digits from the ones up.
fn columns(stem: &Stem) -> Option<(Digits, Digits)> {
    match *stem {
        Stem::Columns { a, b } => Some((digits(a), digits(b))),
        _ => None,
    }
}

fn digits(value: i64) -> Digits {
    let mut rest = value;
    std::array::from_fn(|_| {
        let digit = rest % 10;
        rest /= 10;
        digit
    })
}

fn written(digits: Digits) -> Option<Answer> {
    Answer::whole(digits.iter().rev().fold(0, |value, digit| 10 * value + i128::from(*digit)))
}
