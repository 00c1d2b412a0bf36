//! RMSNorm of each head of a row, in place: the rules of [`rms_norm`](super::rms_norm) over runs of `gain.len()` elements. A
//! row that is one head is normalised whole.

use super::parallel::{for_each, piece_len};
use super::rows::{DualRows, DualRowsMut};
use crate::kernels::elementwise::dot;
use crate::kernels::{Arch, Ctx, Kernel, dispatch};

/// Normalises every head of `x`, \[positions × (1+K)\] × heads·gain.len(), tangents included.
pub fn norm_heads(ctx: &Ctx, gain: &[f32], epsilon: f32, mut x: DualRowsMut<'_>) {
    assert!(x.width().is_multiple_of(gain.len()), "heads of a norm");
    let (width, group) = (x.width(), x.group());
    let piece = piece_len(&ctx.pool, x.stack().positions) * group;
    for_each(&ctx.pool, x.data().chunks_mut(piece), |x| {
        dispatch(ctx.isa, NormHeads { gain, epsilon, width, group, x });
    });
}

/// From the adjoints of normalised heads, in place, those of the heads before, which were `x`; without tangents.
pub fn norm_heads_adjoint(
    ctx: &Ctx,
    gain: &[f32],
    epsilon: f32,
    x: DualRows<'_>,
    mut y_adjoint: DualRowsMut<'_>,
) {
    let shape = (x.stack(), x.width());
    assert_eq!((y_adjoint.stack(), y_adjoint.width()), shape, "shapes of a norm");
    assert!(shape.0.tangents == 0 && shape.1.is_multiple_of(gain.len()), "heads of a norm");
    let piece = piece_len(&ctx.pool, shape.0.positions) * shape.1;
    for_each(&ctx.pool, x.data().chunks(piece).zip(y_adjoint.data().chunks_mut(piece)), |(x, y_adjoint)| {
        dispatch(ctx.isa, NormHeadsAdjoint { gain, epsilon, x, y_adjoint });
    });
}

/// Some positions, of `group` elements each.
struct NormHeads<'a> {
    gain: &'a [f32],
    epsilon: f32,
    width: usize,
    group: usize,
    x: &'a mut [f32],
}

/// The heads of some positions.
struct NormHeadsAdjoint<'a> {
    gain: &'a [f32],
    epsilon: f32,
    x: &'a [f32],
    y_adjoint: &'a mut [f32],
}

impl Kernel for NormHeads<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arch>(self, arch: A) {
        let Self { gain, epsilon, width, group, x } = self;
        let d = gain.len();
        for x in x.chunks_exact_mut(group) {
            let (values, tangents) = x.split_at_mut(width);
            for (head, value) in values.chunks_exact_mut(d).enumerate() {
                let inverse = 1.0 / (dot(arch, value, value) / d as f32 + epsilon).sqrt();
                for tangents in tangents.chunks_exact_mut(width) {
                    let t = &mut tangents[head * d..(head + 1) * d];
                    let pull = dot(arch, value, t) / d as f32 * inverse * inverse * inverse;
                    for i in 0..d {
                        t[i] = gain[i] * (t[i] * inverse - value[i] * pull);
                    }
                }
                for i in 0..d {
                    value[i] = gain[i] * (value[i] * inverse);
                }
            }
        }
    }
}

impl Kernel for NormHeadsAdjoint<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arch>(self, arch: A) {
        let Self { gain, epsilon, x, y_adjoint } = self;
        let d = gain.len();
        for (x, pull) in x.chunks_exact(d).zip(y_adjoint.chunks_exact_mut(d)) {
            let inverse = 1.0 / (dot(arch, x, x) / d as f32 + epsilon).sqrt();
            for i in 0..d {
                pull[i] *= gain[i];
            }
            let along = dot(arch, pull, x) / d as f32 * inverse * inverse * inverse;
            for i in 0..d {
                pull[i] = pull[i] * inverse - x[i] * along;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rms_norm;
    use super::super::rows::Stack;
    use super::*;

    /// Each head is what [`rms_norm`] makes of it alone, values and tangents, bit for bit.
    #[test]
    fn every_head_is_normalised_as_a_row_of_its_own() {
        const D: usize = 24;
        let (ctx, stack) = (Ctx::new(2).unwrap(), Stack { positions: 5, tangents: 2 });
        let gain: Vec<f32> = (0..D).map(|i| 1.0 + 0.1 * (i as f32).cos()).collect();
        let x: Vec<f32> = (0..stack.rows() * 3 * D).map(|i| (i as f32 * 0.7).sin()).collect();
        let mut found = x.clone();
        norm_heads(&ctx, &gain, 1e-3, DualRowsMut::new(&mut found, 3 * D, stack));
        for head in 0..3 {
            let part = |x: &[f32]| -> Vec<f32> {
                x.chunks(3 * D).flat_map(|row| row[head * D..(head + 1) * D].to_vec()).collect()
            };
            let mut alone = vec![0.0; stack.rows() * D];
            let out = DualRowsMut::new(&mut alone, D, stack);
            rms_norm(&ctx, DualRows::new(&part(&x), D, stack), &gain, 1e-3, out);
            assert_eq!(part(&found), alone, "head {head}");
        }
    }
}
