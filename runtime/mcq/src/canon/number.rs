//! Integers, fractions, decimals and mixed numbers.

use super::unparsable::Unparsable;
use crate::answer::Answer;
use crate::ratio::fitting;

/// An integer, a fraction or a decimal, without spaces.
pub(super) fn read(text: &str) -> Result<Answer, Unparsable> {
    if let Some((top, bottom)) = text.split_once('/') {
        return fraction(integer(top)?, integer(bottom)?);
    }
    let (negative, size) = signed(text);
    let Some((whole, rest)) = size.split_once('.') else {
        return Answer::whole(integer(text)?).ok_or(Unparsable::TooLarge);
    };
    if rest.is_empty() {
        return Err(Unparsable::Other);
    }
    let digits = digits(&format!("{whole}{rest}"))?;
    let places = u32::try_from(rest.len()).map_err(|_| Unparsable::TooLarge)?;
    Answer::decimal(if negative { -digits } else { digits }, places).ok_or(Unparsable::TooLarge)
}

/// A mixed number: a whole number, a space, a fraction. `None` where the text has another shape, in which spaces mean
/// nothing: where digits are spaced out, two groups before a fraction's bar are taken for a mixed number.
pub(super) fn mixed(text: &str) -> Option<Result<Answer, Unparsable>> {
    let (negative, size) = signed(text);
    let (before, bottom) = size.trim_start().split_once('/')?;
    let (whole, top) = before.trim_end().split_once(' ')?;
    let [whole, top, bottom] = [whole, top, bottom.trim_start()];
    if ![whole, top, bottom].iter().all(|part| part.bytes().all(|b| b.is_ascii_digit()) && !part.is_empty()) {
        return None;
    }
    Some(combined(negative, whole, top, bottom))
}

fn combined(negative: bool, whole: &str, top: &str, bottom: &str) -> Result<Answer, Unparsable> {
    let [whole, top, bottom] = [digits(whole)?, digits(top)?, digits(bottom)?];
    if bottom == 0 {
        return Err(Unparsable::ZeroDenominator);
    }
    // Each below 10^18: no overflow.
    let top = whole * bottom + top;
    Answer::lowest(if negative { -top } else { top }, bottom).ok_or(Unparsable::TooLarge)
}

fn fraction(top: i128, bottom: i128) -> Result<Answer, Unparsable> {
    if bottom == 0 {
        return Err(Unparsable::ZeroDenominator);
    }
    Answer::written(top, bottom).ok_or(Unparsable::TooLarge)
}

fn integer(text: &str) -> Result<i128, Unparsable> {
    let (negative, size) = signed(text);
    digits(size).map(|value| if negative { -value } else { value })
}

fn signed(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(size) => (true, size),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// The value of digits alone, below the limit of what fits.
pub(super) fn digits(text: &str) -> Result<i128, Unparsable> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Unparsable::Other);
    }
    let mut value = 0i128;
    for digit in text.bytes() {
        value = 10 * value + i128::from(digit - b'0');
        fitting(value).ok_or(Unparsable::TooLarge)?;
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_in_front_do_not_count_and_digits_do() {
        assert_eq!(digits(&"0".repeat(100)), Ok(0));
        assert_eq!(digits(&"9".repeat(18)), Ok(999_999_999_999_999_999));
        assert_eq!(digits(&"9".repeat(19)), Err(Unparsable::TooLarge));
    }

    #[test]
    fn only_two_groups_before_the_bar_are_mixed() {
        assert_eq!(mixed("- 1 1 / 2").map(|m| m.map(|a| a.render())), Some(Ok("-3/2".to_owned())));
        for text in ["1/2", "1 2 3/4", "1 -1/2", "1 1/2 3", "1 1", "a 1/2", "1  1/2"] {
            assert_eq!(mixed(text), None, "{text}");
        }
    }
}
