//! How warm the board is after a round, and what holds it back, as its report says.

use sprig_device::{Condition, Hold};
use sprig_transport::messages::HOLDS;
use std::path::Path;

/// What a report says of the board.
#[derive(Debug, PartialEq)]
pub(super) struct Warmth {
    /// The hottest sensor, in °C.
    pub(super) celsius: Option<f32>,
    /// A bit for each of [`HOLDS`].
    pub(super) held_back: Option<u8>,
}

impl Warmth {
    /// This machine's, now.
    pub(super) fn here() -> Self {
        Self::of(&Condition::of(Path::new("/")))
    }

    fn of(condition: &Condition) -> Self {
        let bit = |hold: &Hold| HOLDS.iter().position(|name| *name == hold.name()).map_or(0, |bit| 1 << bit);
        let bits = |holds: &Vec<Hold>| holds.iter().map(bit).fold(0, |all, bit| all | bit);
        Self {
            celsius: condition.celsius.map(|celsius| celsius as f32),
            held_back: condition.held_back.as_ref().map(bits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hold_has_a_bit_of_its_own() {
        let of = |holds: &[Hold]| {
            let condition =
                Condition { held_back: Some(holds.to_vec()), celsius: Some(71.5), ..Condition::default() };
            Warmth::of(&condition)
        };
        for (bit, hold) in Hold::ALL.into_iter().enumerate() {
            assert_eq!(of(&[hold]), Warmth { celsius: Some(71.5), held_back: Some(1 << bit) }, "{hold}");
        }
        assert_eq!(of(&[Hold::Throttled, Hold::Capped]).held_back, Some(6));
        assert_eq!(of(&[]).held_back, Some(0));
        assert_eq!(Warmth::of(&Condition::default()), Warmth { celsius: None, held_back: None });
    }
}
