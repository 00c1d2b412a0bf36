//! Portable Rust: the definition of what every other instruction set computes.

use super::{Arch, Tile, Vector};

#[derive(Clone, Copy)]
pub(in crate::kernels) struct Scalar;

impl Arch for Scalar {
    type Bytes = [u8; 32];
    type Floats = [f32; 8];

    const STRIP: usize = 8;

    #[inline(always)]
    fn tile_rows(self) -> usize {
        4
    }

    #[inline(always)]
    fn load(self, bytes: &[u8; 32]) -> [u8; 32] {
        *bytes
    }

    #[inline(always)]
    fn nibbles(self, bytes: &[u8; 16]) -> [u8; 32] {
        std::array::from_fn(|e| if e < 16 { bytes[e] & 15 } else { bytes[e - 16] >> 4 })
    }

    #[inline(always)]
    fn bits(self, bits: u32) -> [u8; 32] {
        std::array::from_fn(|e| (bits >> e & 1) as u8)
    }

    #[inline(always)]
    fn shift_and(self, v: [u8; 32], n: u32, mask: u8) -> [u8; 32] {
        v.map(|b| (b >> n) & mask)
    }

    #[inline(always)]
    fn add_shifted(self, v: [u8; 32], w: [u8; 32], n: u32) -> [u8; 32] {
        std::array::from_fn(|e| v[e].wrapping_add(w[e] << n))
    }

    #[inline(always)]
    fn sub(self, v: [u8; 32], n: u8) -> [u8; 32] {
        v.map(|b| b.wrapping_sub(n))
    }

    #[inline(always)]
    fn widen(self, v: [u8; 32], part: usize) -> [f32; 8] {
        std::array::from_fn(|l| f32::from(v[part * 8 + l] as i8))
    }

    #[inline(always)]
    fn half(self, bits: u16) -> f32 {
        half::f16::from_bits(bits).to_f32_const()
    }

    #[inline(always)]
    fn load_f32(self, bytes: &[u8; 32]) -> [f32; 8] {
        bytemuck::cast(*bytes)
    }

    #[inline(always)]
    fn load_f16(self, bytes: &[u8; 16]) -> [f32; 8] {
        bytemuck::cast::<_, [u16; 8]>(*bytes).map(|bits| self.half(bits))
    }

    #[inline(always)]
    fn load_bf16(self, bytes: &[u8; 16]) -> [f32; 8] {
        bytemuck::cast::<_, [u16; 8]>(*bytes).map(|bits| f32::from_bits(u32::from(bits) << 16))
    }

    #[inline(always)]
    fn store_f16(self, v: [f32; 8], bytes: &mut [u8; 16]) {
        *bytes = bytemuck::cast(v.map(|value| half::f16::from_f32_const(value).to_bits()));
    }

    #[inline(always)]
    fn store(self, v: [f32; 8], out: &mut [f32; 8]) {
        *out = v;
    }

    #[inline(always)]
    fn store_transposed(self, v: [[f32; 8]; 8], out: &mut [f32], stride: usize) {
        for l in 0..8 {
            for r in 0..8 {
                out[l * stride + r] = v[r][l];
            }
        }
    }

    #[inline(always)]
    fn scale(self, v: [f32; 8], scale: f32) -> [f32; 8] {
        v.map(|x| x * scale)
    }

    #[inline(always)]
    fn scale_min(self, v: [f32; 8], scale: f32, min: f32) -> [f32; 8] {
        v.map(|x| x * scale + min)
    }

    #[inline(always)]
    fn dot(self, w: [u8; 32], x: &[i8; 32], _: bool) -> [f32; 8] {
        std::array::from_fn(|l| {
            let product = |e: usize| i32::from(w[e] as i8) * i32::from(x[e]);
            (product(4 * l) + product(4 * l + 1) + product(4 * l + 2) + product(4 * l + 3)) as f32
        })
    }

    #[inline(always)]
    fn splat(self, value: f32) -> [f32; 8] {
        [value; 8]
    }

    #[inline(always)]
    fn halves(self, low: f32, high: f32) -> [f32; 8] {
        [low, low, low, low, high, high, high, high]
    }

    #[inline(always)]
    fn fma(self, a: [f32; 8], b: [f32; 8], c: [f32; 8]) -> [f32; 8] {
        std::array::from_fn(|l| a[l].mul_add(b[l], c[l]))
    }

    #[inline(always)]
    fn mul(self, a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        std::array::from_fn(|l| a[l] * b[l])
    }

    #[inline(always)]
    fn add(self, a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        std::array::from_fn(|l| a[l] + b[l])
    }

    #[inline(always)]
    fn sum(self, v: [f32; 8]) -> f32 {
        ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]))
    }

    #[inline(always)]
    unsafe fn tile(self, tile: Tile) {
        // SAFETY: passed on to the caller.
        unsafe {
            match tile.rows {
                1 => tile.run::<[f32; 8], 1, 1>(),
                2 => tile.run::<[f32; 8], 2, 1>(),
                3 => tile.run::<[f32; 8], 3, 1>(),
                _ => tile.run::<[f32; 8], 4, 1>(),
            }
        }
    }
}

impl Vector for [f32; 8] {
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn zero() -> Self {
        [0.0; 8]
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        [value; 8]
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller vouches for 8 readable elements.
        unsafe { from.cast::<Self>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller vouches for 8 writable elements.
        unsafe { to.cast::<Self>().write_unaligned(self) }
    }

    #[inline(always)]
    unsafe fn load_part(from: *const f32, n: usize) -> Self {
        // SAFETY: the caller vouches for `n` readable elements.
        std::array::from_fn(|l| if l < n { unsafe { *from.add(l) } } else { 0.0 })
    }

    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, n: usize) {
        for l in 0..n {
            // SAFETY: the caller vouches for `n` writable elements.
            unsafe { *to.add(l) = self[l] };
        }
    }

    #[inline(always)]
    unsafe fn fma(self, b: Self, c: Self) -> Self {
        std::array::from_fn(|l| self[l].mul_add(b[l], c[l]))
    }

    #[inline(always)]
    unsafe fn mul(self, b: Self) -> Self {
        std::array::from_fn(|l| self[l] * b[l])
    }

    #[inline(always)]
    unsafe fn add(self, b: Self) -> Self {
        std::array::from_fn(|l| self[l] + b[l])
    }
}
