//! RMSNorm: ρ = √(mean x² + ε), yᵢ = gᵢ·xᵢ/ρ; ẏᵢ = gᵢ·(ẋᵢ/ρ − xᵢ·mean(x·ẋ)/ρ³).

use super::parallel::{for_each, piece_len};
use super::rows::Stack;
use crate::kernels::Pool;
use crate::kernels::elementwise::inline::dot;
use multiversion::multiversion;

/// Normalises every position of `x` into `out` (both `stack.rows()` × `gain.len()`).
pub fn rms_norm(pool: &Pool, stack: Stack, x: &[f32], gain: &[f32], epsilon: f32, out: &mut [f32]) {
    let group = stack.group() * gain.len();
    let piece = piece_len(pool, stack.positions) * group;
    let n = stack.positions * group;
    for_each(pool, x[..n].chunks(piece).zip(out[..n].chunks_mut(piece)), |(x, out)| {
        norm_positions(x, gain, epsilon, group, out);
    });
}

#[multiversion(targets("x86_64+avx2+fma+f16c"))]
fn norm_positions(x: &[f32], gain: &[f32], epsilon: f32, group: usize, out: &mut [f32]) {
    let d = gain.len();
    for (x, out) in x.chunks_exact(group).zip(out.chunks_exact_mut(group)) {
        let (value, tangents) = x.split_at(d);
        let (y, dy) = out.split_at_mut(d);
        let inverse = 1.0 / (dot(value, value) / d as f32 + epsilon).sqrt();
        for i in 0..d {
            y[i] = gain[i] * (value[i] * inverse);
        }
        for (t, dy) in tangents.chunks_exact(d).zip(dy.chunks_exact_mut(d)) {
            let pull = dot(value, t) / d as f32 * inverse * inverse * inverse;
            for i in 0..d {
                dy[i] = gain[i] * (t[i] * inverse - value[i] * pull);
            }
        }
    }
}
