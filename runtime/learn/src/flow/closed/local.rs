//! A device's own read-out: ridge regression towards the global one.
//!
//! With φ the rows that the last block's down projection multiplies, each divided by its root mean square and each number
//! by its deviation over the device's examples, u = A·φ the global scores and c the number that brings c·u nearest to the
//! hits y (1 for the answer, else 0), the local scores are c·u + v·φ with Σ (y − c·u − v·φ)² + λ|v|² least. In the examples'
//! own terms, K = ΦΦᵀ/m: v = Φᵀα/m, (K + λI)·α = y − c·u; and what example i gets from all others errs by
//! αᵢ/(K + λI)⁻¹ᵢᵢ. λ is the one whose errors are least; a λ without end is the global path.

use super::path::{Paths, Row};
use crate::readout::symmetric::{Tridiagonal, dot, packed_len};
use sprig_budget::Bytes;

/// Most examples that a device's own read-out is fitted to: its working is their square.
pub const MOST_EXAMPLES: usize = 1024;
/// λ in quarters of a decade.
const REGULARISATIONS: std::ops::RangeInclusive<i32> = -16..=12;

/// What was fitted.
#[derive(Clone, Debug, PartialEq)]
pub struct Local {
    /// Weights of the local scores, labels × inputs.
    pub weights: Vec<f32>,
    /// λ; `None` where the global path was best.
    pub regularisation: Option<f64>,
    /// Mean squared error of an example's scores by the others, and by the global path.
    pub errors: [f64; 2],
}

impl Local {
    /// Heap bytes of fitting `examples` examples of `inputs` numbers.
    pub fn bytes(examples: usize, inputs: usize, classes: usize) -> Bytes {
        let n = examples.min(MOST_EXAMPLES);
        Bytes((8 * (n * inputs + packed_len(n) + n * n + 4 * n * classes + 8 * n)) as u64)
    }

    /// Fits the rows to `paths`, whose local path is not looked at.
    ///
    /// # Panics
    /// If there are more than [`MOST_EXAMPLES`].
    pub fn fit(paths: &Paths, rows: &[Row]) -> Self {
        assert!(rows.len() <= MOST_EXAMPLES, "{} examples", rows.len());
        let same = |errors| Self { weights: paths.global.clone(), regularisation: None, errors };
        let Some(first) = rows.first() else { return same([0.0; 2]) };
        let (n, m, classes) = (rows.len(), first.gated.len(), paths.classes());
        let (phi, deviations) = features(rows);
        let (mut residuals, scale) = residuals(paths, rows);
        let square = |r: &[f64]| r.iter().map(|v| v * v).sum::<f64>() / (n * classes) as f64;
        let global = square(&residuals);
        if n < 2 || scale == 0.0 {
            return same([global; 2]);
        }
        let mut kernel: Vec<f64> = (0..n)
            .flat_map(|i| (0..=i).map(move |j| (i, j)))
            .map(|(i, j)| dot(&phi[i * m..][..m], &phi[j * m..][..m]) / m as f64)
            .collect();
        let reduced = Tridiagonal::reduce(&mut kernel, n, |_| {});
        let mut basis = vec![0.0; n * n];
        for (i, row) in basis.chunks_exact_mut(n).enumerate() {
            row[i] = 1.0;
            reduced.to_basis(row);
        }
        residuals.chunks_exact_mut(n).for_each(|r| reduced.to_basis(r));
        let solved = |lambda: f64| {
            let shifted = reduced.shifted(lambda);
            let mut alpha = residuals.clone();
            alpha.chunks_exact_mut(n).for_each(|a| {
                shifted.solve(a);
                reduced.out_of_basis(a);
            });
            (shifted, alpha)
        };
        let error = |lambda: f64| {
            let (shifted, alpha) = solved(lambda);
            let mut row = vec![0.0; n];
            let errors = (0..n).map(|i| {
                row.copy_from_slice(&basis[i * n..][..n]);
                shifted.solve(&mut row);
                let own = dot(&row, &basis[i * n..][..n]);
                alpha.chunks_exact(n).map(|a| (a[i] / own).powi(2)).sum::<f64>()
            });
            errors.sum::<f64>() / (n * classes) as f64
        };
        let lambdas = REGULARISATIONS.map(|quarter| libm::pow(10.0, f64::from(quarter) / 4.0));
        let best = lambdas.map(|l| (error(l), l)).fold((global, None), |best, (error, lambda)| {
            if error < best.0 { (error, Some(lambda)) } else { best }
        });
        let (error, Some(lambda)) = best else { return same([global; 2]) };
        let (_, alpha) = solved(lambda);
        let mut weights = paths.global.clone();
        for (weights, alpha) in weights.chunks_exact_mut(m).zip(alpha.chunks_exact(n)) {
            for (j, (w, deviation)) in weights.iter_mut().zip(&deviations).enumerate() {
                let own: f64 = alpha.iter().enumerate().map(|(i, a)| a * phi[i * m + j]).sum();
                *w += (own / (m as f64 * deviation * scale)) as f32;
            }
        }
        Self { weights, regularisation: Some(lambda), errors: [error, global] }
    }
}

/// φ of every row, n × m, and the deviations that were divided out.
fn features(rows: &[Row]) -> (Vec<f64>, Vec<f64>) {
    let (n, m) = (rows.len(), rows[0].gated.len());
    let mut phi = Vec::with_capacity(n * m);
    for row in rows {
        let size = size(row);
        phi.extend(row.gated.iter().map(|v| f64::from(*v) / size));
    }
    let mut deviations: Vec<f64> = (0..m)
        .map(|j| {
            let column = || phi.iter().skip(j).step_by(m);
            let mean = column().sum::<f64>() / n as f64;
            (column().map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64).sqrt()
        })
        .collect();
    // What hardly moves says nothing; it is not to be blown up to the size of the others.
    let floor = 1e-1 * (dot(&deviations, &deviations) / m as f64).sqrt();
    deviations.iter_mut().for_each(|d| *d = d.max(floor).max(1e-12));
    phi.chunks_exact_mut(m).for_each(|row| row.iter_mut().zip(&deviations).for_each(|(v, d)| *v /= d));
    (phi, deviations)
}

/// y − c·u, label after label, and c.
fn residuals(paths: &Paths, rows: &[Row]) -> (Vec<f64>, f64) {
    let (n, classes) = (rows.len(), paths.classes());
    let mut scores = vec![0.0; n * classes];
    for (i, row) in rows.iter().enumerate() {
        let size = size(row);
        for (j, s) in paths.scores(&paths.global, row).into_iter().enumerate() {
            scores[j * n + i] = s / size;
        }
    }
    let hit = |at: usize| f64::from(u8::from(rows[at % n].answer == at / n));
    let (own, square) =
        scores.iter().enumerate().fold((0.0, 0.0), |(a, b), (at, s)| (a + hit(at) * s, b + s * s));
    let scale = if square > 0.0 { (own / square).max(0.0) } else { 0.0 };
    let residuals = scores.iter().enumerate().map(|(at, s)| hit(at) - scale * s).collect();
    (residuals, scale)
}

/// Root mean square of what the projection multiplies.
fn size(row: &Row) -> f64 {
    let square: f64 = row.gated.iter().map(|v| f64::from(*v) * f64::from(*v)).sum();
    (square / row.gated.len() as f64).sqrt().max(f64::MIN_POSITIVE)
}
