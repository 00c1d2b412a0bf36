//! RMSNorm: ρ = √(mean x² + ε), yᵢ = gᵢ·xᵢ/ρ; ẏᵢ = gᵢ·(ẋᵢ/ρ − xᵢ·mean(x·ẋ)/ρ³); x̄ᵢ = gᵢ·ȳᵢ/ρ − xᵢ·mean(g·ȳ·x)/ρ³.

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

/// Adds to `x_adjoint` the adjoint of a norm's `x` that follows from `y_adjoint`, that of its output; `y_adjoint` is used
/// up. All without tangents, positions × width.
pub fn rms_norm_adjoint(
    ctx: &Ctx,
    x: DualRows<'_>,
    gain: &[f32],
    epsilon: f32,
    mut y_adjoint: DualRowsMut<'_>,
    mut x_adjoint: DualRowsMut<'_>,
) {
    let shape = (x.stack(), x.width());
    assert_eq!((shape.0.tangents, gain.len()), (0, shape.1), "shapes of a norm");
    assert_eq!([(y_adjoint.stack(), y_adjoint.width()), (x_adjoint.stack(), x_adjoint.width())], [shape; 2]);
    let piece = piece_len(&ctx.pool, shape.0.positions) * shape.1;
    let adjoints = y_adjoint.data().chunks_mut(piece).zip(x_adjoint.data().chunks_mut(piece));
    for_each(&ctx.pool, x.data().chunks(piece).zip(adjoints), |(x, (y_adjoint, x_adjoint))| {
        dispatch(ctx.isa, NormAdjoint { x, gain, epsilon, y_adjoint, x_adjoint });
    });
}

/// Some positions.
struct NormAdjoint<'a> {
    x: &'a [f32],
    gain: &'a [f32],
    epsilon: f32,
    y_adjoint: &'a mut [f32],
    x_adjoint: &'a mut [f32],
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

impl Kernel for NormAdjoint<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arch>(self, arch: A) {
        let Self { x, gain, epsilon, y_adjoint, x_adjoint } = self;
        let d = gain.len();
        let adjoints = y_adjoint.chunks_exact_mut(d).zip(x_adjoint.chunks_exact_mut(d));
        for (x, (pull, x_adjoint)) in x.chunks_exact(d).zip(adjoints) {
            let inverse = 1.0 / (dot(arch, x, x) / d as f32 + epsilon).sqrt();
            for i in 0..d {
                pull[i] *= gain[i];
            }
            let along = dot(arch, pull, x) / d as f32 * inverse * inverse * inverse;
            for i in 0..d {
                x_adjoint[i] += pull[i] * inverse - x[i] * along;
            }
        }
    }
}
