//! Half floats to single ones and back.

use super::Isa;
use super::arch::{Arch, Kernel, dispatch};
use half::f16;

/// Rounds to half floats, to nearest, ties to even.
///
/// # Panics
/// If the lengths differ.
pub(crate) fn f32_to_f16(isa: Isa, from: &[f32], to: &mut [f16]) {
    assert_eq!(from.len(), to.len(), "lengths");
    dispatch(isa, Narrow { from, to });
}

/// Widens half floats, over the shorter length.
pub(crate) struct Widen<'a> {
    pub from: &'a [f16],
    pub to: &'a mut [f32],
}

impl Kernel for Widen<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arch>(self, arch: A) {
        let from = self.from.chunks_exact(8);
        let rest = from.remainder();
        let mut to = self.to.chunks_exact_mut(8);
        for (from, to) in from.zip(&mut to) {
            let eight = arch.load_f16(bytemuck::from_bytes(bytemuck::cast_slice(from)));
            arch.store(eight, bytemuck::from_bytes_mut(bytemuck::cast_slice_mut(to)));
        }
        for (from, to) in rest.iter().zip(to.into_remainder()) {
            *to = arch.half(from.to_bits());
        }
    }
}

struct Narrow<'a> {
    from: &'a [f32],
    to: &'a mut [f16],
}

impl Kernel for Narrow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arch>(self, arch: A) {
        let from = self.from.chunks_exact(8);
        let rest = from.remainder();
        let mut to = self.to.chunks_exact_mut(8);
        for (from, to) in from.zip(&mut to) {
            let eight = arch.load_f32(bytemuck::from_bytes(bytemuck::cast_slice(from)));
            arch.store_f16(eight, bytemuck::from_bytes_mut(bytemuck::cast_slice_mut(to)));
        }
        for (&from, to) in rest.iter().zip(to.into_remainder()) {
            *to = f16::from_f32_const(from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_float_survives_the_round_trip() {
        let all: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).filter(|h| !h.is_nan()).collect();
        for isa in Isa::available() {
            let mut wide = vec![0.0; all.len()];
            dispatch(isa, Widen { from: &all, to: &mut wide });
            assert!(wide.iter().zip(&all).all(|(w, h)| w.to_bits() == h.to_f32_const().to_bits()));
            let mut back = vec![f16::ZERO; all.len()];
            f32_to_f16(isa, &wide, &mut back);
            assert!(back.iter().zip(&all).all(|(b, h)| b.to_bits() == h.to_bits()));
            let between = wide.windows(2).map(|w| 0.5 * (w[0] + w[1])).filter(|w| w.is_finite());
            let between: Vec<f32> = between.collect();
            let mut narrow = vec![f16::ZERO; between.len()];
            f32_to_f16(isa, &between, &mut narrow);
            assert!(
                narrow.iter().zip(&between).all(|(n, &b)| n.to_bits() == f16::from_f32_const(b).to_bits())
            );
        }
    }
}
