//! Each adjoint rule twice: its formula, written here in f64, against central differences to 1e-9; and the operation
//! against the formula to the rounding of f32.

mod attention;
mod blend;
mod head;
mod linear;
mod route;

use super::*;
use crate::kernels::{Ctx, Matrix, Write};

/// Positions of two sequences, of 5 and 70: more keys than a tile has, and runs that end within one.
const STARTS: [usize; 3] = [0, 5, 75];
const POSITIONS: usize = 75;

fn noise(seed: u64, n: usize) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    };
    (0..n).map(|_| f64::from(next() as f32)).collect()
}

fn single(values: &[f64]) -> Vec<f32> {
    values.iter().map(|v| *v as f32).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Holds ⟨ȳ, ∂f/∂v⟩, by central differences of the fourth order, to ⟨x̄, v⟩ for some v.
fn holds(what: &str, f: impl Fn(&[f64]) -> Vec<f64>, x: &[f64], y_adjoint: &[f64], x_adjoint: &[f64]) {
    for seed in 90..93 {
        let v = noise(seed, x.len());
        let at = |h: f64| {
            let moved: Vec<f64> = x.iter().zip(&v).map(|(x, v)| x + h * v).collect();
            dot(&f(&moved), y_adjoint)
        };
        let h = 1e-3;
        let slope = (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h);
        let found = dot(x_adjoint, &v);
        let size = (dot(x_adjoint, x_adjoint) * dot(&v, &v)).sqrt();
        assert!((found - slope).abs() < 1e-9 * size, "{what}: {found} for {slope}");
    }
}

/// Holds what an operation gave to the formula.
fn close(what: &str, found: &[f32], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    let size = (dot(expected, expected) / expected.len() as f64).sqrt();
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(*found) - expected).abs();
        assert!(error < 3e-5 * size, "{what}, element {i}: {found} for {expected}");
    }
}

fn plain<'a>(data: &'a mut [f32], width: usize) -> DualRowsMut<'a> {
    let positions = data.len() / width;
    DualRowsMut::new(data, width, Stack::plain(positions))
}

fn read(data: &[f32], width: usize) -> DualRows<'_> {
    DualRows::new(data, width, Stack::plain(data.len() / width))
}

#[test]
fn norm() {
    const D: usize = 40;
    const EPSILON: f64 = 1e-2;
    let (x, gain, y_adjoint) = (noise(1, 3 * D), noise(2, D), noise(3, 3 * D));
    let root = |x: &[f64]| (dot(x, x) / D as f64 + EPSILON).sqrt();
    let f = |x: &[f64]| -> Vec<f64> {
        let row = |x: &[f64]| x.iter().zip(&gain).map(|(v, g)| g * v / root(x)).collect::<Vec<_>>();
        x.chunks(D).flat_map(row).collect()
    };
    let formula: Vec<f64> = x
        .chunks(D)
        .zip(y_adjoint.chunks(D))
        .flat_map(|(x, y)| {
            let pull: Vec<f64> = y.iter().zip(&gain).map(|(y, g)| y * g).collect();
            let (rho, along) = (root(x), dot(&pull, x) / D as f64);
            (0..D).map(move |i| pull[i] / rho - x[i] * along / rho.powi(3)).collect::<Vec<_>>()
        })
        .collect();
    holds("norm", f, &x, &y_adjoint, &formula);
    let (mut y, mut found) = (single(&y_adjoint), vec![1.0; 3 * D]);
    let ctx = Ctx::new(2).unwrap();
    rms_norm_adjoint(
        &ctx,
        read(&single(&x), D),
        &single(&gain),
        EPSILON as f32,
        plain(&mut y, D),
        plain(&mut found, D),
    );
    let expected: Vec<f64> = formula.iter().map(|v| v + 1.0).collect();
    close("norm", &found, &expected);
}

/// Of each head of a row.
#[test]
fn norm_of_heads() {
    const D: usize = 12;
    const EPSILON: f64 = 1e-2;
    let (x, gain, y_adjoint) = (noise(11, 6 * D), noise(12, D), noise(13, 6 * D));
    let root = |x: &[f64]| (dot(x, x) / D as f64 + EPSILON).sqrt();
    let head = |x: &[f64]| x.iter().zip(&gain).map(|(v, g)| g * v / root(x)).collect::<Vec<_>>();
    let formula: Vec<f64> = x
        .chunks(D)
        .zip(y_adjoint.chunks(D))
        .flat_map(|(x, y)| {
            let pull: Vec<f64> = y.iter().zip(&gain).map(|(y, g)| y * g).collect();
            let (rho, along) = (root(x), dot(&pull, x) / D as f64);
            (0..D).map(move |i| pull[i] / rho - x[i] * along / rho.powi(3)).collect::<Vec<_>>()
        })
        .collect();
    holds("norm of heads", |x| x.chunks(D).flat_map(head).collect(), &x, &y_adjoint, &formula);
    let (mut found, x) = (single(&y_adjoint), single(&x));
    let ctx = Ctx::new(2).unwrap();
    norm_heads_adjoint(&ctx, &single(&gain), EPSILON as f32, read(&x, 3 * D), plain(&mut found, 3 * D));
    close("norm of heads", &found, &formula);
}

