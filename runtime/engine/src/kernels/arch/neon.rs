//! aarch64: NEON as every ARMv8.0 core has it, and with the 8-bit dot product.
//!
//! Cortex-A53, A57 and A72 have no `sdot`: only [`NeonDotprod`] uses it. It and the conversions of half
//! floats are inline assembly because their intrinsics are not stable in the oldest supported compiler.

use super::neon_tile::by_fours;
use super::{Arch, Kernel, Tile};
use std::arch::aarch64::*;
use std::arch::asm;

/// ARMv8.0 NEON, which is part of every aarch64 target.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Neon;

/// Proof that the machine has `sdot`.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct NeonDotprod(());

impl NeonDotprod {
    #[inline]
    pub(crate) fn new() -> Option<Self> {
        std::arch::is_aarch64_feature_detected!("dotprod").then_some(Self(()))
    }

    #[inline]
    pub(crate) fn enter<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "neon,dotprod")]
        unsafe fn compiled<K: Kernel>(arch: NeonDotprod, kernel: K) -> K::Output {
            kernel.run(arch)
        }
        // SAFETY: `self` exists only where the feature does.
        unsafe { compiled(self, kernel) }
    }
}

impl Arch for Neon {
    type Bytes = int8x16x2_t;
    type Floats = float32x4x2_t;

    const STRIP: usize = 8;

    #[inline(always)]
    fn tile_rows(self) -> usize {
        8
    }

    #[inline(always)]
    fn load(self, bytes: &[u8; 32]) -> int8x16x2_t {
        let from: *const i8 = bytes.as_ptr().cast();
        // SAFETY: 32 readable bytes.
        unsafe { int8x16x2_t(vld1q_s8(from), vld1q_s8(from.add(16))) }
    }

    #[inline(always)]
    fn nibbles(self, bytes: &[u8; 16]) -> int8x16x2_t {
        // SAFETY: 16 readable bytes.
        unsafe {
            let packed = vld1q_u8(bytes.as_ptr());
            pair(vandq_u8(packed, vdupq_n_u8(15)), vshrq_n_u8::<4>(packed))
        }
    }

    #[inline(always)]
    fn bits(self, bits: u32) -> int8x16x2_t {
        // SAFETY: registers only.
        unsafe {
            let bit = vreinterpretq_u8_u64(vdupq_n_u64(0x8040_2010_0804_0201));
            let spread = |bits: u32| {
                let byte = |n: u32| vdup_n_u8((bits >> n) as u8);
                vandq_u8(vtstq_u8(vcombine_u8(byte(0), byte(8)), bit), vdupq_n_u8(1))
            };
            pair(spread(bits), spread(bits >> 16))
        }
    }

    #[inline(always)]
    fn shift_and(self, v: int8x16x2_t, n: u32, mask: u8) -> int8x16x2_t {
        // SAFETY: registers only.
        unsafe {
            let (by, mask) = (vdupq_n_s8(-(n as i8)), vdupq_n_u8(mask));
            let half = |v| vandq_u8(vshlq_u8(vreinterpretq_u8_s8(v), by), mask);
            pair(half(v.0), half(v.1))
        }
    }

    #[inline(always)]
    fn add_shifted(self, v: int8x16x2_t, w: int8x16x2_t, n: u32) -> int8x16x2_t {
        // SAFETY: registers only.
        unsafe {
            let by = vdupq_n_s8(n as i8);
            int8x16x2_t(vaddq_s8(v.0, vshlq_s8(w.0, by)), vaddq_s8(v.1, vshlq_s8(w.1, by)))
        }
    }

    #[inline(always)]
    fn sub(self, v: int8x16x2_t, n: u8) -> int8x16x2_t {
        // SAFETY: registers only.
        unsafe { int8x16x2_t(vsubq_s8(v.0, vdupq_n_s8(n as i8)), vsubq_s8(v.1, vdupq_n_s8(n as i8))) }
    }

