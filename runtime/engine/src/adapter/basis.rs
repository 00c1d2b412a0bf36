//! Principal factors of a quantised weight for LoRA-XS: W ≈ U·Σ·Vᵀ cut at rank r, by randomised subspace iteration
//! (Halko, Martinsson, Tropp 2011, algorithm 4.4) over dequantised tiles. The weight is never held in f32 as a whole.

use crate::dual::unpack;
use crate::kernels::{Ctx, Matrix, Rows, RowsMut, Write, matmul, matmul_nn, matmul_scratch_len};
use sprig_budget::Bytes;

/// Columns carried beyond r: they keep the r wanted ones apart from the rest of the spectrum.
const OVERSAMPLE: usize = 8;
/// Iterations; weights of language models have slowly falling spectra, and six leave the top directions settled.
const ITERATIONS: usize = 6;
/// Weight rows dequantised at a time.
const TILE: usize = 64;

/// Writes P = U·Σ (out × r) and Q = Vᵀ (r × in, orthonormal rows) of `weight`. `start` fills a vector with normal
/// numbers, from which the iteration begins; the result depends on nothing else.
pub fn principal_factors(
    ctx: &Ctx,
    weight: &Matrix<'_>,
    r: usize,
    p: &mut [f32],
    q: &mut [f32],
    start: impl FnOnce(&mut [f32]),
) {
    let (out, inp) = (weight.rows(), weight.cols());
    let lengths = Lengths::new(out, inp, r, ctx.pool.threads(), ctx.panel_rows());
    let width = lengths.width;
    let mut right = vec![0.0f32; lengths.right];
    let mut left = vec![0.0f32; lengths.left];
    let mut tile = vec![0.0f32; lengths.tile];
    let mut panels = vec![0.0f32; lengths.panels];
    let mut to_left = |right: &[f32], left: &mut [f32]| {
        let (x, y) = (Rows::new(right, width, inp), RowsMut::new(left, width, out));
        matmul(ctx, x, weight, y, Write::Set, &mut panels);
    };
    start(&mut right);
    orthonormalise(&mut right, inp);
    for _ in 0..ITERATIONS {
        to_left(&right, &mut left);
        orthonormalise(&mut left, out);
        right.fill(0.0);
        for from in (0..out).step_by(TILE) {
            let n = TILE.min(out - from);
            unpack(ctx, &weight.row_slice(from..from + n), &mut tile[..n * inp]);
            let x = Rows::strided(&left[from..], width, n, out);
            let w = Rows::new(&tile[..n * inp], n, inp);
            matmul_nn(ctx, x, w, RowsMut::new(&mut right, width, inp), Write::Add { scale: 1.0 });
        }
        orthonormalise(&mut right, inp);
    }
    to_left(&right, &mut left);
    // W ≈ leftᵀ·right; the eigenvectors E of left·leftᵀ turn the rows of both into singular directions.
    let gram: Vec<f64> = (0..width * width)
        .map(|i| dot64(&left[i / width * out..][..out], &left[i % width * out..][..out]))
        .collect();
    let vectors = leading_eigenvectors(gram, width, r);
    for (k, e) in vectors.iter().enumerate() {
        for i in 0..inp {
            q[k * inp + i] = (0..width).map(|j| e[j] * f64::from(right[j * inp + i])).sum::<f64>() as f32;
        }
        for o in 0..out {
            p[o * r + k] = (0..width).map(|j| e[j] * f64::from(left[j * out + o])).sum::<f64>() as f32;
        }
    }
}

/// Writes P (out × r, orthonormal columns) and Q (r × in, orthonormal rows) that span what `normal` draws for slots 1 and 0:
/// factors of no weight.
pub(super) fn seeded_factors(r: usize, p: &mut [f32], q: &mut [f32], normal: impl Fn(u32, &mut [f32])) {
    let inp = q.len() / r;
    normal(0, q);
    orthonormalise(q, inp);
    let out = p.len() / r;
    let mut columns = vec![0.0; p.len()];
    normal(1, &mut columns);
    orthonormalise(&mut columns, out);
    for (k, column) in columns.chunks_exact(out).enumerate() {
        p[k..].iter_mut().step_by(r).zip(column).for_each(|(p, v)| *p = *v);
    }
}

/// Heap bytes that [`principal_factors`] takes and gives back, for a weight of `out` × `inp`.
pub(super) fn factor_bytes(out: usize, inp: usize, r: usize, threads: usize, panel_rows: usize) -> Bytes {
    let n = Lengths::new(out, inp, r, threads, panel_rows);
    let vectors = n.width.min(r);
    // The Gram matrix and its rotations, their order, and the vectors that are kept.
    let wide = 2 * n.width * n.width + n.width + vectors * n.width;
    Bytes((4 * (n.right + n.left + n.tile + n.panels) + 8 * wide + vectors * size_of::<Vec<f64>>()) as u64)
}

/// Elements of the working memory.
struct Lengths {
    /// Directions carried.
    width: usize,
    right: usize,
    left: usize,
    tile: usize,
    panels: usize,
}

impl Lengths {
    fn new(out: usize, inp: usize, r: usize, threads: usize, panel_rows: usize) -> Self {
        let width = (r + OVERSAMPLE).min(out).min(inp);
        Self {
            width,
            right: width * inp,
            left: width * out,
            tile: TILE.min(out) * inp,
            panels: matmul_scratch_len(threads, panel_rows, inp),
        }
    }
}

