//! What rows are centred by, and how they are clipped.

use super::super::sums::{Shape, quantise, ratio_steps};
use super::CLIP;

/// What everybody's rows are measured from where sums get noise: a text that says nothing, asked about as all are.
pub const REFERENCE: &str = "x";

/// The row of a text that everybody knows. What is common to all rows is most of their size (of the demo's task nine
/// tenths of the square) and says nothing of an example, so noise is measured by what is left without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    pub(super) row: Vec<i32>,
    /// How large its stream is beside it, in steps. It stands for that of all examples.
    pub(super) ratio: i64,
}

impl Reference {
    /// Of the row `gated` of such a text, whose stream has the root mean square `stream`.
    pub fn new(shape: Shape, gated: &[f32], stream: f64) -> Self {
        let mut row = vec![0; shape.kept];
        let size = quantise(shape.directions(), gated, &mut row);
        Self { row, ratio: ratio_steps(stream / size) }
    }

    /// Turns φ of an example into x. What whole numbers are cut off is cut towards 0, so that |x|² ≤ C² exactly.
    pub(super) fn centre(&self, row: &mut [i32]) {
        row.iter_mut().zip(&self.row).for_each(|(v, &own)| *v = v.saturating_sub(own));
        let most = u128::from(CLIP) * row.len() as u128;
        let square: u128 = row.iter().map(|&v| u128::from(v.unsigned_abs()).pow(2)).sum();
        if square > most {
            // More than |x|, and no more than C.
            let (size, bound) = ((square.isqrt() + 1) as i64, most.isqrt() as i64);
            row.iter_mut().for_each(|v| *v = (i64::from(*v) * bound / size) as i32);
        }
    }
}
