//! Linear equations of one and two steps. In ax + b = c the constant carries its sign: ax - 6 = c has b = -6.

use crate::answer::Answer;
use crate::stem::Stem;

/// ADDSAME: a constant that is added is added once more.
pub(super) fn add_same(stem: &Stem) -> Option<Answer> {
    let [a, b, c] = two_step(stem)?;
    if b > 0 { Answer::lowest(c + b, a) } else { None }
}

/// SUBNEG: a constant that is taken away is taken away once more.
pub(super) fn subtract_negative(stem: &Stem) -> Option<Answer> {
    let [a, b, c] = two_step(stem)?;
    if b < 0 { Answer::lowest(c + b, a) } else { None }
}

/// DROPNEG: the minus of the coefficient is lost when dividing.
pub(super) fn drop_negative(stem: &Stem) -> Option<Answer> {
    let [a, b, c] = two_step(stem)?;
    if a < 0 { Answer::lowest(c - b, -a) } else { None }
}

/// REVSUB: the constant's side is subtracted the wrong way round.
pub(super) fn reverse_subtraction(stem: &Stem) -> Option<Answer> {
    let [a, b, c] = two_step(stem)?;
    Answer::lowest(b - c, a)
}

/// MULDIV: multiplied by the coefficient, not divided.
pub(super) fn multiply(stem: &Stem) -> Option<Answer> {
    match *stem {
        Stem::Times { a, c } => Answer::whole(i128::from(a) * i128::from(c)),
        _ => None,
    }
}

/// MULDIV2: the same in the second of two steps.
pub(super) fn multiply_second(stem: &Stem) -> Option<Answer> {
    let [a, b, c] = two_step(stem)?;
    Answer::whole((c - b) * a)
}

/// DIVMUL: divided by the divisor, not multiplied.
pub(super) fn divide(stem: &Stem) -> Option<Answer> {
    match *stem {
        Stem::Over { a, c } => Answer::lowest(i128::from(c), i128::from(a)),
        _ => None,
    }
}

/// SUBCOEF: the coefficient is subtracted.
pub(super) fn subtract_coefficient(stem: &Stem) -> Option<Answer> {
    match *stem {
        Stem::Times { a, c } => Answer::whole(i128::from(c) - i128::from(a)),
        _ => None,
    }
}

/// SUBCOEF2: the same in the second of two steps.
pub(super) fn subtract_coefficient_second(stem: &Stem) -> Option<Answer> {
    let [a, b, c] = two_step(stem)?;
    Answer::whole(c - b - a)
}

fn two_step(stem: &Stem) -> Option<[i128; 3]> {
    match *stem {
        Stem::TwoStep { a, b, c } => Some([a, b, c].map(i128::from)),
        _ => None,
    }
}
