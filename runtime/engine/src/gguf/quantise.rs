//! Plain round-to-nearest quantisation of the simple types, and for synthetic models random but sane blocks of the K types.

use super::TensorType;
use super::random::Random;
use half::{bf16, f16};

/// Elements that [`fill`] makes at a time: one K block.
pub(super) const CHUNK: usize = 256;

/// The types that [`quantise`] makes.
pub const MADE_TYPES: [TensorType; 8] = [
    TensorType::F32,
    TensorType::F16,
    TensorType::BF16,
    TensorType::Q8_0,
    TensorType::Q5_1,
    TensorType::Q5_0,
    TensorType::Q4_1,
    TensorType::Q4_0,
];

/// Appends `values` as blocks of `ty` to `out`. The number of values must be whole blocks.
///
/// # Panics
/// On types that are none of [`MADE_TYPES`], and on a part of a block.
pub fn quantise(ty: TensorType, values: &[f32], out: &mut Vec<u8>) {
    let (per_block, _) = ty.block().expect("a type with blocks");
    assert!(values.len().is_multiple_of(per_block), "{} values are no whole {ty} blocks", values.len());
    match ty {
        TensorType::F32 => values.iter().for_each(|v| out.extend(v.to_le_bytes())),
        TensorType::F16 => values.iter().for_each(|&v| out.extend(f16::from_f32(v).to_le_bytes())),
        TensorType::BF16 => values.iter().for_each(|&v| out.extend(bf16::from_f32(v).to_le_bytes())),
        TensorType::Q8_0 => values.chunks_exact(32).for_each(|block| {
            let largest = block.iter().fold(0.0f32, |m, v| m.max(v.abs()));
            let d = f16::from_f32(largest / 127.0);
            out.extend(d.to_le_bytes());
            out.extend(nearest(block, d, 0.0, -127.0, 127.0).map(|q| q as i8 as u8));
        }),
        TensorType::Q4_0 => values.chunks_exact(32).for_each(|b| centred(b, 4, out)),
        TensorType::Q5_0 => values.chunks_exact(32).for_each(|b| centred(b, 5, out)),
        TensorType::Q4_1 => values.chunks_exact(32).for_each(|b| with_minimum(b, 4, out)),
        TensorType::Q5_1 => values.chunks_exact(32).for_each(|b| with_minimum(b, 5, out)),
        other => panic!("no quantiser for {other}"),
    }
}

/// Appends [`CHUNK`] random weights of standard deviation `sigma` as blocks of `ty`.
pub(super) fn fill(ty: TensorType, sigma: f32, random: &mut Random, out: &mut Vec<u8>) {
    // Scales below are chosen so that sqrt(E[w^2]) = sigma for the distribution of scales and quants that
    // random bytes give; each `/ sqrt(a * b)` is E[scale^2] times E[quant^2] about its centre.
    match ty {
        TensorType::Q2_K => {
            // Scale and minimum share a byte; equal nibbles from 8 to 15 and dmin = 1.5 d centre 0..3.
            out.extend((0..16).map(|_| (random.next() as u8 & 7 | 8) * 0x11));
            random.bytes(64, out);
            let d = sigma / (137.5f32 * 1.25).sqrt();
            put_f16(out, d);
            put_f16(out, 1.5 * d);
        }
        TensorType::Q3_K => {
            random.bytes(32 + 64 + 12, out); // high bits, low bits, 6-bit scales around 32
            put_f16(out, sigma / (341.5f32 * 5.5).sqrt());
        }
        TensorType::Q4_K => scaled_with_minimum(sigma, 4, random, out),
        TensorType::Q5_K => scaled_with_minimum(sigma, 5, random, out),
        TensorType::Q6_K => {
            random.bytes(128 + 64 + 16, out); // low bits, high bits, i8 scales
            put_f16(out, sigma / (5461.5f32 * 341.5).sqrt());
        }
        simple => {
            let mut values = [0.0; CHUNK];
            values.iter_mut().for_each(|v| *v = sigma * random.normal());
            quantise(simple, &values, out);
        }
    }
}

/// Q4_K and Q5_K: eight 6-bit scales and eight equal 6-bit minima packed in 12 bytes, dmin at the centre.
fn scaled_with_minimum(sigma: f32, bits: u32, random: &mut Random, out: &mut Vec<u8>) {
    let levels = (1 << bits) as f32;
    let d = sigma / (1333.5 * (levels * levels - 1.0) / 12.0).sqrt();
    put_f16(out, d);
    put_f16(out, d * (levels - 1.0) / 2.0);
    // Bytes 0..4 hold scales, 4..8 minima (two top bits belong to the second four), 8..12 low nibbles of both.
    let scales = random.next().to_le_bytes();
    out.extend_from_slice(&scales[..4]);
    out.extend_from_slice(&scales[..4]);
    out.extend(scales[4..].iter().map(|b| (b & 15) * 0x11));
    random.bytes(if bits == 5 { 32 + 128 } else { 128 }, out);
}

