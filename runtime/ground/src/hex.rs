//! Bytes as hexadecimal digits, always in lower case.

use std::fmt::{self, Write};

/// Bytes that print as hexadecimal digits.
#[derive(Clone, Copy, Debug)]
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().flat_map(|byte| digits(*byte)).try_for_each(|digit| f.write_char(digit))
    }
}

/// The digits of `bytes`, two each.
pub fn encode(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| digits(*byte)).collect()
}

/// The bytes that [`encode`] made `text` of; `None` for any other text, also one in upper case.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if rest.is_empty() { pairs.iter().map(|pair| byte(*pair)).collect() } else { None }
}

/// [`decode`] for a number of bytes that is known.
pub fn decode_array<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() == 2 * N { decode(text)?.try_into().ok() } else { None }
}

fn digits(byte: u8) -> [char; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [byte >> 4, byte & 15].map(|nibble| char::from(DIGITS[usize::from(nibble)]))
}

fn byte([high, low]: [u8; 2]) -> Option<u8> {
    let nibble = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    Some(nibble(high)? << 4 | nibble(low)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_goes_both_ways() {
        let all: Vec<u8> = (0..=255).collect();
        let text = encode(&all);
        assert_eq!(text, all.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        assert_eq!((Hex(&all).to_string(), decode(&text)), (text, Some(all)));
        assert_eq!((encode(&[]), decode("")), (String::new(), Some(Vec::new())));
    }

    #[test]
    fn what_is_not_made_by_it_is_none() {
        for text in ["0", "0g", "0A", "é", "0 ", "+1", "00 00"] {
            assert_eq!(decode(text), None, "{text}");
        }
        assert_eq!(decode_array::<2>("0aff"), Some([10, 255]));
        for text in ["", "0a", "0aff00", "0aF0"] {
            assert_eq!(decode_array::<2>(text), None, "{text}");
        }
    }
}
