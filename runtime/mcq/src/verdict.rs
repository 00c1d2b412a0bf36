//! What the errors of a family make of a stem, and which of their answers may be shown.

use crate::answer::Answer;
use crate::code::Code;
use crate::domain::OutOfDomain;
use crate::errors::apply;
use crate::family::Family;
use crate::key::{agree, key};
use crate::stem::Stem;

/// No right or wrong answer of an item is as large.
pub const VALUE_LIMIT: i64 = 100_000;

/// No right or wrong answer of an item has a denominator as large.
pub const DENOMINATOR_LIMIT: i64 = 200;

/// What becomes of the answer that an error leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is the right one: the stem does not set the error off, and the error is not used with it.
    Right,
    /// Another error of the family leads to it too: it would not tell which was made.
    Shared,
    /// It can be shown as a distractor.
    Shown,
}

/// A stem judged with the errors of a family.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The right answer.
    pub key: Answer,
    /// What each error of the family leads to.
    pub wrong: Vec<(Code, Answer, Standing)>,
}

impl Verdict {
    /// Judges `stem` with the errors of `family`.
    pub fn of(family: Family, stem: &Stem) -> Result<Self, OutOfDomain> {
        let key = key(stem)?;
        let answers: Result<Vec<_>, _> =
            family.codes().iter().map(|code| Ok((*code, apply(*code, stem)?))).collect();
        let answers = answers?;
        let standing = |answer: &Answer| {
            let makers = answers.iter().filter(|(_, other)| agree(stem, answer, other)).count();
            match (agree(stem, answer, &key), makers) {
                (true, _) => Standing::Right,
                (false, 1) => Standing::Shown,
                _ => Standing::Shared,
            }
        };
        let judged: Vec<Standing> = answers.iter().map(|(_, answer)| standing(answer)).collect();
        let wrong = answers.into_iter().zip(judged).map(|((code, answer), s)| (code, answer, s)).collect();
        Ok(Self { key, wrong })
    }

    /// How many of the errors have that standing.
    pub fn count(&self, standing: Standing) -> usize {
        self.wrong.iter().filter(|(.., found)| *found == standing).count()
    }

    /// Whether every answer, the right one too, stays below the limits.
    pub fn is_small(&self) -> bool {
        let small = |answer: &Answer| {
            answer.number().is_none_or(|number| {
                let (top, bottom) = (number.value().top(), number.value().bottom());
                top.abs() / bottom < VALUE_LIMIT && bottom < DENOMINATOR_LIMIT
            })
        };
        small(&self.key) && self.wrong.iter().all(|(_, answer, _)| small(answer))
    }

    /// Whether an item can be made of it that shows `least` distractors or more.
    pub fn accepts(&self, least: usize) -> bool {
        self.is_small() && self.count(Standing::Shown) >= least
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_two_errors_is_not_shown() {
        let verdict = Verdict::of(Family::Sub0, &Stem::Columns { a: 600, b: 123 }).unwrap();
        let standings: Vec<Standing> = verdict.wrong.iter().map(|(.., standing)| *standing).collect();
        assert_eq!(standings, [Standing::Shared, Standing::Shown, Standing::Shared, Standing::Shown]);
        assert!(verdict.accepts(2) && !verdict.accepts(3));
    }

    #[test]
    fn an_error_that_leads_to_the_right_answer_is_not_used() {
        let verdict = Verdict::of(Family::Sub, &Stem::Columns { a: 987, b: 654 }).unwrap();
        assert_eq!(verdict.count(Standing::Right), 4);
        assert!(!verdict.accepts(1));
    }

    #[test]
    fn what_is_large_is_not_accepted() {
        let large = Verdict::of(Family::LinPlus, &Stem::TwoStep { a: 9, b: 1, c: 11_113 }).unwrap();
        assert!(large.count(Standing::Shown) >= 3 && !large.accepts(1));
        assert!(Verdict::of(Family::Order, &Stem::Times { a: 1, c: 1 }).is_err());
    }
}
