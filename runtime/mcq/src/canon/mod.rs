//! The one form of an answer that a model or a student wrote (specification 6.8): signs of every kind are unified, math
//! delimiters, spaces and a leading `x=` are taken off, and what is left must be an integer, a fraction, a decimal, a
//! mixed number, a polynomial or a comparison sign.

mod clean;
mod number;
mod polynomial;
mod unparsable;

pub use unparsable::{MAX_LEN, Unparsable};

use crate::answer::Answer;
use std::cmp::Ordering;

/// Reads `text` as an answer. It takes time in proportion to the text, which [`MAX_LEN`] bounds.
pub fn canon(text: &str) -> Result<Answer, Unparsable> {
    let clean = clean::clean(text)?;
    let text = without_name(clean.trim());
    let sign = match text {
        "" => return Err(Unparsable::Empty),
        "<" => Some(Ordering::Less),
        "=" => Some(Ordering::Equal),
        ">" => Some(Ordering::Greater),
        _ => None,
    };
    if let Some(sign) = sign {
        return Ok(Answer::Sign(sign));
    }
    if let Some(mixed) = number::mixed(text) {
        return mixed;
    }
    let joined: String = text.chars().filter(|c| *c != ' ').collect();
    if joined.contains(|c: char| c.is_ascii_alphabetic()) {
        polynomial::read(&joined)
    } else {
        number::read(&joined)
    }
}

/// The text after a leading `x=`, whatever the letter.
fn without_name(text: &str) -> &str {
    let rest = text.strip_prefix(|c: char| c.is_ascii_alphabetic()).map(str::trim_start);
    match rest.and_then(|rest| rest.strip_prefix('=')) {
        Some(rest) => rest.trim_start(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(text: &str) -> Result<String, Unparsable> {
        canon(text).map(|answer| answer.render())
    }

    #[test]
    fn every_writing_of_a_value_has_one_form() {
        for (text, form) in [
            (" 42 ", "42"),
            ("+7", "7"),
            ("007", "7"),
            ("\u{2212}5", "-5"),
            ("\u{2013} 5", "-5"),
            ("x = 5", "5"),
            ("$x=-5$", "-5"),
            ("\\( 3/4 \\)", "3/4"),
            ("\\[\\frac{3}{4}\\]", "3/4"),
            ("-\\dfrac{3}{4}", "-3/4"),
            ("3 \u{f7} 4", "3/4"),
            ("3\u{2044}4", "3/4"),
            ("3:4", "3/4"),
            ("2/4", "2/4"),
            ("3/-4", "-3/4"),
            ("6/3", "6/3"),
            ("5/1", "5"),
            ("1 1/2", "3/2"),
            ("-1 1/2", "-3/2"),
            ("1 2/4", "3/2"),
            ("2\\frac{1}{3}", "7/3"),
            ("1\u{bd}", "3/2"),
            ("\u{be}", "3/4"),
            ("5 0 3", "503"),
            ("0.50", "0.5"),
            (".12", "0.12"),
            ("-.25", "-0.25"),
            ("3.00", "3"),
            ("x^2 - 8x + 16", "x^2-8x+16"),
            ("16 \u{2212} 8\u{b7}z + z\u{b2}", "x^2-8x+16"),
            ("3-n", "-x+3"),
            ("x", "x"),
            ("y=2*x", "2x"),
            ("<", "<"),
            ("\\gt", ">"),
            ("\u{ff1d}", "="),
        ] {
            assert_eq!(rendered(text).as_deref(), Ok(form), "{text}");
        }
    }

    #[test]
    fn anything_else_is_unparsable_and_says_why() {
        for (texts, why) in [
            (&["", "  ", "$$", "x="] as &[&str], Unparsable::Empty),
            (&["1/0", "0/0", "1 1/0"], Unparsable::ZeroDenominator),
            (
                &["1000000000000000000", "1/1000000000000000000", "999999999999999999 1/3"],
                Unparsable::TooLarge,
            ),
            (
                &[
                    "1/2/3",
                    "--5",
                    "5.",
                    "1.5/2",
                    "five",
                    "2x3",
                    "x^9",
                    "x^-1",
                    "xy",
                    "x+",
                    "1+2",
                    "1,000",
                    "<=",
                    "5%",
                    "1 -1/2",
                    "\\frac{1}",
                    "\\frac{1}{",
                    "\\sqrt{4}",
                    "1\u{3000}\u{1F600}",
                ],
                Unparsable::Other,
            ),
        ] {
            for text in texts {
                assert_eq!(rendered(text), Err(why), "{text}");
            }
        }
        assert_eq!(rendered(&"1".repeat(MAX_LEN + 1)), Err(Unparsable::TooLong));
        assert!(Unparsable::TooLong.to_string().contains(&MAX_LEN.to_string()));
    }
}
