//! The register tile of the matrix product on NEON.

use super::{Tile, Vector};
use std::arch::aarch64::*;

/// The tile of `M` rows by 8 columns, four k at a time: one load brings four elements of a row of x, and
/// the multiply-adds pick theirs by lane. An in-order core with one load port has 16 loads for 64
/// multiply-adds that way, where broadcasting would take 40.
#[inline(always)]
pub(super) unsafe fn by_fours<const M: usize>(tile: Tile) {
    // SAFETY: every address is one of those that `Tile` promises, k being below `depth`.
    unsafe {
        if tile.cols < 8 {
            return tile.run::<float32x4_t, M, 2>();
        }
        let mut acc = tile.start::<float32x4_t, M, 2, true>();
        let w_at = |k: usize| {
            let at = tile.w.add(k * tile.w_stride);
            [vld1q_f32(at), vld1q_f32(at.add(4))]
        };
        let whole = tile.depth / 4 * 4;
        let mut k = 0;
        while k < whole {
            let x: [float32x4_t; M] = std::array::from_fn(|i| vld1q_f32(tile.x.add(i * tile.x_stride + k)));
            lane::<0, M>(&mut acc, &x, w_at(k));
            lane::<1, M>(&mut acc, &x, w_at(k + 1));
            lane::<2, M>(&mut acc, &x, w_at(k + 2));
            lane::<3, M>(&mut acc, &x, w_at(k + 3));
            k += 4;
        }
        while k < tile.depth {
            let x: [float32x4_t; M] =
                std::array::from_fn(|i| vdupq_n_f32(*tile.x.add(i * tile.x_stride + k)));
            lane::<0, M>(&mut acc, &x, w_at(k));
            k += 1;
        }
        tile.write_rows::<float32x4_t, M, 2, true>(acc);
    }
}

#[inline(always)]
fn lane<const L: i32, const M: usize>(
    acc: &mut [[float32x4_t; 2]; M],
    x: &[float32x4_t; M],
    w: [float32x4_t; 2],
) {
    for i in 0..M {
        // SAFETY: registers only.
        unsafe {
            acc[i][0] = vfmaq_laneq_f32::<L>(acc[i][0], w[0], x[i]);
            acc[i][1] = vfmaq_laneq_f32::<L>(acc[i][1], w[1], x[i]);
        }
    }
}

impl Vector for float32x4_t {
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: registers only.
        unsafe { vdupq_n_f32(0.0) }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: registers only.
        unsafe { vdupq_n_f32(value) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller vouches for the pointer.
        unsafe { vld1q_f32(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller vouches for the pointer.
        unsafe { vst1q_f32(to, self) }
    }

    #[inline(always)]
    unsafe fn load_part(from: *const f32, n: usize) -> Self {
        let mut lanes = [0.0; 4];
        // SAFETY: the caller vouches for `n` readable elements, and n ≤ 4.
        unsafe {
            std::ptr::copy_nonoverlapping(from, lanes.as_mut_ptr(), n);
            vld1q_f32(lanes.as_ptr())
        }
    }

    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, n: usize) {
        let mut lanes = [0.0; 4];
        // SAFETY: the caller vouches for `n` writable elements, and n ≤ 4.
        unsafe {
            vst1q_f32(lanes.as_mut_ptr(), self);
            std::ptr::copy_nonoverlapping(lanes.as_ptr(), to, n);
        }
    }

    #[inline(always)]
    unsafe fn fma(self, b: Self, c: Self) -> Self {
        // SAFETY: registers only.
        unsafe { vfmaq_f32(c, self, b) }
    }

    #[inline(always)]
    unsafe fn mul(self, b: Self) -> Self {
        // SAFETY: registers only.
        unsafe { vmulq_f32(self, b) }
    }

    #[inline(always)]
    unsafe fn add(self, b: Self) -> Self {
        // SAFETY: registers only.
        unsafe { vaddq_f32(self, b) }
    }
}
