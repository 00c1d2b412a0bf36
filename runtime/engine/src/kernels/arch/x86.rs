//! x86-64: AVX2 with FMA and F16C, and the product's tile of AVX-512 where the machine has it.
//!
//! Zen 4, which halves vectors of 512 bits, gains nothing by that (100 against 103 GFLOP/s); Zen 5 does. VNNI made the integer
//! products at most 13 % faster.

use super::{Arch, Kernel, Tile, Vector, avx512};
use std::arch::asm;
use std::arch::x86_64::*;

/// Proof that the machine has AVX2, FMA and F16C; and AVX-512F if it is `wide`.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Avx2 {
    wide: bool,
}

impl Avx2 {
    #[inline]
    pub(crate) fn new() -> Option<Self> {
        let found = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        found.then_some(Self { wide: false })
    }

    #[inline]
    pub(crate) fn wide() -> Option<Self> {
        Self::new().filter(|_| avx512::is_there()).map(|_| Self { wide: true })
    }

    #[inline]
    pub(crate) fn enter<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx2,fma,f16c")]
        unsafe fn compiled<K: Kernel>(arch: Avx2, kernel: K) -> K::Output {
            kernel.run(arch)
        }
        // SAFETY: `self` exists only where the features do.
        unsafe { compiled(self, kernel) }
    }
}

impl Arch for Avx2 {
    type Bytes = __m256i;
    type Floats = __m256;

    const STRIP: usize = 16;

    #[inline(always)]
    fn tile_rows(self) -> usize {
        if self.wide { avx512::ROWS } else { 6 }
    }

    #[inline(always)]
    fn tile_cols(self) -> usize {
        if self.wide { avx512::COLUMNS } else { Self::STRIP }
    }

    #[inline(always)]
    fn load(self, bytes: &[u8; 32]) -> __m256i {
        // SAFETY: 32 readable bytes; `self` is proof of AVX2 (so in all that follow).
        unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
    }

    #[inline(always)]
    fn nibbles(self, bytes: &[u8; 16]) -> __m256i {
        // SAFETY: 16 readable bytes.
        unsafe {
            let packed = _mm_loadu_si128(bytes.as_ptr().cast());
            let both = _mm256_set_m128i(_mm_srli_epi16::<4>(packed), packed);
            _mm256_and_si256(both, _mm256_set1_epi8(15))
        }
    }