    #[inline(always)]
    fn widen(self, v: int8x16x2_t, part: usize) -> float32x4x2_t {
        // SAFETY: registers only.
        unsafe {
            let half = if part < 2 { v.0 } else { v.1 };
            let eight = vmovl_s8(if part.is_multiple_of(2) { vget_low_s8(half) } else { vget_high_s8(half) });
            let float = |four| vcvtq_f32_s32(vmovl_s16(four));
            float32x4x2_t(float(vget_low_s16(eight)), float(vget_high_s16(eight)))
        }
    }

    #[inline(always)]
    fn half(self, bits: u16) -> f32 {
        let value: f32;
        // SAFETY: converts a register; part of ARMv8.0.
        unsafe {
            asm!("fcvt {out:s}, {bits:h}", out = out(vreg) value, bits = in(vreg) f32::from_bits(u32::from(bits)),
                options(pure, nomem, nostack, preserves_flags));
        }
        value
    }

    #[inline(always)]
    fn load_f32(self, bytes: &[u8; 32]) -> float32x4x2_t {
        let from: *const f32 = bytes.as_ptr().cast();
        // SAFETY: 32 readable bytes; the load needs no alignment.
        unsafe { float32x4x2_t(vld1q_f32(from), vld1q_f32(from.add(4))) }
    }

    #[inline(always)]
    fn load_f16(self, bytes: &[u8; 16]) -> float32x4x2_t {
        let (low, high): (float32x4_t, float32x4_t);
        // SAFETY: 16 readable bytes; the conversion is of registers and part of ARMv8.0.
        unsafe {
            asm!("fcvtl {low:v}.4s, {bits:v}.4h", "fcvtl2 {high:v}.4s, {bits:v}.8h",
                low = out(vreg) low, high = lateout(vreg) high, bits = in(vreg) vld1q_u8(bytes.as_ptr()),
                options(pure, nomem, nostack, preserves_flags));
        }
        float32x4x2_t(low, high)
    }

    #[inline(always)]
    fn load_bf16(self, bytes: &[u8; 16]) -> float32x4x2_t {
        // SAFETY: 16 readable bytes.
        unsafe {
            let bits = vreinterpretq_u16_u8(vld1q_u8(bytes.as_ptr()));
            let float = |four| vreinterpretq_f32_u32(vshll_n_u16::<16>(four));
            float32x4x2_t(float(vget_low_u16(bits)), float(vget_high_u16(bits)))
        }
    }

    #[inline(always)]
    fn store_f16(self, v: float32x4x2_t, bytes: &mut [u8; 16]) {
        let bits: uint8x16_t;
        // SAFETY: converts registers, then writes 16 writable bytes.
        unsafe {
            asm!("fcvtn {bits:v}.4h, {low:v}.4s", "fcvtn2 {bits:v}.8h, {high:v}.4s",
                bits = out(vreg) bits, low = in(vreg) v.0, high = in(vreg) v.1,
                options(pure, nomem, nostack, preserves_flags));
            vst1q_u8(bytes.as_mut_ptr(), bits);
        }
    }

    #[inline(always)]
    fn store(self, v: float32x4x2_t, out: &mut [f32; 8]) {
        // SAFETY: 8 writable elements.
        unsafe {
            vst1q_f32(out.as_mut_ptr(), v.0);
            vst1q_f32(out.as_mut_ptr().add(4), v.1);
        }
    }

