//! Dequantising: to plain rows, and straight into the strips that the product reads.

use super::arch::{Arch, Kernel, dispatch};
use super::blocks::{Float, Quant, scale_index, with_type};
use super::{Isa, Matrix};
use std::marker::PhantomData;
use std::ops::Range;

/// Writes rows `rows` of `w` to `out` as f32, row after row. The bits do not depend on `isa`.
///
/// # Panics
/// If `rows` does not lie within `w`, or `out` is not exactly `rows.len()` × `w.cols()`.
pub fn dequantize(isa: Isa, w: &Matrix<'_>, rows: Range<usize>, out: &mut [f32]) {
    let w = w.row_slice(rows);
    assert_eq!(out.len(), w.rows() * w.cols(), "{} rows of {}", w.rows(), w.cols());
    if w.cols() == 0 {
        return;
    }
    with_type!(w.ty(), Q => dispatch(isa, Unpack::<Q> { w, out, ty: PhantomData }),
        dispatch(isa, UnpackFloats::<Q> { w, out, ty: PhantomData }));
}

/// Length of the strips for `rows` weight rows of `cols`.
pub(super) fn packed_len(rows: usize, cols: usize) -> usize {
    rows.next_multiple_of(16) * cols
}

/// Packs all rows of `w`: strips of `Arch::STRIP` rows, in each strip element k of all its rows, then
/// element k + 1. A strip that lacks rows repeats the last one; nobody reads the results.
pub(super) fn pack(isa: Isa, w: &Matrix<'_>, out: &mut [f32]) {
    let w = *w;
    if w.rows() * w.cols() == 0 {
        return;
    }
    with_type!(w.ty(), Q => dispatch(isa, Pack::<Q> { w, out, ty: PhantomData }),
        dispatch(isa, PackFloats::<Q> { w, out, ty: PhantomData }));
}

/// An array of the value for each of eight rows. Not by `array::map` or `from_fn`: their closures need not be inlined, and
/// are then compiled without the instruction set of the function around them.
macro_rules! of_eight {
    ($r:ident => $value:expr) => {
        [
            of_eight!(@ $r, 0, $value),
            of_eight!(@ $r, 1, $value),
            of_eight!(@ $r, 2, $value),
            of_eight!(@ $r, 3, $value),
            of_eight!(@ $r, 4, $value),
            of_eight!(@ $r, 5, $value),
            of_eight!(@ $r, 6, $value),
            of_eight!(@ $r, 7, $value),
        ]
    };
    (@ $r:ident, $row:literal, $value:expr) => {{
        let $r: usize = $row;
        $value
    }};
}

struct Unpack<'a, Q> {
    w: Matrix<'a>,
    out: &'a mut [f32],
    ty: PhantomData<Q>,
}

impl<Q: Quant> Kernel for Unpack<'_, Q> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arch>(self, arch: A) {
        let blocks: &[Q::Block] = bytemuck::cast_slice(self.w.bytes());
        for (block, out) in blocks.iter().zip(self.out.chunks_exact_mut(32 * Q::GROUPS)) {
            let scales = Q::scales(arch, block);
            for (g, out) in out.chunks_exact_mut(32).enumerate() {
                let quants = Q::quants(arch, block, g);
                for (part, out) in eights_mut(out).enumerate() {
                    let at = scale_index::<Q>(g, part / 2);
                    let value = arch.widen(quants, part);
                    let value = if Q::MINS {
                        arch.scale_min(value, scales.scale[at], scales.min[at])
                    } else {
                        arch.scale(value, scales.scale[at])
                    };
                    arch.store(value, out);
                }
            }
        }
    }
}

struct Pack<'a, Q> {
    w: Matrix<'a>,
    out: &'a mut [f32],
    ty: PhantomData<Q>,
}

impl<Q: Quant> Kernel for Pack<'_, Q> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arch>(self, arch: A) {
        let (rows, cols) = (self.w.rows(), self.w.cols());
        for (strip, out) in
            self.out.chunks_exact_mut(A::STRIP * cols).enumerate().take(rows.div_ceil(A::STRIP))
        {
            for lane in (0..A::STRIP).step_by(8) {
                let row = |r: usize| (strip * A::STRIP + lane + r).min(rows - 1);
                let eight: [&[Q::Block]; 8] = of_eight!(r => bytemuck::cast_slice(self.w.row(row(r))));
                for b in 0..cols / (32 * Q::GROUPS) {
                    let block: [&Q::Block; 8] = of_eight!(r => &eight[r][b]);
                    let scales = of_eight!(r => Q::scales(arch, block[r]));
                    for g in 0..Q::GROUPS {
                        let quants = of_eight!(r => Q::quants(arch, block[r], g));
                        let first = (b * Q::GROUPS + g) * 32;
                        for part in 0..4 {
                            let at = scale_index::<Q>(g, part / 2);
                            let values = of_eight!(r => {
                                let value = arch.widen(quants[r], part);
                                if Q::MINS {
                                    arch.scale_min(value, scales[r].scale[at], scales[r].min[at])
                                } else {
                                    arch.scale(value, scales[r].scale[at])
                                }
                            });
                            let out = &mut out[(first + 8 * part) * A::STRIP + lane..];
                            arch.store_transposed(values, out, A::STRIP);
                        }
                    }
                }
            }
        }
    }
}

struct UnpackFloats<'a, T> {
    w: Matrix<'a>,
    out: &'a mut [f32],
    ty: PhantomData<T>,
}

impl<T: Float> Kernel for UnpackFloats<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arch>(self, arch: A) {
        let whole = self.out.len() / 8 * 8;
        let (eights, rest) = self.w.bytes().split_at(whole * T::BYTES);
        let (out, out_rest) = self.out.split_at_mut(whole);
        for (out, bytes) in eights_mut(out).zip(eights.chunks_exact(8 * T::BYTES)) {
            arch.store(T::eight(arch, bytes), out);
        }
        for (out, bytes) in out_rest.iter_mut().zip(rest.chunks_exact(T::BYTES)) {
            *out = T::one(arch, bytes);
        }
    }
}

struct PackFloats<'a, T> {
    w: Matrix<'a>,
    out: &'a mut [f32],
    ty: PhantomData<T>,
}

impl<T: Float> Kernel for PackFloats<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arch>(self, arch: A) {
        let (rows, cols) = (self.w.rows(), self.w.cols());
        for (strip, out) in
            self.out.chunks_exact_mut(A::STRIP * cols).enumerate().take(rows.div_ceil(A::STRIP))
        {
            for lane in (0..A::STRIP).step_by(8) {
                let row = |r: usize| (strip * A::STRIP + lane + r).min(rows - 1);
                let eight: [&[u8]; 8] = of_eight!(r => self.w.row(row(r)));
                let whole = cols / 8 * 8;
                for k in (0..whole).step_by(8) {
                    let values = of_eight!(r => T::eight(arch, &eight[r][k * T::BYTES..][..8 * T::BYTES]));
                    arch.store_transposed(values, &mut out[k * A::STRIP + lane..], A::STRIP);
                }
                for k in whole..cols {
                    for r in 0..8 {
                        out[k * A::STRIP + lane + r] = T::one(arch, &eight[r][k * T::BYTES..][..T::BYTES]);
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn eights_mut(values: &mut [f32]) -> impl Iterator<Item = &mut [f32; 8]> {
    values.chunks_exact_mut(8).map(bytemuck::cast_slice_mut).map(|eight: &mut [[f32; 8]]| &mut eight[0])
}
