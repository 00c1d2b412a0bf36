//! Polynomials in one letter, as sums of terms like `-3x^2`.

use super::number::digits;
use super::unparsable::Unparsable;
use crate::answer::{Answer, COEFFICIENTS};
use crate::ratio::fitting;

/// A polynomial, without spaces. Terms of one power are added up.
pub(super) fn read(text: &str) -> Result<Answer, Unparsable> {
    let letter = text.chars().find(char::is_ascii_alphabetic).ok_or(Unparsable::Other)?;
    let mut sums = [0i128; COEFFICIENTS];
    let mut rest = text;
    let mut first = true;
    while !rest.is_empty() {
        let sign = match rest.as_bytes()[0] {
            b'-' => -1,
            b'+' => 1,
            _ if first => 0,
            _ => return Err(Unparsable::Other),
        };
        let body = if sign == 0 { rest } else { &rest[1..] };
        let end = body.find(['+', '-']).unwrap_or(body.len());
        let (coefficient, power) = term(&body[..end], letter)?;
        // A text of bounded length has too few terms below 10^18 to overflow the sum.
        *sums.get_mut(power).ok_or(Unparsable::Other)? += if sign < 0 { -coefficient } else { coefficient };
        rest = &body[end..];
        first = false;
    }
    let coefficients: Option<Vec<i64>> = sums.into_iter().map(fitting).collect();
    coefficients.and_then(Answer::polynomial).ok_or(Unparsable::TooLarge)
}

/// Coefficient and power of one term without its sign.
fn term(text: &str, letter: char) -> Result<(i128, usize), Unparsable> {
    let Some((coefficient, power)) = text.split_once(letter) else {
        return Ok((digits(text)?, 0));
    };
    let coefficient = match coefficient.strip_suffix('*') {
        Some(factor) => digits(factor)?,
        None if coefficient.is_empty() => 1,
        None => digits(coefficient)?,
    };
    let power = match power.strip_prefix('^') {
        Some(power) => usize::try_from(digits(power)?).map_err(|_| Unparsable::Other)?,
        None if power.is_empty() => 1,
        None => return Err(Unparsable::Other),
    };
    Ok((coefficient, power))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_added_up_by_their_power() {
        for (text, form) in
            [("x+x", "2x"), ("3*z^2-z^2+1", "2x^2+1"), ("x-x+5", "5"), ("-n", "-x"), ("4x^0+x", "x+4")]
        {
            assert_eq!(read(text).map(|answer| answer.render()).as_deref(), Ok(form), "{text}");
        }
    }

    #[test]
    fn other_sums_are_refused() {
        for text in ["x+", "-", "x^", "x^9", "x*2", "*x", "x+y", "x^2x", "x++1", "xx"] {
            assert_eq!(read(text), Err(Unparsable::Other), "{text}");
        }
        assert_eq!(read(&format!("{0}x+{0}x", "9".repeat(18))), Err(Unparsable::TooLarge));
    }
}
