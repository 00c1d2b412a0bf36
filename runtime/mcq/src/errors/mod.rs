//! The errors as functions (specification 6.5): what a student who makes one answers to a stem. Pure, integers only,
//! total on the stems that each is declared for and refused on every other.

mod columns;
mod decimals;
mod equations;
mod expressions;
mod fractions;
mod percents;

use crate::answer::Answer;
use crate::code::Code;
use crate::domain::OutOfDomain;
use crate::key::{agree, key};
use crate::stem::Stem;

/// What an error makes of a stem of its domain; `None` for any other.
type Function = fn(&Stem) -> Option<Answer>;

/// The answer of a student who makes the error `code` on `stem`. It may be the right one: not every stem sets it off.
pub fn apply(code: Code, stem: &Stem) -> Result<Answer, OutOfDomain> {
    stem.check()?;
    let (function, needs) = of(code);
    function(stem).ok_or_else(|| OutOfDomain { what: code.name(), stem: stem.to_string(), needs })
}

/// The errors of the whole library that make `answer` of `stem`: E(s, d). None where the answer is right, or the stem
/// is out of every range.
pub fn explain(stem: &Stem, answer: &Answer) -> Vec<Code> {
    if !key(stem).is_ok_and(|key| !agree(stem, answer, &key)) {
        return Vec::new();
    }
    let makes = |code: &Code| of(*code).0(stem).is_some_and(|wrong| agree(stem, answer, &wrong));
    Code::ALL.into_iter().filter(makes).collect()
}

/// The function of a code, and the stems it is declared for.
fn of(code: Code) -> (Function, &'static str) {
    const COLUMNS: &str = "a subtraction a - b in columns";
    const SUM: &str = "a sum of two fractions";
    const QUOTIENT: &str = "a division of two fractions";
    const ORDER: &str = "a + b * c - d";
    const TWO_STEP: &str = "an equation ax + b = c";
    const WHAT: &str = "p % of what is n";
    match code {
        Code::Sfl => (columns::smaller_from_larger, COLUMNS),
        Code::Bnd => (columns::borrow_without_decrement, COLUMNS),
        Code::Znn => (columns::zero_minus_n_is_n, COLUMNS),
        Code::Sbz => (columns::no_borrow_from_zero, COLUMNS),
        Code::AddBoth => (fractions::add_both, SUM),
        Code::LcdKeep => (fractions::keep_numerators, SUM),
        Code::IgnDen => (fractions::ignore_denominators, SUM),
        Code::SubBoth => (fractions::subtract_both, "a difference of two fractions of unlike denominators"),
        Code::KeepDen => (fractions::keep_denominator, "a product of two fractions of one denominator"),
        Code::NoInv => (fractions::invert_neither, QUOTIENT),
        Code::InvDividend => (fractions::invert_dividend, "a division of two fractions, the first not 0"),
        Code::InvBoth => (fractions::invert_both, "a division of two fractions, the first not 0"),
        Code::ScaleBoth => (fractions::scale_both, "a fraction times a whole number"),
        Code::HalfSimp => (fractions::simplify_numerator, "a fraction to bring to lowest terms"),
        Code::Longer => (decimals::longer_is_larger, "two decimals of unlike length"),
        Code::DecJoin => (decimals::join, "0.x + 0.y with x + y of two digits"),
        Code::DecBring => (decimals::bring_down, "a whole number less a smaller one with two places"),
        Code::DecLeft => {
            (decimals::point_from_left, "a number with one place times a whole number, both above 0")
        }
        Code::SignAdd => (expressions::other_sign, "-a + b with a and b above 0"),
        Code::SignDiv => (expressions::positive, "a product or quotient of two numbers of opposite signs"),
        Code::Ltr => (expressions::left_to_right, "a + b * c, or a + b * c - d"),
        Code::SubFirst => (expressions::subtract_first, ORDER),
        Code::BothFirst => (expressions::both_first, ORDER),
        Code::AddSame => (equations::add_same, "an equation ax + b = c with b above 0"),
        Code::SubNeg => (equations::subtract_negative, "an equation ax - b = c with b above 0"),
        Code::DropNeg => (equations::drop_negative, "an equation ax + b = c with a below 0"),
        Code::RevSub => (equations::reverse_subtraction, TWO_STEP),
        Code::MulDiv => (equations::multiply, "an equation ax = c"),
        Code::MulDiv2 => (equations::multiply_second, TWO_STEP),
        Code::DivMul => (equations::divide, "an equation x/a = c"),
        Code::SubCoef => (equations::subtract_coefficient, "an equation ax = c"),
        Code::SubCoef2 => (equations::subtract_coefficient_second, TWO_STEP),
        Code::PTimesN => (percents::percent_of_part, WHAT),
        Code::DivNoPct => (percents::divide_without_percent, WHAT),
        Code::AddPct => (percents::add_percent, WHAT),
        Code::PartWhole => (percents::part_for_whole, "p % of n"),
        Code::NoMid => (expressions::no_middle, "a square of a difference"),
        Code::Switch => (expressions::switch, "\"a less than a number\""),
        Code::ConstMul => (expressions::proportion, "two that keep a constant difference"),
    }
}