    #[inline(always)]
    fn store_transposed(self, v: [float32x4x2_t; 8], out: &mut [f32], stride: usize) {
        assert!(out.len() >= 7 * stride + 8, "8 lanes at stride {stride}");
        // SAFETY: the assertion covers the last store of the four 4 × 4 squares.
        unsafe {
            for right in [0, 4] {
                let square = |a, b, c, d, to: *mut f32| {
                    let (low, high) = (vtrnq_f32(a, b), vtrnq_f32(c, d));
                    let join = |a, b| vcombine_f32(a, b);
                    vst1q_f32(to, join(vget_low_f32(low.0), vget_low_f32(high.0)));
                    vst1q_f32(to.add(stride), join(vget_low_f32(low.1), vget_low_f32(high.1)));
                    vst1q_f32(to.add(2 * stride), join(vget_high_f32(low.0), vget_high_f32(high.0)));
                    vst1q_f32(to.add(3 * stride), join(vget_high_f32(low.1), vget_high_f32(high.1)));
                };
                let to = out.as_mut_ptr().add(right);
                square(v[right].0, v[right + 1].0, v[right + 2].0, v[right + 3].0, to);
                square(v[right].1, v[right + 1].1, v[right + 2].1, v[right + 3].1, to.add(4 * stride));
            }
        }
    }

    #[inline(always)]
    fn scale(self, v: float32x4x2_t, scale: f32) -> float32x4x2_t {
        // SAFETY: registers only.
        unsafe { float32x4x2_t(vmulq_n_f32(v.0, scale), vmulq_n_f32(v.1, scale)) }
    }

    #[inline(always)]
    fn scale_min(self, v: float32x4x2_t, scale: f32, min: f32) -> float32x4x2_t {
        self.add(self.scale(v, scale), self.splat(min))
    }

    #[inline(always)]
    fn dot(self, w: int8x16x2_t, x: &[i8; 32], _: bool) -> float32x4x2_t {
        // SAFETY: 32 readable bytes. Pairs of products stay below 2 · 128 · 127 = 32,512: no overflow.
        unsafe {
            let quads = |w: int8x16_t, x: int8x16_t| {
                let low = vmull_s8(vget_low_s8(w), vget_low_s8(x));
                let high = vmull_high_s8(w, x);
                vcvtq_f32_s32(vpaddlq_s16(vpaddq_s16(low, high)))
            };
            let from = x.as_ptr();
            float32x4x2_t(quads(w.0, vld1q_s8(from)), quads(w.1, vld1q_s8(from.add(16))))
        }
    }

    #[inline(always)]
    fn splat(self, value: f32) -> float32x4x2_t {
        self.halves(value, value)
    }

    #[inline(always)]
    fn halves(self, low: f32, high: f32) -> float32x4x2_t {
        // SAFETY: registers only.
        unsafe { float32x4x2_t(vdupq_n_f32(low), vdupq_n_f32(high)) }
    }

    #[inline(always)]
    fn fma(self, a: float32x4x2_t, b: float32x4x2_t, c: float32x4x2_t) -> float32x4x2_t {
        // SAFETY: registers only.
        unsafe { float32x4x2_t(vfmaq_f32(c.0, a.0, b.0), vfmaq_f32(c.1, a.1, b.1)) }
    }

    #[inline(always)]
    fn mul(self, a: float32x4x2_t, b: float32x4x2_t) -> float32x4x2_t {
        // SAFETY: registers only.
        unsafe { float32x4x2_t(vmulq_f32(a.0, b.0), vmulq_f32(a.1, b.1)) }
    }

    #[inline(always)]
    fn add(self, a: float32x4x2_t, b: float32x4x2_t) -> float32x4x2_t {
        // SAFETY: registers only.
        unsafe { float32x4x2_t(vaddq_f32(a.0, b.0), vaddq_f32(a.1, b.1)) }
    }

    #[inline(always)]
    fn sum(self, v: float32x4x2_t) -> f32 {
        // SAFETY: registers only.
        unsafe {
            let four = vaddq_f32(v.0, v.1);
            let two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
            vget_lane_f32::<0>(two) + vget_lane_f32::<1>(two)
        }
    }

    #[inline(always)]
    unsafe fn tile(self, tile: Tile) {
        // SAFETY: passed on to the caller.
        unsafe {
            match tile.rows {
                1 => by_fours::<1>(tile),
                2 => by_fours::<2>(tile),
                3 => by_fours::<3>(tile),
                4 => by_fours::<4>(tile),
                5 => by_fours::<5>(tile),
                6 => by_fours::<6>(tile),
                7 => by_fours::<7>(tile),
                _ => by_fours::<8>(tile),
            }
        }
    }
}

