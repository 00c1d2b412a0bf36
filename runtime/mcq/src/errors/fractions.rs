//! Sums, differences, products and quotients of fractions, and their simplification.

use crate::answer::Answer;
use crate::key::lcm;
use crate::stem::{Operation, Stem};

/// ADDBOTH: tops and bottoms are added.
pub(super) fn add_both(stem: &Stem) -> Option<Answer> {
    let [a, b, c, d] = parts(stem, Operation::Add)?;
    Answer::lowest(a + c, b + d)
}

/// LCDKEEP: over the common denominator the old numerators are kept.
pub(super) fn keep_numerators(stem: &Stem) -> Option<Answer> {
    match *stem {
        Stem::Fractions { operation: Operation::Add, left, right } => {
            Answer::lowest(i128::from(left.top) + i128::from(right.top), lcm(left.bottom, right.bottom))
        }
        _ => None,
    }
}

/// IGNDEN: only the tops are added.
pub(super) fn ignore_denominators(stem: &Stem) -> Option<Answer> {
    let [a, _, c, _] = parts(stem, Operation::Add)?;
    Answer::whole(a + c)
}

/// SUBBOTH: tops and bottoms are subtracted.
pub(super) fn subtract_both(stem: &Stem) -> Option<Answer> {
    let [a, b, c, d] = parts(stem, Operation::Subtract)?;
    Answer::lowest(a - c, b - d)
}

/// KEEPDEN: the denominator that both share is kept, as in a sum.
pub(super) fn keep_denominator(stem: &Stem) -> Option<Answer> {
    let [a, b, c, d] = parts(stem, Operation::Multiply)?;
    if b == d { Answer::lowest(a * c, b) } else { None }
}

/// NOINV: the fractions are multiplied as they stand.
pub(super) fn invert_neither(stem: &Stem) -> Option<Answer> {
    let [a, b, c, d] = parts(stem, Operation::Divide)?;
    Answer::lowest(a * c, b * d)
}

/// INVDIVIDEND: the first fraction is inverted, not the second.
pub(super) fn invert_dividend(stem: &Stem) -> Option<Answer> {
    let [a, b, c, d] = parts(stem, Operation::Divide)?;
    Answer::lowest(b * c, a * d)
}

/// INVBOTH: both are inverted.
pub(super) fn invert_both(stem: &Stem) -> Option<Answer> {
    let [a, b, c, d] = parts(stem, Operation::Divide)?;
    Answer::lowest(b * d, a * c)
}

/// SCALEBOTH: the whole number multiplies top and bottom; the fraction is left as that makes it.
pub(super) fn scale_both(stem: &Stem) -> Option<Answer> {
    match *stem {
        Stem::Scale { fraction, n } => {
            let [top, bottom] = [fraction.top, fraction.bottom].map(|term| i128::from(term) * i128::from(n));
            Answer::written(top, bottom)
        }
        _ => None,
    }
}

/// HALFSIMP: the numerator alone is divided by the shared factor; the fraction is left as that makes it.
pub(super) fn simplify_numerator(stem: &Stem) -> Option<Answer> {
    match *stem {
        Stem::Simplify { lowest, k } => {
            Answer::written(i128::from(lowest.top), i128::from(lowest.bottom) * i128::from(k))
        }
        _ => None,
    }
}

/// Tops and bottoms of a stem of that operation.
fn parts(stem: &Stem, wanted: Operation) -> Option<[i128; 4]> {
    match *stem {
        Stem::Fractions { operation, left, right } if operation == wanted => {
            Some([left.top, left.bottom, right.top, right.bottom].map(i128::from))
        }
        _ => None,
    }
}
