//! The families of items: ranges of parameters and the errors that are asked about (specification 6.6).

use crate::code::Code;
use crate::draw::between;
use crate::ratio::gcd;
use crate::stem::{Fraction, Operation, Stem};
use sprig_ground::names;
use std::ops::RangeInclusive;

/// A family of items.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// Any subtraction of up to three digits: one in twenty sets off enough errors, so it is here to be counted, not
    /// used.
    Sub,
    /// Subtraction from a number with a zero in the middle that must be borrowed across.
    Sub0,
    /// A sum of two fractions.
    Fadd,
    /// A division of two fractions.
    Fdiv,
    /// ax + b = c with a above 0.
    LinPlus,
    /// ax + b = c with a below 0.
    LinMinus,
    /// a + b * c - d.
    Order,
    /// p % of what is n.
    PctOf,
}

names!(
    Family,
    "family",
    [
        Sub = "SUB",
        Sub0 = "SUB0",
        Fadd = "FADD",
        Fdiv = "FDIV",
        LinPlus = "LIN+",
        LinMinus = "LIN-",
        Order = "ORDER",
        PctOf = "PCTOF",
    ]
);

/// Denominators of FADD and FDIV.
const DENOMINATORS: RangeInclusive<i64> = 2..=15;

/// Solutions of LIN+ and LIN-, of either sign; 0 is none.
const SOLUTIONS: i64 = 12;

/// Constants of LIN+ and LIN-.
const CONSTANTS: RangeInclusive<i64> = 1..=20;

/// Percentages of PCTOF. 10 % is left out: there the percentage of the part is the part without the hundred.
const PERCENTAGES: [i64; 24] =
    [5, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70, 75, 80, 85, 90, 95, 2, 4, 8, 12, 16, 24];

/// Wholes of PCTOF are multiples of 20: this many.
const WHOLES: i64 = 200;

impl Family {
    /// Its number among the coordinates of a draw, so it never changes.
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// The errors asked about.
    pub const fn codes(self) -> &'static [Code] {
        use Code::{
            AddBoth, AddPct, AddSame, Bnd, BothFirst, DivNoPct, DropNeg, IgnDen, InvBoth, InvDividend,
            LcdKeep, Ltr, MulDiv2, NoInv, PTimesN, RevSub, Sbz, Sfl, SubCoef2, SubFirst, Znn,
        };
        match self {
            Self::Sub | Self::Sub0 => &[Sfl, Bnd, Znn, Sbz],
            Self::Fadd => &[AddBoth, LcdKeep, IgnDen],
            Self::Fdiv => &[NoInv, InvDividend, InvBoth],
            Self::LinPlus => &[AddSame, RevSub, MulDiv2, SubCoef2],
            // REVSUB makes of every such stem what DROPNEG makes of it.
            Self::LinMinus => &[AddSame, DropNeg, MulDiv2, SubCoef2],
            Self::Order => &[Ltr, SubFirst, BothFirst],
            Self::PctOf => &[PTimesN, DivNoPct, AddPct],
        }
    }

    /// The stem that four random words make; `None` where they fall outside the family.
    pub(crate) fn draw(self, words: [u32; 4]) -> Option<Stem> {
        let [w0, w1, w2, w3] = words;
        match self {
            Self::Sub => {
                let a = between(w0, 100, 999);
                Some(Stem::Columns { a, b: between(w1, 10, a - 1) })
            }
            Self::Sub0 => {
                let a = 100 * between(w0, 1, 9) + between(w1, 0, 8);
                across_zero(a, between(w2, 11, a - 1))
            }
            Self::Fadd | Self::Fdiv => {
                let [b, d] = [w0, w1].map(|word| between(word, *DENOMINATORS.start(), *DENOMINATORS.end()));
                self.fractions(between(w2, 1, b - 1), b, between(w3, 1, d - 1), d)
            }
            Self::LinPlus | Self::LinMinus => {
                let (low, high) = self.coefficients().into_inner();
                let place = between(w1, 0, 2 * SOLUTIONS - 1);
                let b = between(w2, *CONSTANTS.start(), *CONSTANTS.end());
                Some(two_step(between(w0, low, high), solution(place), b))
            }
            Self::Order => order(between(w0, 2, 20), between(w1, 2, 9), between(w2, 2, 9), between(w3, 1, 9)),
            Self::PctOf => {
                let p = PERCENTAGES[between(w0, 0, PERCENTAGES.len() as i64 - 1) as usize];
                percent(p, 20 * between(w1, 1, WHOLES))
            }
        }
    }

    /// Every stem of its ranges, each once.
    pub fn stems(self) -> Box<dyn Iterator<Item = Stem>> {
        match self {
            Self::Sub => Box::new((100..=999).flat_map(|a| (10..a).map(move |b| Stem::Columns { a, b }))),
            Self::Sub0 => {
                let from = (1..=9).flat_map(|h| (0..=8).map(move |u| 100 * h + u));
                Box::new(from.flat_map(|a| (11..a).filter_map(move |b| across_zero(a, b))))
            }
            Self::Fadd | Self::Fdiv => {
                let proper = || DENOMINATORS.flat_map(|bottom| (1..bottom).map(move |top| (top, bottom)));
                Box::new(
                    proper().flat_map(move |(a, b)| {
                        proper().filter_map(move |(c, d)| self.fractions(a, b, c, d))
                    }),
                )
            }
            Self::LinPlus | Self::LinMinus => Box::new(self.coefficients().flat_map(|a| {
                (0..2 * SOLUTIONS)
                    .flat_map(move |place| CONSTANTS.map(move |b| two_step(a, solution(place), b)))
            })),
            Self::Order => {
                let ends = (2..=20).flat_map(|a| (1..=9).map(move |d| (a, d)));
                Box::new(ends.flat_map(|(a, d)| {
                    (2..=9).flat_map(move |b| (2..=9).filter_map(move |c| order(a, b, c, d)))
                }))
            }
            Self::PctOf => Box::new(
                PERCENTAGES
                    .into_iter()
                    .flat_map(|p| (1..=WHOLES).filter_map(move |whole| percent(p, 20 * whole))),
            ),
        }
    }

    fn coefficients(self) -> RangeInclusive<i64> {
        if self == Self::LinMinus { -9..=-2 } else { 2..=9 }
    }

    /// Two fractions in lowest terms of unlike denominators, and so of unlike value.
    fn fractions(self, a: i64, b: i64, c: i64, d: i64) -> Option<Stem> {
        let lowest = |top: i64, bottom: i64| gcd(top.into(), bottom.into()) == 1;
        let operation = if self == Self::Fadd { Operation::Add } else { Operation::Divide };
        let (left, right) = (Fraction { top: a, bottom: b }, Fraction { top: c, bottom: d });
        (b != d && lowest(a, b) && lowest(c, d)).then_some(Stem::Fractions { operation, left, right })
    }
}