/// Q4_0, Q5_0: w = d (q - 2^(bits-1)); the value of largest magnitude takes the lowest quant, as ggml has it.
fn centred(block: &[f32], bits: u32, out: &mut Vec<u8>) {
    let half = (1 << (bits - 1)) as f32;
    let extreme = block.iter().fold(0.0f32, |m, &v| if v.abs() > m.abs() { v } else { m });
    let d = f16::from_f32(extreme / -half);
    out.extend(d.to_le_bytes());
    pack(nearest(block, d, -half, 0.0, 2.0 * half - 1.0), bits, out);
}

/// Q4_1, Q5_1: w = d q + m.
fn with_minimum(block: &[f32], bits: u32, out: &mut Vec<u8>) {
    let top = ((1 << bits) - 1) as f32;
    let low = block.iter().copied().fold(f32::INFINITY, f32::min);
    let high = block.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let (d, m) = (f16::from_f32((high - low) / top), f16::from_f32(low));
    out.extend(d.to_le_bytes());
    out.extend(m.to_le_bytes());
    let shift = if d.to_f32() == 0.0 { 0.0 } else { m.to_f32() / d.to_f32() };
    pack(nearest(block, d, shift, 0.0, top), bits, out);
}

/// The quants q in `low..=high` for which d (q + zero) is closest to each value.
fn nearest(block: &[f32], d: f16, zero: f32, low: f32, high: f32) -> impl Iterator<Item = i32> {
    let inverse = if d.to_f32() == 0.0 { 0.0 } else { d.to_f32().recip() };
    // Above `low` nothing is negative, so truncating after adding a half rounds, and fast.
    block.iter().map(move |v| {
        let q = (v * inverse - zero).clamp(low, high);
        (q - low + 0.5) as i32 + low as i32
    })
}

/// 32 quants: fifth bits first if there are any, then low nibbles with element j + 16 above element j.
fn pack(quants: impl Iterator<Item = i32>, bits: u32, out: &mut Vec<u8>) {
    let mut q = [0u8; 32];
    q.iter_mut().zip(quants).for_each(|(to, from)| *to = from as u8);
    if bits == 5 {
        let high = q.iter().enumerate().fold(0u32, |bits, (j, &q)| bits | u32::from(q >> 4) << j);
        out.extend(high.to_le_bytes());
    }
    out.extend((0..16).map(|j| q[j] & 15 | q[j + 16] << 4));
}

fn put_f16(out: &mut Vec<u8>, v: f32) {
    out.extend(f16::from_f32(v).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes by the format's definition, written apart from the packing above.
    fn decode(ty: TensorType, b: &[u8]) -> Vec<f32> {
        let h = |i: usize| f16::from_le_bytes([b[i], b[i + 1]]).to_f32();
        let nibble =
            |at: usize, j: usize| f32::from(if j < 16 { b[at + j] & 15 } else { b[at + j - 16] >> 4 });
        let fifth = |at: usize, j: usize| f32::from(b[at + j / 8] >> (j % 8) & 1) * 16.0;
        (0..32)
            .map(|j| match ty {
                TensorType::Q4_0 => h(0) * (nibble(2, j) - 8.0),
                TensorType::Q4_1 => h(0) * nibble(4, j) + h(2),
                TensorType::Q5_0 => h(0) * (nibble(6, j) + fifth(2, j) - 16.0),
                TensorType::Q5_1 => h(0) * (nibble(8, j) + fifth(4, j)) + h(2),
                TensorType::Q8_0 => h(0) * f32::from(b[2 + j] as i8),
                _ => unreachable!(),
            })
            .collect()
    }

    #[test]
    fn simple_types_keep_values_within_a_step() {
        let mut random = Random::new(7, 0);
        let values: Vec<f32> = (0..32).map(|_| random.normal()).collect();
        let range = 2.0 * values.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        for (ty, steps) in [
            (TensorType::Q4_0, 16.0),
            (TensorType::Q4_1, 15.0),
            (TensorType::Q5_0, 32.0),
            (TensorType::Q5_1, 31.0),
            (TensorType::Q8_0, 254.0),
        ] {
            let mut blocks = Vec::new();
            quantise(ty, &values, &mut blocks);
            assert_eq!(blocks.len(), ty.block().unwrap().1);
            for (v, w) in values.iter().zip(decode(ty, &blocks)) {
                // Half a step, a whole one at the clipped end of the centred types, and f16 rounding.
                assert!((v - w).abs() <= 1.02 * range / steps, "{ty}: {v} became {w}");
            }
            let mut zeros = Vec::new();
            quantise(ty, &[0.0; 32], &mut zeros);
            assert_eq!(decode(ty, &zeros), [0.0; 32], "{ty}");
        }
    }

    #[test]
    fn every_type_fills_whole_blocks() {
        for id in 0..31 {
            let Some((per_block, bytes)) = TensorType::from_id(id).block() else { continue };
            let mut out = Vec::new();
            fill(TensorType::from_id(id), 0.1, &mut Random::new(1, 2), &mut out);
            assert_eq!(out.len(), CHUNK / per_block * bytes, "{}", TensorType::from_id(id));
        }
    }
}
