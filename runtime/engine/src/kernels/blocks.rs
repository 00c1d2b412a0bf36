//! The quantised blocks of GGUF: how the bytes of each lie, and how to take them apart.
//!
//! Every type is reduced to one form. A block is groups of 32 weights; a group is 32 small integers q
//! with a scale (one for all, or one for each half) and, in some types, a minimum: w = scale · q + min.
//! Dequantising, packing and the integer dot product are written once over that form.

use bytemuck::{Pod, Zeroable};

use super::arch::Arch;

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

    /// Scales and minima of the block, by group or by half group ([`scale_index`]).
    fn scales<A: Arch>(arch: A, block: &Self::Block) -> Scales;
    /// The 32 integers of group `g`.
    fn quants<A: Arch>(arch: A, block: &Self::Block, g: usize) -> A::Bytes;
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

/// Element e is nibble e/16 of byte e%16, minus 8.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct BlockQ4_0 {
    scale: Half,
    nibbles: [u8; 16],
}

/// As Q4_0, unsigned with a minimum.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct BlockQ4_1 {
    scale: Half,
    min: Half,
    nibbles: [u8; 16],
}

/// As Q4_0, with bit 4 of element e at bit e of `high`, minus 16.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct BlockQ5_0 {
    scale: Half,
    high: [u8; 4],
    nibbles: [u8; 16],
}

/// As Q5_0, unsigned with a minimum.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct BlockQ5_1 {
    scale: Half,
    min: Half,
    high: [u8; 4],
    nibbles: [u8; 16],
}

/// Plain signed bytes.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct BlockQ8_0 {
    scale: Half,
    bytes: [u8; 32],
}

/// Byte h of `scales`: scale (low nibble) and minimum (high nibble) of half group h. Group g: bits 2·(g%4)
/// of the 32 bytes from 32·(g/4).
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct BlockQ2K {
    scales: [u8; 16],
    pairs: [[u8; 32]; 2],
    scale: Half,
    min: Half,
}

/// Low two bits as in Q2_K; bit 2 is bit g of byte e of `high`; minus 4. Scales have 6 bits, minus 32: low
/// nibbles in the first 8 bytes, high pairs in the last 4.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct BlockQ3K {
    high: [u8; 32],
    pairs: [[u8; 32]; 2],
    scales: [u8; 12],
    scale: Half,
}

/// Group g: nibble g%2 of the 32 bytes from 32·(g/2).
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct BlockQ4K {
    scale: Half,
    min: Half,
    scales: [u8; 12],
    nibbles: [[u8; 32]; 4],
}

/// As Q4_K, with bit 4 of group g at bit g of byte e of `high`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct BlockQ5K {
    scale: Half,
    min: Half,
    scales: [u8; 12],
    high: [u8; 32],
    nibbles: [[u8; 32]; 4],
}

/// Group g, with n = g/4 and j = g%4: nibble j/2 of the 32 bytes from 64·n + 32·(j%2), and above it bits 2·j
/// of the 32 bytes of `high` from 32·n; minus 32. Byte h of `scales` is the signed scale of half group h.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct BlockQ6K {
    nibbles: [[u8; 32]; 4],
    high: [[u8; 32]; 2],
    scales: [i8; 16],
    scale: Half,
}