/// a - b where the ones must be borrowed from the hundreds: a is h0u.
fn across_zero(a: i64, b: i64) -> Option<Stem> {
    (b % 10 > a % 10 && b / 10 % 10 > 0).then_some(Stem::Columns { a, b })
}

fn solution(place: i64) -> i64 {
    if place < SOLUTIONS { place - SOLUTIONS } else { place - SOLUTIONS + 1 }
}

fn two_step(a: i64, x: i64, b: i64) -> Stem {
    Stem::TwoStep { a, b, c: a * x + b }
}

fn order(a: i64, b: i64, c: i64, d: i64) -> Option<Stem> {
    (![0, 1].contains(&(c - d))).then_some(Stem::Order { a, b, c, d: Some(d) })
}

/// The part that is `p` percent of `whole`, where it is an integer.
fn percent(p: i64, whole: i64) -> Option<Stem> {
    (p * whole % 100 == 0).then(|| Stem::PercentOfWhat { p, n: p * whole / 100 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn what_is_drawn_is_one_of_the_stems() {
        for family in Family::ALL {
            let all: HashSet<Stem> = family.stems().collect();
            assert_eq!(all.len(), family.stems().count(), "{family}: each once");
            let drawn: HashSet<Stem> =
                (0..4000).filter_map(|i| family.draw(crate::draw::words(1, i, family.number(), 0))).collect();
            assert!(drawn.len() > 900 && drawn.is_subset(&all), "{family}");
            assert!(
                [[0; 4], [u32::MAX; 4]]
                    .iter()
                    .all(|words| { family.draw(*words).is_none_or(|stem| all.contains(&stem)) })
            );
        }
    }

    #[test]
    fn numbers_are_part_of_every_item() {
        assert_eq!(Family::ALL.map(Family::number), [0, 1, 2, 3, 4, 5, 6, 7]);
    }
}
