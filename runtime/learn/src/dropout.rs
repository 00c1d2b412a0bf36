//! Dropout of adapters' inputs in training, as LoRA has it: each is left out with probability p, and what stays is divided by
//! 1 − p. One mask serves all passes of an iteration that are compared: the sides of a difference, the cuts of a batch and
//! of its tangents, the way there and back. It is a pure function of (run key, round, iteration, device, example, layer,
//! token, channel), so that it is the same on every machine, after a resume too, and is held nowhere. algorithm.md 6.12.

use crate::directions::Iteration;
use crate::recipe::Fraction;
use sprig_engine::dual::{Mask, Spot};
use sprig_ground::philox::philox;

/// p of Spry's paper.
pub const PAPER: Fraction = Fraction::of(0.1);

/// Third word of the counters that masks are drawn by; those of directions have 1.
const MASKS: u32 = 2;
/// Numbers that 16 bits tell apart: p is a whole multiple of one in so many.
const STEPS: u32 = 1 << 16;

/// How much is dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropout {
    /// p · 65,536.
    dropped: u16,
}

/// The masks of one iteration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Masks {
    dropout: Dropout,
    run_key: [u32; 2],
    at: Iteration,
    /// Place in the batch of the first example of a pass.
    first_example: usize,
}

impl Dropout {
    /// Nothing is dropped.
    pub const NONE: Self = Self { dropped: 0 };

    /// Inputs are dropped with probability `p`, to the nearest 1/65,536 below 1.
    pub fn new(p: Fraction) -> Self {
        let dropped = (p.get() * STEPS as f32).round() as u32;
        Self { dropped: dropped.min(STEPS - 1) as u16 }
    }

    /// p.
    pub fn p(self) -> f32 {
        f32::from(self.dropped) / STEPS as f32
    }

    /// Whether anything is dropped.
    pub fn is_on(self) -> bool {
        self.dropped > 0
    }

    /// The masks of iteration `at`, if anything is dropped.
    pub fn masks(self, run_key: [u32; 2], at: Iteration) -> Option<Masks> {
        self.is_on().then_some(Masks { dropout: self, run_key, at, first_example: 0 })
    }
}

impl Masks {
    /// The same for a pass whose first example is the one at `place` of this one's.
    pub fn from(self, place: usize) -> Self {
        Self { first_example: self.first_example + place, ..self }
    }
}

impl Mask for Masks {
    fn apply(&self, spot: Spot, width: usize, rows: &mut [f32]) {
        let (Iteration { round, number, device }, dropped) = (self.at, u32::from(self.dropout.dropped));
        let example = (self.first_example + spot.example) as u32;
        let stream = philox(self.run_key, [round, number, device, example]);
        let stays = STEPS as f32 / (STEPS - dropped) as f32;
        for at in (0..width).step_by(8) {
            let words = philox([stream[0], stream[1]], [at as u32 / 8, spot.layer, MASKS, spot.token as u32]);
            let factor =
                |j: usize| if words[j / 2] >> (16 * (j % 2)) & 0xFFFF < dropped { 0.0 } else { stays };
            let factors: [f32; 8] = std::array::from_fn(factor);
            for row in rows.chunks_exact_mut(width) {
                row[at..].iter_mut().zip(factors).for_each(|(x, factor)| *x *= factor);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTH: usize = 100;

    fn masks(p: f32, number: u32) -> Masks {
        Dropout::new(Fraction::of(p))
            .masks([0x0123_4567, 0x89ab_cdef], Iteration { round: 3, number, device: 7 })
            .unwrap()
    }

    fn of(masks: Masks, layer: u32, example: usize, token: usize) -> Vec<f32> {
        let mut row = vec![1.0; WIDTH];
        masks.apply(Spot { layer, example, token }, WIDTH, &mut row);
        row
    }

    #[test]
    fn inputs_are_dropped_as_often_as_was_asked_and_the_mean_stays() {
        for p in [0.1, 0.5, 0.9] {
            let (mut dropped, mut sum) = (0, 0.0);
            for token in 0..2000 {
                let row = of(masks(p, 5), 3, 1, token);
                dropped += row.iter().filter(|v| **v == 0.0).count();
                sum += row.iter().map(|v| f64::from(*v)).sum::<f64>();
            }
            let n = 2e5;
            // Four standard errors.
            let error = 4.0 * (f64::from(p) * (1.0 - f64::from(p)) / n).sqrt();
            assert!((dropped as f64 / n - f64::from(p)).abs() < error, "{p}: {dropped}");
            assert!((sum / n - 1.0).abs() < error / (1.0 - f64::from(p)), "{p}: {sum}");
        }
    }

    #[test]
    fn a_mask_is_of_its_place_alone_and_tangents_have_their_values() {
        let first = of(masks(0.5, 5), 3, 2, 4);
        assert_eq!(first, of(masks(0.5, 5).from(2), 3, 0, 4), "a cut batch");
        let others = [of(masks(0.5, 6), 3, 2, 4), of(masks(0.5, 5), 4, 2, 4), of(masks(0.5, 5), 3, 3, 4)];
        assert!(others.iter().chain([&of(masks(0.5, 5), 3, 2, 5)]).all(|other| *other != first));
        let mut rows = vec![1.0; 3 * WIDTH];
        masks(0.5, 5).apply(Spot { layer: 3, example: 2, token: 4 }, WIDTH, &mut rows);
        assert!(rows.chunks(WIDTH).all(|row| row == first));
    }

    /// The same on every processor. Stream (3, 5, 7, 9) of the key, its block (0, 4, 2, 11).
    #[test]
    fn masks_have_fixed_bits() {
        let stream = philox([0x0123_4567, 0x89ab_cdef], [3, 5, 7, 9]);
        let words = philox([stream[0], stream[1]], [0, 4, 2, 11]);
        for (j, v) in of(masks(0.5, 5), 4, 9, 11)[..8].iter().enumerate() {
            let drawn = (words[j / 2] >> (16 * (j % 2))) as u16;
            assert_eq!(*v, if drawn < 0x8000 { 0.0 } else { 2.0 });
        }
    }

    #[test]
    fn all_but_nothing_stays_where_p_is_just_below_one() {
        assert!(Dropout::new(Fraction::of(0.999_999)).p() < 1.0);
        assert_eq!(Dropout::new(Fraction::of(0.0)), Dropout::NONE);
        assert_eq!(Dropout::NONE.masks([0; 2], Iteration::of_step(0)), None);
    }
}
