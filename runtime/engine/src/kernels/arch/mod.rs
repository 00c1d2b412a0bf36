//! The few vector operations that differ between instruction sets, behind one trait.
//!
//! Decoders, packing and drivers are written once over [`Arch`] in safe Rust. A value of a type that
//! implements it is proof that the machine has the instructions, so its methods are safe to call; they
//! inline into [`dispatch`]'s entry function, which is compiled with those instructions switched on.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "aarch64")]
mod neon_tile;
mod scalar;
mod tile;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(target_arch = "aarch64")]
pub(super) use neon::{Neon, NeonDotprod};
pub(super) use scalar::Scalar;
pub(crate) use tile::Tile;
pub(super) use tile::Vector;
#[cfg(target_arch = "x86_64")]
pub(super) use x86::Avx2;

use super::Isa;

/// Work that is written once and compiled for every instruction set.
pub(crate) trait Kernel {
    type Output;

    /// Must be `#[inline(always)]`, like all it calls with `arch`: what is not inlined into the entry
    /// function is compiled without the vector instructions.
    fn run<A: Arch>(self, arch: A) -> Self::Output;
}

/// Runs `kernel` with the instructions of `isa`, or the scalar ones where the machine lacks them.
#[cfg_attr(
    not(any(target_arch = "x86_64", target_arch = "aarch64")),
    allow(unused_variables, reason = "32-bit boards have the scalar ones alone")
)]
pub(crate) fn dispatch<K: Kernel>(isa: Isa, kernel: K) -> K::Output {
    #[cfg(test)]
    DISPATCHED.with_borrow_mut(|seen| seen.insert(isa));
    #[cfg(target_arch = "x86_64")]
    {
        let found = match isa {
            Isa::Avx2 => Avx2::new(),
            Isa::Avx512 => Avx2::wide(),
            _ => None,
        };
        if let Some(arch) = found {
            return arch.enter(kernel);
        }
    }
    #[cfg(target_arch = "aarch64")]
    {
        if isa == Isa::NeonDotprod
            && let Some(arch) = NeonDotprod::new()
        {
            return arch.enter(kernel);
        }
        if matches!(isa, Isa::Neon | Isa::NeonDotprod) {
            return alone(kernel, Neon);
        }
    }
    alone(kernel, Scalar)
}

/// Runs `kernel` in a function of its own, of which the program has one: all of a kernel is inlined where it runs.
#[inline(never)]
fn alone<K: Kernel, A: Arch>(kernel: K, arch: A) -> K::Output {
    kernel.run(arch)
}

#[cfg(test)]
thread_local! {
    /// What [`dispatch`] was asked for on this thread.
    pub(crate) static DISPATCHED: std::cell::RefCell<std::collections::HashSet<Isa>> = Default::default();
}

/// An instruction set.
///
/// `Bytes` are 32 8-bit integers: the unit in which every quantised type is decoded. `Floats` are 8 f32.
pub(crate) trait Arch: Copy + Send + Sync + 'static {
    type Bytes: Copy;
    type Floats: Copy;

    /// Weight rows interleaved in one packed strip: 8 or 16.
    const STRIP: usize;

    fn load(self, bytes: &[u8; 32]) -> Self::Bytes;
    /// Low nibbles of the 16 bytes, then their high nibbles.
    fn nibbles(self, bytes: &[u8; 16]) -> Self::Bytes;
    /// Byte e is bit e of `bits`.
    fn bits(self, bits: u32) -> Self::Bytes;
    /// (v >> n) & mask in each byte; `n` < 8, and `mask` clears what the shift brings in from a neighbour.
    fn shift_and(self, v: Self::Bytes, n: u32, mask: u8) -> Self::Bytes;
    /// v + (w << n) in each byte, which must not overflow; `n` < 8.
    fn add_shifted(self, v: Self::Bytes, w: Self::Bytes, n: u32) -> Self::Bytes;
    /// v - n in each byte.
    fn sub(self, v: Self::Bytes, n: u8) -> Self::Bytes;
    /// Bytes 8·part .. 8·part + 8 as signed integers, in f32.
    fn widen(self, v: Self::Bytes, part: usize) -> Self::Floats;

    /// f32 of half-precision bits.
    fn half(self, bits: u16) -> f32;
    fn load_f32(self, bytes: &[u8; 32]) -> Self::Floats;
    fn load_f16(self, bytes: &[u8; 16]) -> Self::Floats;
    fn load_bf16(self, bytes: &[u8; 16]) -> Self::Floats;
    /// Rounded to nearest, ties to even.
    fn store_f16(self, v: Self::Floats, bytes: &mut [u8; 16]);
    fn store(self, v: Self::Floats, out: &mut [f32; 8]);
    /// Lane l of `v[r]` to `out[l * stride + r]`.
    fn store_transposed(self, v: [Self::Floats; 8], out: &mut [f32], stride: usize);
    /// v · scale
    fn scale(self, v: Self::Floats, scale: f32) -> Self::Floats;
    /// v · scale + min, rounded twice.
    fn scale_min(self, v: Self::Floats, scale: f32, min: f32) -> Self::Floats;

    /// Lane l is Σ w[e]·x[e] over the four e from 4·l, exact. Unless `signed`, no byte of `w` is above 127.
    /// No byte of `x` is −128.
    fn dot(self, w: Self::Bytes, x: &[i8; 32], signed: bool) -> Self::Floats;
    fn splat(self, value: f32) -> Self::Floats;
    /// `low` in lanes 0..4, `high` in lanes 4..8.
    fn halves(self, low: f32, high: f32) -> Self::Floats;
    /// a · b + c, rounded once.
    fn fma(self, a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;
    /// a · b
    fn mul(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    fn add(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// ((v0 + v4) + (v2 + v6)) + ((v1 + v5) + (v3 + v7))
    fn sum(self, v: Self::Floats) -> f32;

    /// The product's register tile.
    ///
    /// Rows of the product's register tile.
    fn tile_rows(self) -> usize;

    /// Columns of it: whole strips.
    fn tile_cols(self) -> usize {
        Self::STRIP
    }

    /// # Safety
    /// See [`Tile`].
    unsafe fn tile(self, tile: Tile);
}
