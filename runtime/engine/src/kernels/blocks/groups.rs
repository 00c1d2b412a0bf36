//! The older types: a block is one group of 32 weights.

use super::super::arch::Arch;
use super::{Half, Quant, Scales, bits, half, nibbles, one_scale};
use bytemuck::{Pod, Zeroable};

#[allow(non_camel_case_types)]
pub(in crate::kernels) struct Q4_0;
#[allow(non_camel_case_types)]
pub(in crate::kernels) struct Q4_1;
#[allow(non_camel_case_types)]
pub(in crate::kernels) struct Q5_0;
#[allow(non_camel_case_types)]
pub(in crate::kernels) struct Q5_1;
#[allow(non_camel_case_types)]
pub(in crate::kernels) struct Q8_0;

/// Element e is nibble e/16 of byte e%16, minus 8.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(in crate::kernels) struct BlockQ4_0 {
    scale: Half,
    nibbles: [u8; 16],
}

/// As Q4_0, unsigned with a minimum.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(in crate::kernels) struct BlockQ4_1 {
    scale: Half,
    min: Half,
    nibbles: [u8; 16],
}

/// As Q4_0, with bit 4 of element e at bit e of `high`, minus 16.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(in crate::kernels) struct BlockQ5_0 {
    scale: Half,
    high: [u8; 4],
    nibbles: [u8; 16],
}

/// As Q5_0, unsigned with a minimum.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(in crate::kernels) struct BlockQ5_1 {
    scale: Half,
    min: Half,
    high: [u8; 4],
    nibbles: [u8; 16],
}

/// Plain signed bytes.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(in crate::kernels) struct BlockQ8_0 {
    scale: Half,
    bytes: [u8; 32],
}

impl Quant for Q4_0 {
    type Block = BlockQ4_0;
    const GROUPS: usize = 1;
    const SIGNED: bool = true;
    const RANGE: (i8, i8) = (-8, 7);

    #[inline(always)]
    fn scales<A: Arch>(arch: A, block: &Self::Block) -> Scales {
        one_scale(half(arch, block.scale), 0.0)
    }

    #[inline(always)]
    fn quants<A: Arch>(arch: A, block: &Self::Block, _: usize) -> A::Bytes {
        arch.sub(arch.nibbles(&block.nibbles), 8)
    }

    fn put(block: &mut Self::Block, _: usize, quants: &[i8; 32]) {
        block.nibbles = nibbles(quants, -8);
    }
}

impl Quant for Q4_1 {
    type Block = BlockQ4_1;
    const GROUPS: usize = 1;
    const MINS: bool = true;
    const SIGNED: bool = false;
    const RANGE: (i8, i8) = (0, 15);

    #[inline(always)]
    fn scales<A: Arch>(arch: A, block: &Self::Block) -> Scales {
        one_scale(half(arch, block.scale), half(arch, block.min))
    }

    #[inline(always)]
    fn quants<A: Arch>(arch: A, block: &Self::Block, _: usize) -> A::Bytes {
        arch.nibbles(&block.nibbles)
    }

    fn put(block: &mut Self::Block, _: usize, quants: &[i8; 32]) {
        block.nibbles = nibbles(quants, 0);
    }
}

impl Quant for Q5_0 {
    type Block = BlockQ5_0;
    const GROUPS: usize = 1;
    const SIGNED: bool = true;
    const RANGE: (i8, i8) = (-16, 15);

    #[inline(always)]
    fn scales<A: Arch>(arch: A, block: &Self::Block) -> Scales {
        one_scale(half(arch, block.scale), 0.0)
    }

    #[inline(always)]
    fn quants<A: Arch>(arch: A, block: &Self::Block, _: usize) -> A::Bytes {
        let high = arch.bits(u32::from_le_bytes(block.high));
        arch.sub(arch.add_shifted(arch.nibbles(&block.nibbles), high, 4), 16)
    }

    fn put(block: &mut Self::Block, _: usize, quants: &[i8; 32]) {
        block.high = bits(quants, -16, 4).to_le_bytes();
        block.nibbles = nibbles(quants, -16);
    }
}

impl Quant for Q5_1 {
    type Block = BlockQ5_1;
    const GROUPS: usize = 1;
    const MINS: bool = true;
    const SIGNED: bool = false;
    const RANGE: (i8, i8) = (0, 31);

    #[inline(always)]
    fn scales<A: Arch>(arch: A, block: &Self::Block) -> Scales {
        one_scale(half(arch, block.scale), half(arch, block.min))
    }

    #[inline(always)]
    fn quants<A: Arch>(arch: A, block: &Self::Block, _: usize) -> A::Bytes {
        let high = arch.bits(u32::from_le_bytes(block.high));
        arch.add_shifted(arch.nibbles(&block.nibbles), high, 4)
    }

    fn put(block: &mut Self::Block, _: usize, quants: &[i8; 32]) {
        block.high = bits(quants, 0, 4).to_le_bytes();
        block.nibbles = nibbles(quants, 0);
    }
}

impl Quant for Q8_0 {
    type Block = BlockQ8_0;
    const GROUPS: usize = 1;
    const SIGNED: bool = true;
    const RANGE: (i8, i8) = (-127, 127);

    #[inline(always)]
    fn scales<A: Arch>(arch: A, block: &Self::Block) -> Scales {
        one_scale(half(arch, block.scale), 0.0)
    }

    #[inline(always)]
    fn quants<A: Arch>(arch: A, block: &Self::Block, _: usize) -> A::Bytes {
        arch.load(&block.bytes)
    }

    fn put(block: &mut Self::Block, _: usize, quants: &[i8; 32]) {
        block.bytes = quants.map(|q| q as u8);
    }
}