    #[inline(always)]
    fn bits(self, bits: u32) -> __m256i {
        // SAFETY: registers only.
        unsafe {
            let byte_of =
                _mm256_setr_epi64x(0, 0x0101_0101_0101_0101, 0x0202_0202_0202_0202, 0x0303_0303_0303_0303);
            let spread = _mm256_shuffle_epi8(_mm256_set1_epi32(bits as i32), byte_of);
            let bit = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64 as i64);
            let set = _mm256_cmpeq_epi8(_mm256_and_si256(spread, bit), bit);
            _mm256_and_si256(set, _mm256_set1_epi8(1))
        }
    }

    #[inline(always)]
    fn shift_and(self, v: __m256i, n: u32, mask: u8) -> __m256i {
        // SAFETY: registers only.
        unsafe {
            let shifted = _mm256_srl_epi16(v, _mm_cvtsi32_si128(n as i32));
            _mm256_and_si256(shifted, _mm256_set1_epi8(mask as i8))
        }
    }

    #[inline(always)]
    fn add_shifted(self, v: __m256i, w: __m256i, n: u32) -> __m256i {
        // SAFETY: registers only.
        unsafe { _mm256_add_epi8(v, _mm256_sll_epi16(w, _mm_cvtsi32_si128(n as i32))) }
    }

    #[inline(always)]
    fn sub(self, v: __m256i, n: u8) -> __m256i {
        // SAFETY: registers only.
        unsafe { _mm256_sub_epi8(v, _mm256_set1_epi8(n as i8)) }
    }

    #[inline(always)]
    fn widen(self, v: __m256i, part: usize) -> __m256 {
        // SAFETY: registers only.
        unsafe {
            let half = if part < 2 { _mm256_castsi256_si128(v) } else { _mm256_extracti128_si256::<1>(v) };
            let eight = if part.is_multiple_of(2) { half } else { _mm_srli_si128::<8>(half) };
            _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(eight))
        }
    }

    /// Assembly, because the compiler inserts the 16 bits into whatever register is at hand, an accumulator
    /// for one, and so chains every block to the one before.
    #[inline(always)]
    fn half(self, bits: u16) -> f32 {
        let value: __m128;
        // SAFETY: converts a register; `self` is proof of F16C.
        unsafe {
            asm!("vmovd {value}, {bits:e}", "vcvtph2ps {value}, {value}",
                value = out(xmm_reg) value, bits = in(reg) u32::from(bits),
                options(pure, nomem, nostack, preserves_flags));
            _mm_cvtss_f32(value)
        }
    }

    #[inline(always)]
    fn load_f32(self, bytes: &[u8; 32]) -> __m256 {
        // SAFETY: 32 readable bytes.
        unsafe { _mm256_loadu_ps(bytes.as_ptr().cast()) }
    }

    #[inline(always)]
    fn load_f16(self, bytes: &[u8; 16]) -> __m256 {
        // SAFETY: 16 readable bytes.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(bytes.as_ptr().cast())) }
    }

    #[inline(always)]
    fn load_bf16(self, bytes: &[u8; 16]) -> __m256 {
        // SAFETY: 16 readable bytes.
        unsafe {
            let bits = _mm256_cvtepu16_epi32(_mm_loadu_si128(bytes.as_ptr().cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(bits))
        }
    }

    #[inline(always)]
    fn store_f16(self, v: __m256, bytes: &mut [u8; 16]) {
        // SAFETY: 16 writable bytes.
        unsafe {
            _mm_storeu_si128(bytes.as_mut_ptr().cast(), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v))
        }
    }

    #[inline(always)]
    fn store(self, v: __m256, out: &mut [f32; 8]) {
        // SAFETY: 8 writable elements.
        unsafe { _mm256_storeu_ps(out.as_mut_ptr(), v) }
    }

    #[inline(always)]
    fn store_transposed(self, v: [__m256; 8], out: &mut [f32], stride: usize) {
        assert!(out.len() >= 7 * stride + 8, "8 lanes at stride {stride}");
        // SAFETY: the assertion covers the last of the 8 stores.
        unsafe {
            let pairs = |a, b| (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
            let quads = |a, b| (_mm256_shuffle_ps::<0x44>(a, b), _mm256_shuffle_ps::<0xee>(a, b));
            let ((a0, a1), (b0, b1)) = (pairs(v[0], v[1]), pairs(v[2], v[3]));
            let ((c0, c1), (d0, d1)) = (pairs(v[4], v[5]), pairs(v[6], v[7]));
            let ((l0, l1), (l2, l3)) = (quads(a0, b0), quads(a1, b1));
            let ((h0, h1), (h2, h3)) = (quads(c0, d0), quads(c1, d1));
            let to = out.as_mut_ptr();
            for (l, (low, high)) in [(l0, h0), (l1, h1), (l2, h2), (l3, h3)].into_iter().enumerate() {
                _mm256_storeu_ps(to.add(l * stride), _mm256_permute2f128_ps::<0x20>(low, high));
                _mm256_storeu_ps(to.add((l + 4) * stride), _mm256_permute2f128_ps::<0x31>(low, high));
            }
        }
    }

    #[inline(always)]
    fn scale(self, v: __m256, scale: f32) -> __m256 {
        // SAFETY: registers only.
        unsafe { _mm256_mul_ps(v, _mm256_set1_ps(scale)) }
    }

    #[inline(always)]
    fn scale_min(self, v: __m256, scale: f32, min: f32) -> __m256 {
        // SAFETY: registers only.
        unsafe { _mm256_add_ps(_mm256_mul_ps(v, _mm256_set1_ps(scale)), _mm256_set1_ps(min)) }
    }

    #[inline(always)]
    fn dot(self, w: __m256i, x: &[i8; 32], signed: bool) -> __m256 {
        // SAFETY: 32 readable bytes. Pairs of products stay below 2 · 128 · 127 = 32,512: no saturation.
        unsafe {
            let x = _mm256_loadu_si256(x.as_ptr().cast());
            let pairs = if signed {
                _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w))
            } else {
                _mm256_maddubs_epi16(w, x)
            };
            _mm256_cvtepi32_ps(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
    }

    #[inline(always)]
    fn splat(self, value: f32) -> __m256 {
        // SAFETY: registers only.
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    fn halves(self, low: f32, high: f32) -> __m256 {
        // SAFETY: registers only.
        unsafe { _mm256_set_m128(_mm_set1_ps(high), _mm_set1_ps(low)) }
    }

    #[inline(always)]
    fn fma(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: registers only.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: registers only.
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: registers only.
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    fn sum(self, v: __m256) -> f32 {
        // SAFETY: registers only.
        unsafe {
            let four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }

    #[inline(always)]
    unsafe fn tile(self, tile: Tile) {
        // SAFETY: passed on to the caller; `wide` is proof of AVX-512F.
        unsafe {
            if self.wide {
                return avx512::tile(tile);
            }
            match tile.rows {
                1 => tile.run::<__m256, 1, 2>(),
                2 => tile.run::<__m256, 2, 2>(),
                3 => tile.run::<__m256, 3, 2>(),
                4 => tile.run::<__m256, 4, 2>(),
                5 => tile.run::<__m256, 5, 2>(),
                _ => tile.run::<__m256, 6, 2>(),
            }
        }
    }
}

impl Vector for __m256 {
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: the caller is on a machine with AVX2 (so in all that follow).
        unsafe { _mm256_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: as above.
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller vouches for the pointer.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller vouches for the pointer.
        unsafe { _mm256_storeu_ps(to, self) }
    }

    #[inline(always)]
    unsafe fn load_part(from: *const f32, n: usize) -> Self {
        // SAFETY: masked lanes are not read.
        unsafe { _mm256_maskload_ps(from, lanes_below(n)) }
    }

    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, n: usize) {
        // SAFETY: masked lanes are not written.
        unsafe { _mm256_maskstore_ps(to, lanes_below(n), self) }
    }

    #[inline(always)]
    unsafe fn fma(self, b: Self, c: Self) -> Self {
        // SAFETY: registers only.
        unsafe { _mm256_fmadd_ps(self, b, c) }
    }

    #[inline(always)]
    unsafe fn mul(self, b: Self) -> Self {
        // SAFETY: registers only.
        unsafe { _mm256_mul_ps(self, b) }
    }

    #[inline(always)]
    unsafe fn add(self, b: Self) -> Self {
        // SAFETY: registers only.
        unsafe { _mm256_add_ps(self, b) }
    }
}

/// All ones in the first `n` of 8 lanes.
#[inline(always)]
unsafe fn lanes_below(n: usize) -> __m256i {
    // SAFETY: the caller is on a machine with AVX2.
    unsafe { _mm256_cmpgt_epi32(_mm256_set1_epi32(n as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)) }
}
