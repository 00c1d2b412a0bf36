//! SwiGLU: h = silu(a)·u; ḣ = σ(a)(1 + a(1 − σ(a)))·ȧ·u + silu(a)·u̇, with σ the logistic function;
//! ā = σ(a)(1 + a(1 − σ(a)))·u·h̄, ū = silu(a)·h̄.

use super::parallel::{for_each, piece_len};
use super::rows::{DualRows, DualRowsMut};
use crate::kernels::elementwise::sigmoid;
use crate::kernels::{Arch, Ctx, Kernel, dispatch};

/// Replaces the gate `a` by silu(a)·u, tangents included. a, u: \[positions × (1+K)\] × width.
pub fn swiglu(ctx: &Ctx, mut a: DualRowsMut<'_>, u: DualRows<'_>) {
    assert_eq!((a.stack(), a.width()), (u.stack(), u.width()), "shapes of gate and up");
    let (width, group) = (u.width(), u.group());
    let piece = piece_len(&ctx.pool, u.stack().positions) * group;
    for_each(&ctx.pool, a.data().chunks_mut(piece).zip(u.data().chunks(piece)), |(a, u)| {
        dispatch(ctx.isa, GatePositions { width, group, a, u });
    });
}

/// From gate `a`, `u` and h̄, all without tangents and in place: ā, ū and h.
pub fn swiglu_adjoint(ctx: &Ctx, mut a: DualRowsMut<'_>, mut u: DualRowsMut<'_>, mut h: DualRowsMut<'_>) {
    let shape = (a.stack(), a.width());
    assert_eq!(
        [(u.stack(), u.width()), (h.stack(), h.width())],
        [shape; 2],
        "shapes of gate, up and adjoint"
    );
    assert_eq!(shape.0.tangents, 0, "adjoints go with values alone");
    let piece = piece_len(&ctx.pool, shape.0.positions) * shape.1;
    let pieces = a.data().chunks_mut(piece).zip(u.data().chunks_mut(piece));
    for_each(&ctx.pool, pieces.zip(h.data().chunks_mut(piece)), |((a, u), h)| {
        dispatch(ctx.isa, GateAdjoint { a, u, h });
    });
}

/// Some positions.
struct GateAdjoint<'a> {
    a: &'a mut [f32],
    u: &'a mut [f32],
    h: &'a mut [f32],
}

impl Kernel for GateAdjoint<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arch>(self, _: A) {
        let Self { a, u, h } = self;
        let n = a.len();
        let (u, h) = (&mut u[..n], &mut h[..n]);
        for i in 0..n {
            let (v, up, pull) = (a[i], u[i], h[i]);
            let s = sigmoid(v);
            a[i] = s * (1.0 + v * (1.0 - s)) * up * pull;
            u[i] = v * s * pull;
            h[i] = v * s * up;
        }
    }
}

/// Columns handled at a time: σ of one strip stays in registers or first-level cache for all tangents.
const STRIP: usize = 64;

/// Some positions, of `group` elements each.
struct GatePositions<'a> {
    width: usize,
    group: usize,
    a: &'a mut [f32],
    u: &'a [f32],
}

impl Kernel for GatePositions<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arch>(self, _: A) {
        let Self { width, group, a, u } = self;
        let mut slope = [0.0f32; STRIP];
        let mut silu = [0.0f32; STRIP];
        for (a, u) in a.chunks_exact_mut(group).zip(u.chunks_exact(group)) {
            for from in (0..width).step_by(STRIP) {
                let n = STRIP.min(width - from);
                let up = &u[from..from + n];
                for i in 0..n {
                    let v = a[from + i];
                    let s = sigmoid(v);
                    silu[i] = v * s;
                    slope[i] = s * (1.0 + v * (1.0 - s)) * up[i];
                    a[from + i] = v * s * up[i];
                }
                for at in (width..group).step_by(width) {
                    let da = &mut a[at + from..at + from + n];
                    let du = &u[at + from..at + from + n];
                    for i in 0..n {
                        da[i] = slope[i] * da[i] + silu[i] * du[i];
                    }
                }
            }
        }
    }
}
