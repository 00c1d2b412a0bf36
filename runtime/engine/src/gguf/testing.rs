//! Helpers of this module's tests.

use super::TensorType;

/// Arbitrary but repeatable bytes of the right length for a tensor.
pub(super) fn blocks(name: &str, ty: TensorType, dims: &[u64]) -> Vec<u8> {
    let (per_block, bytes) = ty.block().unwrap();
    let length = dims.iter().product::<u64>() as usize / per_block * bytes;
    name.bytes().cycle().zip(0..length).map(|(c, i)| c.wrapping_mul(31).wrapping_add(i as u8)).collect()
}
