//! From the rows that the last block's down projection multiplies to the whole numbers that are summed.
//!
//! A row f of n numbers is divided by its root mean square, so that no number passes √n whatever the model. Where the
//! plan has room for m < n directions only, number c goes, with a sign of its own, to direction c mod m, and k = ⌈n/m⌉
//! of them share one, over √k: the bound stays. Both are maps that an adapter undoes: it gets weights for n numbers, and
//! the row's size is one positive factor of all labels' scores. Then numbers are rounded to [`STEPS`] a unit: sums of
//! products of whole numbers are exact, so neither the order of the examples nor who summed which changes a bit.

use sprig_ground::random::mix;

/// Steps of a unit. A number stays below √n ≤ 2⁷ for n ≤ 2¹⁴, so a product takes 42 bits and the sum of 2²⁰ of them 62.
const STEPS: f64 = 16384.0;
/// Most inputs of the projection that the bound holds for; a 13B Llama has 13,824.
pub(super) const MOST_INPUTS: usize = 1 << 14;
/// Most examples that can be summed.
pub(super) const MOST_EXAMPLES: u64 = 1 << 20;

/// The map from a row to its directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Directions {
    /// n, numbers of a row.
    pub inputs: usize,
    /// m, directions that are kept of it; n for all.
    pub kept: usize,
}

impl Directions {
    /// Writes the whole numbers of `row` into `out`, and returns the row's root mean square.
    pub fn quantise(&self, row: &[f32], out: &mut [i32]) -> f64 {
        let square: f64 = row.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
        let size = (square / row.len() as f64).sqrt();
        if !(size > 0.0 && size.is_finite()) {
            out.fill(0);
            return 0.0;
        }
        let scale = STEPS * self.weight() / size;
        for (direction, out) in out.iter_mut().enumerate() {
            let of = (direction..row.len()).step_by(self.kept);
            let sum: f64 = of.map(|c| self.sign(c) * f64::from(row[c])).sum();
            *out = (sum * scale).round() as i32;
        }
        size
    }

    /// The weights of a row's own numbers, its root mean square divided out, that give the score Σ w·(whole number).
    pub fn unfold(&self, weights: &[f64], out: &mut [f32]) {
        let scale = STEPS * self.weight();
        for (c, out) in out.iter_mut().enumerate() {
            *out = (weights[c % self.kept] * scale * self.sign(c)) as f32;
        }
    }

    /// 1/√k.
    fn weight(&self) -> f64 {
        1.0 / (self.inputs.div_ceil(self.kept) as f64).sqrt()
    }

    fn sign(&self, c: usize) -> f64 {
        if self.kept == self.inputs || mix(c as u64) & 1 == 0 { 1.0 } else { -1.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A score by weights of whole numbers is the one by weights of the row, whose size it has.
    #[test]
    fn weights_unfold_to_those_of_the_row() {
        let row: Vec<f32> = (0..23).map(|i| ((i * 37 + 11) % 50) as f32 * 0.3 - 6.0).collect();
        for kept in [23, 12, 5, 1] {
            let directions = Directions { inputs: row.len(), kept };
            let (mut whole, mut unfolded) = (vec![0; kept], vec![0.0; row.len()]);
            let size = directions.quantise(&row, &mut whole);
            let weights: Vec<f64> = (0..kept).map(|i| 1e-4 * (i as f64 - 3.0)).collect();
            directions.unfold(&weights, &mut unfolded);
            let folded: f64 = weights.iter().zip(&whole).map(|(w, &v)| w * f64::from(v)).sum();
            let own: f64 = unfolded.iter().zip(&row).map(|(w, v)| f64::from(*w) * f64::from(*v)).sum();
            assert!((own - size * folded).abs() < 1e-3 * size * folded.abs().max(1.0), "{own} {folded}");
        }
    }

    #[test]
    fn no_number_passes_its_bound() {
        for (row, inputs) in [(vec![0.0f32; 64], 64), (vec![3.0; 64], 64)] {
            let mut lone = row.clone();
            lone[5] = 1e30;
            for row in [row, lone] {
                for kept in [inputs, inputs / 4] {
                    let mut whole = vec![1; kept];
                    Directions { inputs, kept }.quantise(&row, &mut whole);
                    let bound = (STEPS * (inputs as f64).sqrt()) as i32 + 1;
                    assert!(whole.iter().all(|v| v.abs() <= bound), "{whole:?}");
                }
            }
        }
    }
}