fn dot64(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// Gram–Schmidt on the rows, each against all earlier ones, twice.
fn orthonormalise(rows: &mut [f32], len: usize) {
    for i in 0..rows.len() / len {
        let (done, rest) = rows.split_at_mut(i * len);
        let row = &mut rest[..len];
        for _ in 0..2 {
            for earlier in done.chunks_exact(len) {
                let along = dot64(row, earlier) as f32;
                row.iter_mut().zip(earlier).for_each(|(v, e)| *v -= along * e);
            }
        }
        let norm = dot64(row, row).sqrt();
        let inverse = if norm > 0.0 { (1.0 / norm) as f32 } else { 0.0 };
        row.iter_mut().for_each(|v| *v *= inverse);
    }
}

/// The `count` eigenvectors with the largest eigenvalues of a symmetric n × n matrix, by cyclic Jacobi rotations.
fn leading_eigenvectors(mut a: Vec<f64>, n: usize, count: usize) -> Vec<Vec<f64>> {
    let mut v: Vec<f64> = (0..n * n).map(|i| if i / n == i % n { 1.0 } else { 0.0 }).collect();
    for _sweep in 0..30 {
        let off: f64 = (0..n * n).filter(|i| i / n != i % n).map(|i| a[i] * a[i]).sum();
        let on: f64 = (0..n).map(|i| a[i * n + i] * a[i * n + i]).sum();
        if off <= 1e-24 * on {
            break;
        }
        for i in 0..n {
            for j in i + 1..n {
                let apq = a[i * n + j];
                if apq == 0.0 {
                    continue;
                }
                let theta = (a[j * n + j] - a[i * n + i]) / (2.0 * apq);
                let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let c = 1.0 / (t * t + 1.0).sqrt();
                let s = t * c;
                for k in 0..n {
                    let (x, y) = (a[k * n + i], a[k * n + j]);
                    (a[k * n + i], a[k * n + j]) = (c * x - s * y, s * x + c * y);
                }
                for k in 0..n {
                    let (x, y) = (a[i * n + k], a[j * n + k]);
                    (a[i * n + k], a[j * n + k]) = (c * x - s * y, s * x + c * y);
                    let (x, y) = (v[k * n + i], v[k * n + j]);
                    (v[k * n + i], v[k * n + j]) = (c * x - s * y, s * x + c * y);
                }
            }
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| a[j * n + j].total_cmp(&a[i * n + i]));
    order.iter().take(count).map(|&i| (0..n).map(|k| v[k * n + i]).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Ctx;

    #[test]
    fn a_low_rank_matrix_is_recovered() {
        let (out, inp, r) = (48, 32, 3);
        let noise = |seed: usize, i: usize| (((i + 1) * (seed * 2 + 7919)) % 1009) as f32 / 504.5 - 1.0;
        let u: Vec<f32> = (0..out * r).map(|i| noise(1, i)).collect();
        let v: Vec<f32> = (0..r * inp).map(|i| noise(2, i * i)).collect();
        let w: Vec<f32> =
            (0..out * inp).map(|i| (0..r).map(|k| u[i / inp * r + k] * v[k * inp + i % inp]).sum()).collect();
        let ctx = Ctx::new(2).unwrap();
        let (mut p, mut q) = (vec![0.0; out * r], vec![0.0; r * inp]);
        let weight = Matrix::from_f32(out, inp, &w).unwrap();
        principal_factors(&ctx, &weight, r, &mut p, &mut q, |s| {
            s.iter_mut().enumerate().for_each(|(i, s)| *s = noise(3, i));
        });
        for i in 0..out * inp {
            let back: f32 = (0..r).map(|k| p[i / inp * r + k] * q[k * inp + i % inp]).sum();
            assert!((back - w[i]).abs() < 1e-4, "{i}: {back} against {}", w[i]);
        }
        assert_orthonormal(&q, inp);
    }

    #[test]
    fn seeded_factors_are_orthonormal_and_of_their_seed_alone() {
        let (out, inp, r) = (40, 24, 5);
        let draw = |seed: u32, v: &mut [f32]| {
            v.iter_mut().enumerate().for_each(|(i, v)| *v = ((i as f32 + 1.0) * (seed as f32 + 1.7)).sin());
        };
        let (mut p, mut q) = (vec![9.0; out * r], vec![9.0; r * inp]);
        seeded_factors(r, &mut p, &mut q, draw);
        assert_orthonormal(&q, inp);
        let columns: Vec<f32> = (0..r).flat_map(|k| p[k..].iter().step_by(r).copied()).collect();
        assert_orthonormal(&columns, out);
        let (mut again, mut other) = (p.clone(), p.clone());
        seeded_factors(r, &mut again, &mut q, draw);
        seeded_factors(r, &mut other, &mut q, |seed, v| draw(seed + 7, v));
        assert!(p == again && p != other);
    }

    fn assert_orthonormal(rows: &[f32], len: usize) {
        for (a, x) in rows.chunks_exact(len).enumerate() {
            for (b, y) in rows.chunks_exact(len).enumerate() {
                assert!((dot64(x, y) - if a == b { 1.0 } else { 0.0 }).abs() < 1e-5, "{a} and {b}");
            }
        }
    }
}
