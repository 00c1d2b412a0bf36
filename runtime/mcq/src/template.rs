//! The words around a stem: four tellings a family (specification 6.7).

use crate::family::Family;
use crate::stem::{Fraction, Stem};
use sprig_ground::names;

/// A way to tell a stem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Template {
    /// The formula and a question mark.
    Bare,
    /// A small story.
    Words,
    /// A story of money.
    Money,
    /// The formula with a gap.
    Blank,
}

names!(Template, "template", [Bare = "bare", Words = "words", Money = "money", Blank = "blank"]);

impl Template {
    /// The text of `stem`, an item of `family`. A stem that is of another family is told bare.
    pub fn tell(self, family: Family, stem: &Stem) -> String {
        let story = match (self, family, *stem) {
            (Self::Words, Family::Sub | Family::Sub0, Stem::Columns { a, b }) => {
                Some(format!("A library has {a} books. {b} of them are lent out. How many books are left?"))
            }
            (Self::Money, Family::Sub | Family::Sub0, Stem::Columns { a, b }) => {
                Some(format!("A class has {a} dollars and spends {b} dollars. How many dollars are left?"))
            }
            (Self::Words | Self::Money, Family::Fadd | Family::Fdiv, Stem::Fractions { left, right, .. }) => {
                Some(self.fractions(family, left, right))
            }
            (Self::Words | Self::Money, Family::LinPlus | Family::LinMinus, Stem::TwoStep { a, b, c }) => {
                Some(self.equation(a, b, c))
            }
            (Self::Words, Family::Order, Stem::Order { a, b, c, d: Some(d) }) => Some(format!(
                "A hall has {a} chairs. {b} rows of {c} chairs each are put in, then chairs are taken away: {d} \
                 in all. How many chairs are there now?"
            )),
            (Self::Money, Family::Order, Stem::Order { a, b, c, d: Some(d) }) => Some(format!(
                "A cash box holds {a} dollars. {b} people pay {c} dollars each, then {d} dollars are taken out. \
                 How many dollars are in the box?"
            )),
            (Self::Words, Family::PctOf, Stem::PercentOfWhat { p, n }) => Some(format!(
                "{n} pupils of a school come by bus. That is {p} % of all its pupils. How many pupils are there?"
            )),
            (Self::Money, Family::PctOf, Stem::PercentOfWhat { p, n }) => {
                Some(format!("A deposit of {n} dollars is {p} % of the price. What is the price in dollars?"))
            }
            _ => None,
        };
        story.unwrap_or_else(|| self.formula(stem))
    }

    fn formula(self, stem: &Stem) -> String {
        match (self == Self::Blank, stem) {
            (false, Stem::TwoStep { .. }) => format!("Solve {stem}. x = ?"),
            (true, Stem::TwoStep { .. }) => format!("If {stem}, then x = ___"),
            (false, Stem::PercentOfWhat { .. }) => format!("{stem}?"),
            (true, Stem::PercentOfWhat { p, n }) => format!("{p} % of ___ is {n}"),
            (false, _) => format!("{stem} = ?"),
            (true, _) => format!("{stem} = ___"),
        }
    }

    fn fractions(self, family: Family, left: Fraction, right: Fraction) -> String {
        match (family, self == Self::Money) {
            (Family::Fdiv, true) => format!(
                "A pen costs {right} of a dollar. How many pens, as a fraction, does {left} of a dollar pay for?"
            ),
            (Family::Fdiv, false) => {
                format!(
                    "A rope is {left} of a metre long. How many times does {right} of a metre go into it?"
                )
            }
            (_, true) => format!(
                "A roll costs {left} of a dollar and an apple {right} of a dollar. How many dollars do they cost \
                 together?"
            ),
            (_, false) => format!(
                "One jug holds {left} of a litre, another {right} of a litre. How many litres do they hold \
                 together?"
            ),
        }
    }

    fn equation(self, a: i64, b: i64, c: i64) -> String {
        if self == Self::Money {
            format!(
                "An account is multiplied by {a}, then {b} dollars are paid in. It now stands at {c} dollars. At \
                 how many dollars did it stand before?"
            )
        } else {
            format!(
                "A number is multiplied by {a}, then {b} is added. The result is {c}. What is the number?"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_family_has_four_tellings_that_hold_its_numbers() {
        for family in Family::ALL {
            for stem in family.stems().step_by(397) {
                let texts: Vec<String> =
                    Template::ALL.iter().map(|template| template.tell(family, &stem)).collect();
                assert_eq!(texts.iter().collect::<HashSet<_>>().len(), 4, "{texts:?}");
                for text in &texts {
                    for number in numbers(&stem.to_string()) {
                        assert!(numbers(text).contains(&number), "{text}: {number}");
                    }
                }
            }
        }
    }

    /// The numbers of a text that are its stem's: what is written after a letter or stands alone.
    fn numbers(text: &str) -> Vec<String> {
        let parts = text.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty());
        parts.map(str::to_owned).collect()
    }

    #[test]
    fn formulas_read_like_a_book() {
        let equation = Stem::TwoStep { a: 3, b: 6, c: 21 };
        assert_eq!(Template::Bare.tell(Family::LinPlus, &equation), "Solve 3x + 6 = 21. x = ?");
        assert_eq!(Template::Blank.tell(Family::LinPlus, &equation), "If 3x + 6 = 21, then x = ___");
        let percent = Stem::PercentOfWhat { p: 25, n: 30 };
        assert_eq!(Template::Bare.tell(Family::PctOf, &percent), "25 % of what is 30?");
        assert_eq!(Template::Blank.tell(Family::PctOf, &percent), "25 % of ___ is 30");
        assert_eq!(Template::Words.tell(Family::PctOf, &equation), "Solve 3x + 6 = 21. x = ?");
    }
}
