//! Rows kept at half their size: each as half floats times a power of two of its own, chosen so that its largest number
//! has an exponent of 14. No row is too large for that, whatever the model: the stream of SmolLM2-135M reaches 27,047 of
//! the 65,504 that a half float ends at, and other families pass them. Numbers down to 2⁻²⁸ of a row's largest keep all
//! 11 bits.
//!
//! ```text
//! a row   its exponent, 2 bytes   its numbers, 2 bytes each
//! ```

use super::Isa;
use super::arch::dispatch;
use super::half_floats::{Widen, f32_to_f16};
use half::f16;

/// Exponent of a kept row's largest number: one below a half float's largest, so that rounding up does not pass it.
const TOP: i32 = 14;

/// Places of two bytes that a row of `width` numbers takes.
pub const fn kept_len(width: usize) -> usize {
    1 + width
}

/// Keeps `rows` of `width` numbers in `kept`, and rounds them to what [`read_rows`] gives back: the same bits on every
/// instruction set. Rows that are not numbers stay so.
///
/// # Panics
/// The lengths do not belong together.
pub fn keep_rows(isa: Isa, width: usize, rows: &mut [f32], kept: &mut [f16]) {
    assert_eq!(rows.len() / width * kept_len(width), kept.len(), "lengths");
    for (row, kept) in rows.chunks_exact_mut(width).zip(kept.chunks_exact_mut(kept_len(width))) {
        let exponent = exponent_of(row);
        let shrink = power(-exponent);
        row.iter_mut().for_each(|v| *v *= shrink);
        let (first, halves) = kept.split_at_mut(1);
        first[0] = f16::from_bits(exponent as u16);
        f32_to_f16(isa, row, halves);
        widen(isa, exponent, halves, row);
    }
}

/// Reads the `rows` of `width` numbers that were kept.
///
/// # Panics
/// The lengths do not belong together.
pub fn read_rows(isa: Isa, width: usize, kept: &[f16], rows: &mut [f32]) {
    assert_eq!(rows.len() / width * kept_len(width), kept.len(), "lengths");
    for (row, kept) in rows.chunks_exact_mut(width).zip(kept.chunks_exact(kept_len(width))) {
        widen(isa, i32::from(kept[0].to_bits() as i16), &kept[1..], row);
    }
}

fn widen(isa: Isa, exponent: i32, halves: &[f16], row: &mut [f32]) {
    dispatch(isa, Widen { from: halves, to: row });
    let grow = power(exponent);
    row.iter_mut().for_each(|v| *v *= grow);
}

/// What is taken off the exponents of `row`. Bounded so that its power and the inverse of that are normal numbers.
fn exponent_of(row: &[f32]) -> i32 {
    let largest = row.iter().fold(0, |most: u32, v| most.max(v.to_bits() & 0x7fff_ffff));
    if largest == 0 { 0 } else { ((largest >> 23) as i32 - 127 - TOP).max(-126) }
}

/// 2 to the `exponent`, a normal number.
fn power(exponent: i32) -> f32 {
    f32::from_bits(((exponent.clamp(-126, 127) + 127) as u32) << 23)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTH: usize = 13;

    /// Rows whose largest numbers are from 2⁻¹³⁰ to nearly the largest there is.
    fn rows() -> Vec<f32> {
        let number = |i: usize| 1.7 * ((i * i * 37 + 11 * i) as f32).sin();
        let rows = (-130..=126).step_by(16).enumerate();
        rows.flat_map(|(r, e)| (0..WIDTH).map(move |i| number(r * WIDTH + i) * 2f64.powi(e) as f32)).collect()
    }

    #[test]
    fn rows_of_any_size_keep_eleven_bits() {
        for isa in Isa::available() {
            let (want, mut rounded) = (rows(), rows());
            let mut kept = vec![f16::ZERO; want.len() / WIDTH * kept_len(WIDTH)];
            keep_rows(isa, WIDTH, &mut rounded, &mut kept);
            assert!(kept.chunks(kept_len(WIDTH)).all(|kept| kept[1..].iter().all(|half| half.is_finite())));
            for (found, want) in rounded.chunks(WIDTH).zip(want.chunks(WIDTH)) {
                let largest = want.iter().fold(0.0f32, |most, v| most.max(v.abs()));
                for (f, w) in found.iter().zip(want) {
                    let bound = (w.abs() * 2f32.powi(-11)).max(largest * 2f32.powi(-39));
                    assert!((f - w).abs() <= bound || largest < 2f32.powi(-110), "{f} of {w}");
                }
            }
            let mut back = vec![f32::NAN; want.len()];
            read_rows(isa, WIDTH, &kept, &mut back);
            assert!(back.iter().zip(&rounded).all(|(b, r)| b.to_bits() == r.to_bits()), "{isa}");
            // What was rounded once stays as it is.
            let again = rounded.clone();
            keep_rows(isa, WIDTH, &mut rounded, &mut kept);
            assert!(again.iter().zip(&rounded).all(|(a, r)| a.to_bits() == r.to_bits()), "{isa}");
        }
    }

    #[test]
    fn every_instruction_set_keeps_the_same_bits() {
        let kept = |isa: Isa| {
            let mut rows = rows();
            let mut kept = vec![f16::ZERO; rows.len() / WIDTH * kept_len(WIDTH)];
            keep_rows(isa, WIDTH, &mut rows, &mut kept);
            (
                kept.iter().map(|k| k.to_bits()).collect::<Vec<_>>(),
                rows.iter().map(|r| r.to_bits()).collect::<Vec<_>>(),
            )
        };
        let want = kept(Isa::Scalar);
        assert!(Isa::available().into_iter().all(|isa| kept(isa) == want));
    }

    #[test]
    fn rows_that_are_no_numbers_or_nothing_stay_so() {
        let isa = Isa::Scalar;
        let mut rows = [[0.0; 3], [1.0, f32::NAN, 2.0], [f32::INFINITY, -1.0, f32::NEG_INFINITY]].concat();
        let mut kept = vec![f16::ZERO; 3 * kept_len(3)];
        keep_rows(isa, 3, &mut rows, &mut kept);
        assert_eq!(rows[..3], [0.0; 3]);
        assert!(rows[4].is_nan() && rows[6] == f32::INFINITY && rows[8] == f32::NEG_INFINITY, "{rows:?}");
    }
}
