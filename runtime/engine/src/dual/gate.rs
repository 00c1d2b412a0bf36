//! A gate: h = φ(a)·u with φ(a) = a·σ(z(a)), σ the logistic function; ḣ = φ′(a)·ȧ·u + φ(a)·u̇, ā = φ′(a)·u·h̄, ū = φ(a)·h̄,
//! and φ′ = σ + a·σ(1 − σ)·z′. SiLU has z = a. GELU by tanh, ½a(1 + tanh √(2/π)(a + 0.044715a³)), is the same with
//! z = 2√(2/π)(a + 0.044715a³), since ½(1 + tanh y) = σ(2y).

use super::parallel::{for_each, piece_len};
use super::rows::{DualRows, DualRowsMut};
use crate::kernels::elementwise::sigmoid;
use crate::kernels::{Arch, Ctx, Kernel, dispatch};

/// φ, the curve of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// a·σ(a).
    Silu,
    /// Gaussian error linear unit, by tanh.
    Gelu,
}

impl Curve {
    /// φ and φ′ at `a`.
    #[inline(always)]
    fn at(self, a: f32) -> (f32, f32) {
        // 2√(2/π), and the cubic part of it.
        const LINEAR: f32 = 1.595_769;
        const CUBIC: f32 = 0.044_715 * LINEAR;
        match self {
            Self::Silu => {
                let s = sigmoid(a);
                (a * s, s * (1.0 + a * (1.0 - s)))
            }
            Self::Gelu => {
                let square = a * a;
                let s = sigmoid(a * (LINEAR + CUBIC * square));
                (a * s, s * (1.0 + a * (1.0 - s) * (LINEAR + 3.0 * CUBIC * square)))
            }
        }
    }
}

/// Replaces the gate `a` by φ(a)·u, tangents included. a, u: \[positions × (1+K)\] × width.
pub fn gate(ctx: &Ctx, curve: Curve, mut a: DualRowsMut<'_>, u: DualRows<'_>) {
    assert_eq!((a.stack(), a.width()), (u.stack(), u.width()), "shapes of gate and up");
    let (width, group) = (u.width(), u.group());
    let piece = piece_len(&ctx.pool, u.stack().positions) * group;
    for_each(&ctx.pool, a.data().chunks_mut(piece).zip(u.data().chunks(piece)), |(a, u)| {
        dispatch(ctx.isa, GatePositions { curve, width, group, a, u });
    });
}

/// From gate `a`, `u` and h̄, all without tangents and in place: ā, ū and h.
pub fn gate_adjoint(
    ctx: &Ctx,
    curve: Curve,
    mut a: DualRowsMut<'_>,
    mut u: DualRowsMut<'_>,
    mut h: DualRowsMut<'_>,
) {
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
        dispatch(ctx.isa, GateAdjoint { curve, a, u, h });
    });
}

/// Some positions.
struct GateAdjoint<'a> {
    curve: Curve,
    a: &'a mut [f32],
    u: &'a mut [f32],
    h: &'a mut [f32],
}

impl Kernel for GateAdjoint<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arch>(self, _: A) {
        let Self { curve, a, u, h } = self;
        let n = a.len();
        let (u, h) = (&mut u[..n], &mut h[..n]);
        for i in 0..n {
            let (up, pull) = (u[i], h[i]);
            let (value, slope) = curve.at(a[i]);
            a[i] = slope * up * pull;
            u[i] = value * pull;
            h[i] = value * up;
        }
    }
}

/// Columns handled at a time: the curve of one strip stays in registers or first-level cache for all tangents.
const STRIP: usize = 64;

/// Some positions, of `group` elements each.
struct GatePositions<'a> {
    curve: Curve,
    width: usize,
    group: usize,
    a: &'a mut [f32],
    u: &'a [f32],
}

impl Kernel for GatePositions<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arch>(self, _: A) {
        let Self { curve, width, group, a, u } = self;
        let mut slopes = [0.0f32; STRIP];
        let mut values = [0.0f32; STRIP];
        for (a, u) in a.chunks_exact_mut(group).zip(u.chunks_exact(group)) {
            for from in (0..width).step_by(STRIP) {
                let n = STRIP.min(width - from);
                let up = &u[from..from + n];
                for i in 0..n {
                    let (value, slope) = curve.at(a[from + i]);
                    values[i] = value;
                    slopes[i] = slope * up[i];
                    a[from + i] = value * up[i];
                }
                for at in (width..group).step_by(width) {
                    let da = &mut a[at + from..at + from + n];
                    let du = &u[at + from..at + from + n];
                    for i in 0..n {
                        da[i] = slopes[i] * da[i] + values[i] * du[i];
                    }
                }
            }
        }
    }
}
