//! RMSNorm: ρ = √(mean x² + ε), yᵢ = gᵢ·xᵢ/ρ; ẏᵢ = gᵢ·(ẋᵢ/ρ − xᵢ·mean(x·ẋ)/ρ³).

use super::parallel::{for_each, piece_len};
use super::rows::{DualRows, DualRowsMut};
use crate::kernels::elementwise::dot;
use crate::kernels::{Arch, Ctx, Kernel, dispatch};

/// Normalises every position of `x` into `out` (both \[positions × (1+K)\] × width) with a gain of width numbers.
pub fn rms_norm(ctx: &Ctx, x: DualRows<'_>, gain: &[f32], epsilon: f32, mut out: DualRowsMut<'_>) {
    assert_eq!((x.stack(), x.width(), gain.len()), (out.stack(), out.width(), x.width()), "shapes of a norm");
    let group = x.group();
    let piece = piece_len(&ctx.pool, x.stack().positions) * group;
    for_each(&ctx.pool, x.data().chunks(piece).zip(out.data().chunks_mut(piece)), |(x, out)| {
        dispatch(ctx.isa, NormPositions { x, gain, epsilon, group, out });
    });
}

/// Some positions, of `group` elements each.
struct NormPositions<'a> {
    x: &'a [f32],
    gain: &'a [f32],
    epsilon: f32,
    group: usize,
    out: &'a mut [f32],
}

impl Kernel for NormPositions<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arch>(self, arch: A) {
        let Self { x, gain, epsilon, group, out } = self;
        let d = gain.len();
        for (x, out) in x.chunks_exact(group).zip(out.chunks_exact_mut(group)) {
            let (value, tangents) = x.split_at(d);
            let (y, dy) = out.split_at_mut(d);
            let inverse = 1.0 / (dot(arch, value, value) / d as f32 + epsilon).sqrt();
            for i in 0..d {
                y[i] = gain[i] * (value[i] * inverse);
            }
            for (t, dy) in tangents.chunks_exact(d).zip(dy.chunks_exact_mut(d)) {
                let pull = dot(arch, value, t) / d as f32 * inverse * inverse * inverse;
                for i in 0..d {
                    dy[i] = gain[i] * (t[i] * inverse - value[i] * pull);
                }
            }
        }
    }
}