/// The dot product is all that differs from [`Neon`].
macro_rules! as_neon {
    ($($name:ident($($arg:ident: $ty:ty),*) $(-> $out:ty)?;)*) => {
        $(#[inline(always)]
        fn $name(self, $($arg: $ty),*) $(-> $out)? {
            Neon.$name($($arg),*)
        })*
    };
}

impl Arch for NeonDotprod {
    type Bytes = int8x16x2_t;
    type Floats = float32x4x2_t;

    const STRIP: usize = Neon::STRIP;

    #[inline(always)]
    fn tile_rows(self) -> usize {
        Neon.tile_rows()
    }

    as_neon! {
        load(bytes: &[u8; 32]) -> int8x16x2_t;
        nibbles(bytes: &[u8; 16]) -> int8x16x2_t;
        bits(bits: u32) -> int8x16x2_t;
        shift_and(v: int8x16x2_t, n: u32, mask: u8) -> int8x16x2_t;
        add_shifted(v: int8x16x2_t, w: int8x16x2_t, n: u32) -> int8x16x2_t;
        sub(v: int8x16x2_t, n: u8) -> int8x16x2_t;
        widen(v: int8x16x2_t, part: usize) -> float32x4x2_t;
        half(bits: u16) -> f32;
        load_f32(bytes: &[u8; 32]) -> float32x4x2_t;
        load_f16(bytes: &[u8; 16]) -> float32x4x2_t;
        load_bf16(bytes: &[u8; 16]) -> float32x4x2_t;
        store_f16(v: float32x4x2_t, bytes: &mut [u8; 16]);
        store(v: float32x4x2_t, out: &mut [f32; 8]);
        store_transposed(v: [float32x4x2_t; 8], out: &mut [f32], stride: usize);
        scale(v: float32x4x2_t, scale: f32) -> float32x4x2_t;
        scale_min(v: float32x4x2_t, scale: f32, min: f32) -> float32x4x2_t;
        splat(value: f32) -> float32x4x2_t;
        halves(low: f32, high: f32) -> float32x4x2_t;
        fma(a: float32x4x2_t, b: float32x4x2_t, c: float32x4x2_t) -> float32x4x2_t;
        mul(a: float32x4x2_t, b: float32x4x2_t) -> float32x4x2_t;
        add(a: float32x4x2_t, b: float32x4x2_t) -> float32x4x2_t;
        sum(v: float32x4x2_t) -> f32;
    }

    #[inline(always)]
    fn dot(self, w: int8x16x2_t, x: &[i8; 32], _: bool) -> float32x4x2_t {
        // SAFETY: 32 readable bytes; `self` is proof of `sdot`.
        unsafe {
            let quads = |w: int8x16_t, x: int8x16_t| {
                let mut sums = vdupq_n_s32(0);
                asm!("sdot {sums:v}.4s, {w:v}.16b, {x:v}.16b",
                    sums = inout(vreg) sums, w = in(vreg) w, x = in(vreg) x,
                    options(pure, nomem, nostack, preserves_flags));
                vcvtq_f32_s32(sums)
            };
            let from = x.as_ptr();
            float32x4x2_t(quads(w.0, vld1q_s8(from)), quads(w.1, vld1q_s8(from.add(16))))
        }
    }

    #[inline(always)]
    unsafe fn tile(self, tile: Tile) {
        // SAFETY: passed on to the caller.
        unsafe { Neon.tile(tile) }
    }
}

#[inline(always)]
fn pair(low: uint8x16_t, high: uint8x16_t) -> int8x16x2_t {
    // SAFETY: registers only.
    unsafe { int8x16x2_t(vreinterpretq_s8_u8(low), vreinterpretq_s8_u8(high)) }
}
