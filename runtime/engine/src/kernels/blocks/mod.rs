//! The quantised blocks of GGUF: how the bytes of each lie, and how to take them apart.
//!
//! Every type is reduced to one form. A block is groups of 32 weights; a group is 32 small integers q
//! with a scale (one for all, or one for each half) and, in some types, a minimum: w = scale · q + min.
//! Dequantising, packing and the integer dot product are written once over that form.

mod float;
mod groups;
mod super_blocks;

pub(super) use float::{BF16, F16, F32};
pub(super) use groups::{Q4_0, Q4_1, Q5_0, Q5_1, Q8_0};
pub(super) use super_blocks::{Q2_K, Q3_K, Q4_K, Q5_K, Q6_K};

use super::arch::Arch;
use bytemuck::Pod;

/// A quantised type.
pub(super) trait Quant {
    /// The bytes of one block.
    type Block: Pod;
    /// Groups of 32 weights in a block.
    const GROUPS: usize;
    /// Whether the integers of one group have two scales, for its first and its last 16.
    const HALVES: bool = false;
    /// Whether there is a minimum.
    const MINS: bool = false;
    /// Whether the integers may be negative.
    const SIGNED: bool;
    /// The smallest and the largest of the integers.
    const RANGE: (i8, i8);

    /// Scales and minima of the block, by group or by half group ([`scale_index`]).
    fn scales<A: Arch>(arch: A, block: &Self::Block) -> Scales;
    /// The 32 integers of group `g`.
    fn quants<A: Arch>(arch: A, block: &Self::Block, g: usize) -> A::Bytes;
    /// Has group `g` hold other integers, all in [`RANGE`](Self::RANGE); scales and minima stay.
    fn put(block: &mut Self::Block, g: usize, quants: &[i8; 32]);
}

/// Scales and minima of a block; types with fewer leave the rest 0.
pub(super) struct Scales {
    pub scale: [f32; 16],
    pub min: [f32; 16],
}

/// Where the scale of part `half` (0 or 1) of group `g` stands.
#[inline(always)]
pub(super) fn scale_index<Q: Quant>(g: usize, half: usize) -> usize {
    if Q::HALVES { 2 * g + half } else { g }
}

/// A type whose elements stand alone.
pub(super) trait Float {
    /// Bytes of an element.
    const BYTES: usize;

    /// Eight elements.
    fn eight<A: Arch>(arch: A, bytes: &[u8]) -> A::Floats;
    /// One element.
    fn one<A: Arch>(arch: A, bytes: &[u8]) -> f32;
}

/// Evaluates `$quant` with `$Q` standing for the quantised type `$ty`, or `$float` with the plain one.
macro_rules! with_type {
    ($ty:expr, $Q:ident => $quant:expr, $float:expr) => {{
        use $crate::gguf::TensorType as T;
        use $crate::kernels::blocks as b;
        macro_rules! arm {
            ($name:ident, $body:expr) => {{
                type $Q = b::$name;
                $body
            }};
        }
        match $ty {
            T::F32 => arm!(F32, $float),
            T::F16 => arm!(F16, $float),
            T::BF16 => arm!(BF16, $float),
            T::Q4_0 => arm!(Q4_0, $quant),
            T::Q4_1 => arm!(Q4_1, $quant),
            T::Q5_0 => arm!(Q5_0, $quant),
            T::Q5_1 => arm!(Q5_1, $quant),
            T::Q8_0 => arm!(Q8_0, $quant),
            T::Q2_K => arm!(Q2_K, $quant),
            T::Q3_K => arm!(Q3_K, $quant),
            T::Q4_K => arm!(Q4_K, $quant),
            T::Q5_K => arm!(Q5_K, $quant),
            T::Q6_K => arm!(Q6_K, $quant),
            T::Unknown(_) => unreachable!("Matrix::new refuses unknown types"),
        }
    }};
}
pub(super) use with_type;

/// A little-endian half float.
type Half = [u8; 2];

#[inline(always)]
fn half<A: Arch>(arch: A, bits: Half) -> f32 {
    arch.half(u16::from_le_bytes(bits))
}

/// 32 nibbles in 16 bytes: of values 0 to 15 above `lowest`, the first 16 low.
fn nibbles(quants: &[i8; 32], lowest: i8) -> [u8; 16] {
    let above = |e: usize| quants[e].wrapping_sub(lowest) as u8 & 15;
    std::array::from_fn(|e| above(e) | above(e + 16) << 4)
}

/// Bit e is bit `n` of value e above `lowest`.
fn bits(quants: &[i8; 32], lowest: i8, n: u32) -> u32 {
    (0..32).fold(0, |word, e| word | u32::from(quants[e].wrapping_sub(lowest) as u8 >> n & 1) << e)
}

/// Has bits `mask << shift` of each byte be bits `mask << from` of the value above `lowest`.
fn put_bits(bytes: &mut [u8; 32], (shift, mask): (u32, u8), quants: &[i8; 32], lowest: i8, from: u32) {
    for (byte, q) in bytes.iter_mut().zip(quants) {
        let value = q.wrapping_sub(lowest) as u8 >> from & mask;
        *byte = *byte & !(mask << shift) | value << shift;
    }
}

#[inline(always)]
fn one_scale(scale: f32, min: f32) -> Scales {
    let mut all = Scales { scale: [0.0; 16], min: [0.0; 16] };
    (all.scale[0], all.min[0]) = (scale, min);
    all
}
