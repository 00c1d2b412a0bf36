//! Signs of every kind as one of ASCII's, and the marks around mathematics taken off.

use super::unparsable::{MAX_LEN, Unparsable};

/// `text` in ASCII, with single spaces where there was any; delimiters are gone.
pub(super) fn clean(text: &str) -> Result<String, Unparsable> {
    if text.len() > MAX_LEN {
        return Err(Unparsable::TooLong);
    }
    let mut ascii = String::with_capacity(text.len());
    for c in text.chars() {
        put(c, &mut ascii)?;
    }
    let plain = without_macros(&ascii)?;
    Ok(plain.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
}

/// Writes what `c` means. What only marks mathematics, or cannot be seen, means nothing.
fn put(c: char, to: &mut String) -> Result<(), Unparsable> {
    match c {
        '$' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}' => {}
        '\u{ad}' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe63}' | '\u{ff0d}' => to.push('-'),
        '\u{b7}' | '\u{d7}' | '\u{2022}' | '\u{2217}' | '\u{2219}' | '\u{22c5}' | '\u{2715}' | '\u{2716}' => {
            to.push('*');
        }
        ':' | '\u{f7}' | '\u{2044}' | '\u{2215}' | '\u{2236}' => to.push('/'),
        '\u{b2}' => to.push_str("^2"),
        '\u{b3}' => to.push_str("^3"),
        '\u{bc}' => to.push_str(" 1/4"),
        '\u{bd}' => to.push_str(" 1/2"),
        '\u{be}' => to.push_str(" 3/4"),
        '\u{2153}' => to.push_str(" 1/3"),
        '\u{2154}' => to.push_str(" 2/3"),
        // The wide forms of ASCII stand in its order.
        '\u{ff01}'..='\u{ff5e}' => {
            let narrow = u32::from(c) - 0xff01 + u32::from('!');
            put(char::from_u32(narrow).ok_or(Unparsable::Other)?, to)?;
        }
        _ if c.is_whitespace() => to.push(' '),
        _ if c.is_ascii() && !c.is_ascii_control() => to.push(c),
        _ => return Err(Unparsable::Other),
    }
    Ok(())
}

/// Macros and what they stand for; those that only mark or space stand for nothing.
const MACROS: [(&str, &str); 14] = [
    ("\\left", ""),
    ("\\right", ""),
    ("\\times", "*"),
    ("\\cdot", "*"),
    ("\\div", "/"),
    ("\\lt", "<"),
    ("\\gt", ">"),
    ("\\(", ""),
    ("\\)", ""),
    ("\\[", ""),
    ("\\]", ""),
    ("\\,", ""),
    ("\\;", ""),
    ("\\!", ""),
];

const FRACTIONS: [&str; 3] = ["\\frac", "\\dfrac", "\\tfrac"];

fn without_macros(text: &str) -> Result<String, Unparsable> {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = FRACTIONS.iter().find_map(|name| rest.strip_prefix(name)) {
            let (top, after) = braced(after)?;
            let (bottom, after) = braced(after)?;
            // The space keeps a whole number before it apart: a mixed number.
            plain.extend([" ", top, "/", bottom]);
            rest = after;
        } else {
            let found = MACROS.iter().find_map(|(name, sign)| Some((rest.strip_prefix(name)?, sign)));
            let (after, sign) = found.ok_or(Unparsable::Other)?;
            plain.push_str(sign);
            rest = after;
        }
    }
    plain.push_str(rest);
    Ok(plain)
}

/// What stands in the braces that `text` begins with, and what follows them.
fn braced(text: &str) -> Result<(&str, &str), Unparsable> {
    text.trim_start().strip_prefix('{').and_then(|text| text.split_once('}')).ok_or(Unparsable::Other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_become_ascii_and_marks_go() {
        for (text, plain) in [
            ("$\\left( -3 \\right)$", "( -3 )"),
            ("2\u{d7}3\u{b7}4\u{2212}1", "2*3*4-1"),
            ("\u{ff13}\u{ff0f}\u{ff14}", "3/4"),
            ("2\\tfrac {1} {3}", "2 1/3"),
            ("1\u{a0}\u{2009} 2\t3", "1 2 3"),
            ("\u{feff}5\u{200b}", "5"),
        ] {
            assert_eq!(clean(text).as_deref(), Ok(plain), "{text}");
        }
    }

    #[test]
    fn a_macro_that_is_unknown_or_open_is_refused() {
        for text in ["\\", "\\frac", "\\frac{1}", "\\frac{1}{2", "\\pi", "\u{e9}", "\0"] {
            assert_eq!(clean(text), Err(Unparsable::Other), "{text}");
        }
    }
}
