//! Types whose elements stand alone: single, half and brain floats.

use super::super::arch::Arch;
use super::{Float, Half, half};

pub(in crate::kernels) struct F32;
pub(in crate::kernels) struct F16;
pub(in crate::kernels) struct BF16;

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
