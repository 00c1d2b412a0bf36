//! Signs, the order of operations, and expressions with a letter.

use crate::answer::Answer;
use crate::stem::{Operation, Stem};

/// SIGNADD: -a + b is answered with a - b: the right size, the other sign.
pub(super) fn other_sign(stem: &Stem) -> Option<Answer> {
    match *stem {
        Stem::Signed { operation: Operation::Add, a, b } if a < 0 && b > 0 => {
            Answer::whole(-i128::from(a) - i128::from(b))
        }
        _ => None,
    }
}

/// SIGNDIV: opposite signs make a positive product or quotient.
pub(super) fn positive(stem: &Stem) -> Option<Answer> {
    let Stem::Signed { operation, a, b } = *stem else { return None };
    if a.signum() * b.signum() != -1 {
        return None;
    }
    let [a, b] = [a, b].map(|value| i128::from(value).abs());
    match operation {
        Operation::Multiply => Answer::whole(a * b),
        Operation::Divide => Answer::lowest(a, b),
        _ => None,
    }
}

/// LTR: strictly from left to right.
pub(super) fn left_to_right(stem: &Stem) -> Option<Answer> {
    match *stem {
        Stem::Order { a, b, c, d } => {
            let [a, b, c, d] = [a, b, c, d.unwrap_or(0)].map(i128::from);
            Answer::whole((a + b) * c - d)
        }
        _ => None,
    }
}

/// SUBFIRST: the subtraction before the multiplication.
pub(super) fn subtract_first(stem: &Stem) -> Option<Answer> {
    let [a, b, c, d] = four(stem)?;
    Answer::whole(a + b * (c - d))
}

/// BOTHFIRST: addition and subtraction before the multiplication.
pub(super) fn both_first(stem: &Stem) -> Option<Answer> {
    let [a, b, c, d] = four(stem)?;
    Answer::whole((a + b) * (c - d))
}

/// NOMID: the square of a difference without its middle term, and with the sign of the difference.
pub(super) fn no_middle(stem: &Stem) -> Option<Answer> {
    match *stem {
        Stem::SquareOfDifference { a } => Answer::polynomial(vec![-a * a, 0, 1]),
        _ => None,
    }
}

/// SWITCH: "a less than a number", written in the order of the words.
pub(super) fn switch(stem: &Stem) -> Option<Answer> {
    match *stem {
        Stem::LessThan { a } => Answer::polynomial(vec![a, -1]),
        _ => None,
    }
}

/// CONSTMUL: a constant difference is taken for a constant ratio.
pub(super) fn proportion(stem: &Stem) -> Option<Answer> {
    match *stem {
        Stem::ConstantDifference { p, q, m } => Answer::lowest(i128::from(m) * i128::from(p), i128::from(q)),
        _ => None,
    }
}

fn four(stem: &Stem) -> Option<[i128; 4]> {
    match *stem {
        Stem::Order { a, b, c, d: Some(d) } => Some([a, b, c, d].map(i128::from)),
        _ => None,
    }
}