macro_rules! types {
    ($($name:ident),*) => { $(#[allow(non_camel_case_types)] pub(super) struct $name;)* };
}
types!(F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K);

impl Float for F32 {
    const BYTES: usize = 4;

    #[inline(always)]
    fn eight<A: Arch>(arch: A, bytes: &[u8]) -> A::Floats {
        arch.load_f32(bytemuck::from_bytes(bytes))
    }

    #[inline(always)]
    fn one<A: Arch>(_: A, bytes: &[u8]) -> f32 {
        f32::from_le_bytes(*bytemuck::from_bytes(bytes))
    }
}

impl Float for F16 {
    const BYTES: usize = 2;

    #[inline(always)]
    fn eight<A: Arch>(arch: A, bytes: &[u8]) -> A::Floats {
        arch.load_f16(bytemuck::from_bytes(bytes))
    }

    #[inline(always)]
    fn one<A: Arch>(arch: A, bytes: &[u8]) -> f32 {
        half(arch, *bytemuck::from_bytes(bytes))
    }
}

impl Float for BF16 {
    const BYTES: usize = 2;

    #[inline(always)]
    fn eight<A: Arch>(arch: A, bytes: &[u8]) -> A::Floats {
        arch.load_bf16(bytemuck::from_bytes(bytes))
    }

    #[inline(always)]
    fn one<A: Arch>(_: A, bytes: &[u8]) -> f32 {
        f32::from_bits(u32::from(u16::from_le_bytes(*bytemuck::from_bytes::<Half>(bytes))) << 16)
    }
}

impl Quant for Q4_0 {
    type Block = BlockQ4_0;
    const GROUPS: usize = 1;
    const SIGNED: bool = true;

    #[inline(always)]
    fn scales<A: Arch>(arch: A, block: &Self::Block) -> Scales {
        one_scale(half(arch, block.scale), 0.0)
    }

    #[inline(always)]
    fn quants<A: Arch>(arch: A, block: &Self::Block, _: usize) -> A::Bytes {
        arch.sub(arch.nibbles(&block.nibbles), 8)
    }
}

impl Quant for Q4_1 {
    type Block = BlockQ4_1;
    const GROUPS: usize = 1;
    const MINS: bool = true;
    const SIGNED: bool = false;

    #[inline(always)]
    fn scales<A: Arch>(arch: A, block: &Self::Block) -> Scales {
        one_scale(half(arch, block.scale), half(arch, block.min))
    }

    #[inline(always)]
    fn quants<A: Arch>(arch: A, block: &Self::Block, _: usize) -> A::Bytes {
        arch.nibbles(&block.nibbles)
    }
}

impl Quant for Q5_0 {
    type Block = BlockQ5_0;
    const GROUPS: usize = 1;
    const SIGNED: bool = true;

    #[inline(always)]
    fn scales<A: Arch>(arch: A, block: &Self::Block) -> Scales {
        one_scale(half(arch, block.scale), 0.0)
    }

    #[inline(always)]
    fn quants<A: Arch>(arch: A, block: &Self::Block, _: usize) -> A::Bytes {
        let high = arch.bits(u32::from_le_bytes(block.high));
        arch.sub(arch.add_shifted(arch.nibbles(&block.nibbles), high, 4), 16)
    }
}

impl Quant for Q5_1 {
    type Block = BlockQ5_1;
    const GROUPS: usize = 1;
    const MINS: bool = true;
    const SIGNED: bool = false;

    #[inline(always)]
    fn scales<A: Arch>(arch: A, block: &Self::Block) -> Scales {
        one_scale(half(arch, block.scale), half(arch, block.min))
    }

    #[inline(always)]
    fn quants<A: Arch>(arch: A, block: &Self::Block, _: usize) -> A::Bytes {
        let high = arch.bits(u32::from_le_bytes(block.high));
        arch.add_shifted(arch.nibbles(&block.nibbles), high, 4)
    }
}

impl Quant for Q8_0 {
    type Block = BlockQ8_0;
    const GROUPS: usize = 1;
    const SIGNED: bool = true;

    #[inline(always)]
    fn scales<A: Arch>(arch: A, block: &Self::Block) -> Scales {
        one_scale(half(arch, block.scale), 0.0)
    }

    #[inline(always)]
    fn quants<A: Arch>(arch: A, block: &Self::Block, _: usize) -> A::Bytes {
        arch.load(&block.bytes)
    }
}

impl Quant for Q2_K {
    type Block = BlockQ2K;
    const GROUPS: usize = 8;
    const HALVES: bool = true;
    const MINS: bool = true;
    const SIGNED: bool = false;

    #[inline(always)]
    fn scales<A: Arch>(arch: A, block: &Self::Block) -> Scales {
        let (scale, min) = (half(arch, block.scale), half(arch, block.min));
        Scales {
            scale: block.scales.map(|s| scale * f32::from(s & 15)),
            min: block.scales.map(|s| -(min * f32::from(s >> 4))),
        }
    }

    #[inline(always)]
    fn quants<A: Arch>(arch: A, block: &Self::Block, g: usize) -> A::Bytes {
        arch.shift_and(arch.load(&block.pairs[g / 4]), 2 * (g as u32 % 4), 3)
    }
}

impl Quant for Q3_K {
    type Block = BlockQ3K;
    const GROUPS: usize = 8;
    const HALVES: bool = true;
    const SIGNED: bool = true;

    #[inline(always)]
    fn scales<A: Arch>(arch: A, block: &Self::Block) -> Scales {
        let scale = half(arch, block.scale);
        let bits = |h: usize| {
            let low = block.scales[h % 8] >> (4 * (h / 8)) & 15;
            let high = block.scales[8 + h % 4] >> (2 * (h / 4)) & 3;
            i16::from(high << 4 | low) - 32
        };
        Scales { scale: std::array::from_fn(|h| scale * f32::from(bits(h))), min: [0.0; 16] }
    }

    #[inline(always)]
    fn quants<A: Arch>(arch: A, block: &Self::Block, g: usize) -> A::Bytes {
        let low = arch.shift_and(arch.load(&block.pairs[g / 4]), 2 * (g as u32 % 4), 3);
        let high = arch.shift_and(arch.load(&block.high), g as u32, 1);
        arch.sub(arch.add_shifted(low, high, 2), 4)
    }
}

impl Quant for Q4_K {
    type Block = BlockQ4K;
    const GROUPS: usize = 8;
    const MINS: bool = true;
    const SIGNED: bool = false;

    #[inline(always)]
    fn scales<A: Arch>(arch: A, block: &Self::Block) -> Scales {
        six_bit_scales(half(arch, block.scale), half(arch, block.min), &block.scales)
    }

    #[inline(always)]
    fn quants<A: Arch>(arch: A, block: &Self::Block, g: usize) -> A::Bytes {
        arch.shift_and(arch.load(&block.nibbles[g / 2]), 4 * (g as u32 % 2), 15)
    }
}

impl Quant for Q5_K {
    type Block = BlockQ5K;
    const GROUPS: usize = 8;
    const MINS: bool = true;
    const SIGNED: bool = false;

    #[inline(always)]
    fn scales<A: Arch>(arch: A, block: &Self::Block) -> Scales {
        six_bit_scales(half(arch, block.scale), half(arch, block.min), &block.scales)
    }

    #[inline(always)]
    fn quants<A: Arch>(arch: A, block: &Self::Block, g: usize) -> A::Bytes {
        let low = arch.shift_and(arch.load(&block.nibbles[g / 2]), 4 * (g as u32 % 2), 15);
        let high = arch.shift_and(arch.load(&block.high), g as u32, 1);
        arch.add_shifted(low, high, 4)
    }
}

impl Quant for Q6_K {
    type Block = BlockQ6K;
    const GROUPS: usize = 8;
    const HALVES: bool = true;
    const SIGNED: bool = true;

    #[inline(always)]
    fn scales<A: Arch>(arch: A, block: &Self::Block) -> Scales {
        let scale = half(arch, block.scale);
        Scales { scale: block.scales.map(|s| scale * f32::from(s)), min: [0.0; 16] }
    }

    #[inline(always)]
    fn quants<A: Arch>(arch: A, block: &Self::Block, g: usize) -> A::Bytes {
        let (n, j) = (g / 4, g % 4);
        let low = arch.shift_and(arch.load(&block.nibbles[2 * n + j % 2]), 4 * (j as u32 / 2), 15);
        let high = arch.shift_and(arch.load(&block.high[n]), 2 * j as u32, 3);
        arch.sub(arch.add_shifted(low, high, 4), 32)
    }
}

#[inline(always)]
fn half<A: Arch>(arch: A, bits: Half) -> f32 {
    arch.half(u16::from_le_bytes(bits))
}

#[inline(always)]
fn one_scale(scale: f32, min: f32) -> Scales {
    let mut all = Scales { scale: [0.0; 16], min: [0.0; 16] };
    (all.scale[0], all.min[0]) = (scale, min);
    all
}

/// Q4_K and Q5_K: 8 scales and 8 minima of 6 bits in 12 bytes. Those of groups 0..4 are the low 6 bits of
/// bytes 0..4 and 4..8; those of groups 4..8 have their low nibbles in bytes 8..12 and their high pairs in
/// the top bits of bytes 0..8.
#[inline(always)]
fn six_bit_scales(scale: f32, min: f32, packed: &[u8; 12]) -> Scales {
    let word = |i: usize| u32::from_le_bytes([packed[i], packed[i + 1], packed[i + 2], packed[i + 3]]);
    let (a, b, c) = (word(0), word(4), word(8));
    const LOW6: u32 = 0x3f3f_3f3f;
    const LOW4: u32 = 0x0f0f_0f0f;
    const TOP2: u32 = 0x3030_3030;
    let scales = [a & LOW6, c & LOW4 | a >> 2 & TOP2];
    let mins = [b & LOW6, c >> 4 & LOW4 | b >> 2 & TOP2];
    let byte = |words: [u32; 2], g: usize| f32::from((words[g / 4] >> (8 * (g % 4))) as u8);
    let mut all = Scales { scale: [0.0; 16], min: [0.0; 16] };
    for g in 0..8 {
        all.scale[g] = scale * byte(scales, g);
        all.min[g] = -(min * byte(mins, g));
    }
    all
}
