//! The K types: a block is 256 weights in eight groups, whose scales are quantised themselves.

use super::super::arch::Arch;
use super::{Half, Quant, Scales, half, put_bits};
use bytemuck::{Pod, Zeroable};

#[allow(non_camel_case_types)]
pub(in crate::kernels) struct Q2_K;
#[allow(non_camel_case_types)]
pub(in crate::kernels) struct Q3_K;
#[allow(non_camel_case_types)]
pub(in crate::kernels) struct Q4_K;
#[allow(non_camel_case_types)]
pub(in crate::kernels) struct Q5_K;
#[allow(non_camel_case_types)]
pub(in crate::kernels) struct Q6_K;

/// Byte h of `scales`: scale (low nibble) and minimum (high nibble) of half group h. Group g: bits 2·(g%4)
/// of the 32 bytes from 32·(g/4).
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(in crate::kernels) struct BlockQ2K {
    scales: [u8; 16],
    pairs: [[u8; 32]; 2],
    scale: Half,
    min: Half,
}

/// Low two bits as in Q2_K; bit 2 is bit g of byte e of `high`; minus 4. Scales have 6 bits, minus 32: low
/// nibbles in the first 8 bytes, high pairs in the last 4.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(in crate::kernels) struct BlockQ3K {
    high: [u8; 32],
    pairs: [[u8; 32]; 2],
    scales: [u8; 12],
    scale: Half,
}

/// Group g: nibble g%2 of the 32 bytes from 32·(g/2).
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(in crate::kernels) struct BlockQ4K {
    scale: Half,
    min: Half,
    scales: [u8; 12],
    nibbles: [[u8; 32]; 4],
}

/// As Q4_K, with bit 4 of group g at bit g of byte e of `high`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(in crate::kernels) struct BlockQ5K {
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
pub(in crate::kernels) struct BlockQ6K {
    nibbles: [[u8; 32]; 4],
    high: [[u8; 32]; 2],
    scales: [i8; 16],
    scale: Half,
}

impl Quant for Q2_K {
    type Block = BlockQ2K;
    const GROUPS: usize = 8;
    const HALVES: bool = true;
    const MINS: bool = true;
    const SIGNED: bool = false;
    const RANGE: (i8, i8) = (0, 3);

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

    fn put(block: &mut Self::Block, g: usize, quants: &[i8; 32]) {
        put_bits(&mut block.pairs[g / 4], (2 * (g as u32 % 4), 3), quants, 0, 0);
    }
}

impl Quant for Q3_K {
    type Block = BlockQ3K;
    const GROUPS: usize = 8;
    const HALVES: bool = true;
    const SIGNED: bool = true;
    const RANGE: (i8, i8) = (-4, 3);

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

    fn put(block: &mut Self::Block, g: usize, quants: &[i8; 32]) {
        put_bits(&mut block.pairs[g / 4], (2 * (g as u32 % 4), 3), quants, -4, 0);
        put_bits(&mut block.high, (g as u32, 1), quants, -4, 2);
    }
}

impl Quant for Q4_K {
    type Block = BlockQ4K;
    const GROUPS: usize = 8;
    const MINS: bool = true;
    const SIGNED: bool = false;
    const RANGE: (i8, i8) = (0, 15);

    #[inline(always)]
    fn scales<A: Arch>(arch: A, block: &Self::Block) -> Scales {
        six_bit_scales(half(arch, block.scale), half(arch, block.min), &block.scales)
    }

    #[inline(always)]
    fn quants<A: Arch>(arch: A, block: &Self::Block, g: usize) -> A::Bytes {
        arch.shift_and(arch.load(&block.nibbles[g / 2]), 4 * (g as u32 % 2), 15)
    }

    fn put(block: &mut Self::Block, g: usize, quants: &[i8; 32]) {
        put_bits(&mut block.nibbles[g / 2], (4 * (g as u32 % 2), 15), quants, 0, 0);
    }
}

impl Quant for Q5_K {
    type Block = BlockQ5K;
    const GROUPS: usize = 8;
    const MINS: bool = true;
    const SIGNED: bool = false;
    const RANGE: (i8, i8) = (0, 31);

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

    fn put(block: &mut Self::Block, g: usize, quants: &[i8; 32]) {
        put_bits(&mut block.nibbles[g / 2], (4 * (g as u32 % 2), 15), quants, 0, 0);
        put_bits(&mut block.high, (g as u32, 1), quants, 0, 4);
    }
}

impl Quant for Q6_K {
    type Block = BlockQ6K;
    const GROUPS: usize = 8;
    const HALVES: bool = true;
    const SIGNED: bool = true;
    const RANGE: (i8, i8) = (-32, 31);

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

    fn put(block: &mut Self::Block, g: usize, quants: &[i8; 32]) {
        let (n, j) = (g / 4, g as u32 % 4);
        put_bits(&mut block.nibbles[2 * n + j as usize % 2], (4 * (j / 2), 15), quants, -32, 0);
        put_bits(&mut block.high[n], (2 * j, 3), quants, -32, 4);
    }
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
