//! Percentages: the whole from the part, and the part from the whole.

use crate::answer::Answer;
use crate::stem::Stem;

/// PTIMESN: the percentage of the given part, as if it were the whole.
pub(super) fn percent_of_part(stem: &Stem) -> Option<Answer> {
    let [p, n] = of_what(stem)?;
    Answer::lowest(p * n, 100)
}

/// DIVNOPCT: divided by the number before the percent sign.
pub(super) fn divide_without_percent(stem: &Stem) -> Option<Answer> {
    let [p, n] = of_what(stem)?;
    Answer::lowest(n, p)
}

/// ADDPCT: the percentage of the part added to it.
pub(super) fn add_percent(stem: &Stem) -> Option<Answer> {
    let [p, n] = of_what(stem)?;
    Answer::lowest(n * (100 + p), 100)
}

/// PARTWHOLE: the whole taken for the part.
pub(super) fn part_for_whole(stem: &Stem) -> Option<Answer> {
    match *stem {
        Stem::PercentOf { p, n } => Answer::lowest(100 * i128::from(n), i128::from(p)),
        _ => None,
    }
}

fn of_what(stem: &Stem) -> Option<[i128; 2]> {
    match *stem {
        Stem::PercentOfWhat { p, n } => Some([p, n].map(i128::from)),
        _ => None,
    }
}