#[test]
fn gates() {
    let sigma = |a: f64| 1.0 / (1.0 + (-a).exp());
    gate_of(Curve::Silu, &|a| a * sigma(a), &|a| sigma(a) * (1.0 + a * (1.0 - sigma(a))));
    let root = (2.0 / std::f64::consts::PI).sqrt();
    let y = move |a: f64| root * (a + 0.044715 * a.powi(3));
    let slope = move |a: f64| {
        let tanh = y(a).tanh();
        0.5 * (1.0 + tanh) + 0.5 * a * (1.0 - tanh * tanh) * root * (1.0 + 3.0 * 0.044715 * a * a)
    };
    gate_of(Curve::Gelu, &|a| 0.5 * a * (1.0 + y(a).tanh()), &slope);
}

fn gate_of(curve: Curve, value: &dyn Fn(f64) -> f64, slope: &dyn Fn(f64) -> f64) {
    const N: usize = 130;
    let (a, u, pull) = (noise(4, N), noise(5, N), noise(6, N));
    let f = |au: &[f64]| -> Vec<f64> { (0..N).map(|i| value(au[i]) * au[N + i]).collect() };
    let of_a = |i: usize| slope(a[i]) * u[i] * pull[i];
    let formula: Vec<f64> = (0..N).map(of_a).chain((0..N).map(|i| value(a[i]) * pull[i])).collect();
    let au = [&a[..], &u[..]].concat();
    holds("gate", f, &au, &pull, &formula);
    let (mut fa, mut fu, mut h) = (single(&a), single(&u), single(&pull));
    let ctx = Ctx::new(2).unwrap();
    gate_adjoint(&ctx, curve, plain(&mut fa, N / 2), plain(&mut fu, N / 2), plain(&mut h, N / 2));
    close("gate", &[fa, fu].concat(), &formula);
    close("gate's output", &h, &f(&au));
}

/// The map is linear: ⟨ȳ, R·x⟩ = ⟨Rᵀ·ȳ, x⟩, with the rotation written out in f64.
#[test]
fn rotary() {
    const HEAD: usize = 8;
    const DIMS: usize = 6; // the last pair stays as it is
    for (rotation, step, stride) in [(Rotation::Pairs, 1, 2), (Rotation::Halves, DIMS / 2, 1)] {
        rotary_of(rotation, (step, stride));
    }

    /// Pair i is that of dimensions stride·i and stride·i + step.
    fn rotary_of(rotation: Rotation, (step, stride): (usize, usize)) {
        let rope = Rope::new(POSITIONS, DIMS, 10_000.0, &[]).of(rotation);
        let y = noise(7, POSITIONS * 2 * HEAD);
        let angle = |p: usize, pair: usize| p as f64 * 10_000f64.powf(-2.0 * pair as f64 / DIMS as f64);
        let turn = |x: &[f64], sign: f64| -> Vec<f64> {
            let mut out = x.to_vec();
            for (h, head) in out.chunks_mut(HEAD).enumerate() {
                for pair in 0..DIMS / 2 {
                    let (sin, cos) = (sign * angle(h / 2, pair)).sin_cos();
                    let (i, j) = (stride * pair, stride * pair + step);
                    (head[i], head[j]) = (head[i] * cos - head[j] * sin, head[i] * sin + head[j] * cos);
                }
            }
            out
        };
        let formula = turn(&y, -1.0);
        holds("rotary", |x| turn(x, 1.0), &noise(8, y.len()), &y, &formula);
        let mut found = single(&y);
        rope.apply_adjoint(&Ctx::new(2).unwrap(), HEAD, plain(&mut found, 2 * HEAD), |i| i);
        close("rotary", &found, &formula);
    }
}

/// Weights that stay.
struct Nobody;

impl Keeper for Nobody {
    fn about_to_use(&self, _: &Matrix<'_>, _: Option<&Matrix<'_>>) {}

    fn done_with(&self, _: &Matrix<'_>) {}
}
