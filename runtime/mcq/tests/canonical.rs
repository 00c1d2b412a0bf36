//! The canonical form: stable, faithful, and calm before anything (V5).
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use sprig_ground::random::SplitMix64;
use sprig_mcq::{Answer, canon};
use std::cmp::Ordering;

/// A random answer of any form, of any size that fits.
fn random(draw: &mut SplitMix64) -> Option<Answer> {
    let mut whole = || {
        let size = i128::from(draw.draw() % 10u64.pow((draw.draw() % 19) as u32));
        if draw.chance(0.5) { size } else { -size }
    };
    let (one, two) = (whole(), whole());
    let coefficients: Vec<i64> = (0..6).map(|_| whole() as i64).collect();
    match draw.below(6) {
        0 => Answer::whole(one),
        1 => Answer::lowest(one, two),
        2 => Answer::written(one, two),
        3 => Answer::decimal(one, draw.below(20) as u32),
        4 => Answer::polynomial(coefficients.into_iter().take(1 + draw.below(6)).collect()),
        _ => Some(Answer::Sign([Ordering::Less, Ordering::Equal, Ordering::Greater][draw.below(3)])),
    }
}

#[test]
fn a_rendered_answer_is_read_as_it_was() {
    let mut draw = SplitMix64::new(1);
    let (mut read, mut longest) = (0, 0);
    while read < 100_000 {
        let Some(answer) = random(&mut draw) else { continue };
        let text = answer.render();
        assert_eq!(canon(&text).as_ref(), Ok(&answer), "{text}");
        longest = longest.max(text.len());
        read += 1;
    }
    assert!(longest > 60, "long polynomials are among them");
}

/// What answers and attacks are made of.
const PIECES: [&str; 40] = [
    "0",
    "1",
    "9",
    "12",
    "999999999999999999",
    "-",
    "\u{2212}",
    "+",
    "/",
    "\u{f7}",
    ":",
    ".",
    ",",
    " ",
    "  ",
    "x",
    "X",
    "y",
    "^",
    "^2",
    "\u{b2}",
    "*",
    "\u{d7}",
    "=",
    "<",
    ">",
    "$",
    "\\(",
    "\\)",
    "\\frac",
    "{",
    "}",
    "{1}",
    "\\",
    "\u{bd}",
    "\u{200b}",
    "(",
    "\u{1F600}",
    "\u{e9}",
    "\n",
];

#[test]
fn strings_of_hostile_pieces_are_read_stably_or_refused() {
    let mut draw = SplitMix64::new(2);
    let mut parsed = 0;
    for _ in 0..300_000 {
        let text: String = (0..draw.below(12)).map(|_| draw.choose(&PIECES)).collect();
        if let Ok(answer) = canon(&text) {
            parsed += 1;
            assert_eq!(canon(&answer.render()), Ok(answer), "{text:?}");
        }
    }
    assert!(parsed > 10_000, "{parsed} of them mean something");
}

#[test]
fn long_and_deep_strings_are_refused() {
    for piece in PIECES {
        let text = piece.repeat(100_000 / piece.len());
        assert!(canon(&text).is_err(), "{piece:?}");
        assert!(canon(&piece.repeat(200)).is_err() || ["0", " 0"].contains(&piece), "{piece:?}");
    }
}

proptest! {
    #[test]
    fn any_string_is_read_stably_or_refused(text in "\\PC{0,40}", bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        for text in [text, String::from_utf8_lossy(&bytes).into_owned()] {
            if let Ok(answer) = canon(&text) {
                prop_assert_eq!(canon(&answer.render()), Ok(answer));
            }
        }
    }
}
