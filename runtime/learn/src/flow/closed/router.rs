//! A router over two read-outs: z = w·φ + b and the share q = 1/(1 + e⁻ᶻ) of the global one, with Σ loss(q) + λ|w|²/2 least
//! over the device's second half, by gradient descent in the examples' own terms, w = Φᵀα.
//!
//! How much of a text it may look at is for the examples to say: λ is chosen by leaving out a quarter of them at a time,
//! against one share for all texts (λ without end) and against each path alone. Of equals the simplest is taken.

use super::path::{Line, Paths, Row};

/// λ over the mean of the kernel's diagonal and the number of examples.
const REGULARISATIONS: [f64; 6] = [1.0, 0.1, 0.03, 0.01, 0.003, 0.001];
/// Steps of descent.
const STEPS: usize = 200;
/// Parts of the examples, each left out in its turn.
const PARTS: usize = 4;
/// Nats that a more complicated choice has to be better by: no more than chance at some 50 examples.
const BETTER: f64 = 0.005;

/// How the global path's share is chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Router {
    /// Weights of what it looks at, then the bias.
    pub weights: Vec<f32>,
    /// Which choice that is.
    pub share: Share,
    /// Mean loss of examples by a router that did not see them, nats.
    pub loss: f64,
}

/// Choices of a share, the simplest first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Share {
    /// The global path alone.
    Global,
    /// The local one alone.
    Local,
    /// One share for all texts.
    One,
    /// A share for each text, with this λ.
    Each(f64),
}

/// A bias that leaves the other path nothing: sigmoid(±100) is 1 or 0 in single precision.
const CERTAIN: f32 = 100.0;

impl Router {
    /// Fits a router to `rows`, which neither path has learnt from.
    pub fn fit(paths: &Paths, rows: &[Row]) -> Self {
        let width = rows.first().map_or(0, |row| row.seen.len());
        let choices = [Share::Global, Share::Local, Share::One].into_iter();
        let choices = choices.chain(REGULARISATIONS.into_iter().map(Share::Each));
        let mut best = (f64::INFINITY, Share::Global);
        let problem = Problem::new(paths, rows);
        if rows.len() >= 2 * PARTS {
            for share in choices {
                let loss = problem.left_out(share);
                if loss < best.0 - BETTER {
                    best = (loss, share);
                }
            }
        }
        let mut weights = vec![0.0; width + 1];
        match best.1 {
            Share::Global => weights[width] = CERTAIN,
            Share::Local => weights[width] = -CERTAIN,
            share => {
                let all: Vec<usize> = (0..rows.len()).collect();
                let (alpha, bias) = problem.descend(share, &all);
                for (w, j) in weights.iter_mut().zip(0..width) {
                    let own = alpha.iter().zip(rows).map(|(a, row)| a * f64::from(row.seen[j]));
                    *w = (own.sum::<f64>() / problem.diagonal) as f32;
                }
                weights[width] = bias as f32;
            }
        }
        Self { weights, share: best.1, loss: best.0 }
    }
}

struct Problem {
    lines: Vec<Line>,
    /// ⟨φᵢ, φⱼ⟩ over its mean diagonal.
    kernel: Vec<f64>,
    diagonal: f64,
}

impl Problem {
    fn new(paths: &Paths, rows: &[Row]) -> Self {
        let n = rows.len();
        let dot = |i: usize, j: usize| -> f64 {
            rows[i].seen.iter().zip(&rows[j].seen).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        let mut kernel: Vec<f64> = (0..n * n).map(|at| dot(at / n, at % n)).collect();
        let diagonal = (0..n).map(|i| kernel[i * n + i]).sum::<f64>() / n as f64;
        let diagonal = diagonal.max(f64::MIN_POSITIVE);
        kernel.iter_mut().for_each(|k| *k /= diagonal);
        Self { lines: rows.iter().map(|row| paths.line(row)).collect(), kernel, diagonal }
    }

    /// Mean loss of examples by routers of the others.
    fn left_out(&self, share: Share) -> f64 {
        let n = self.lines.len();
        let loss = |i: usize, q: f64| self.lines[i].judge(q).0;
        let sum: f64 = match share {
            Share::Global => (0..n).map(|i| loss(i, 1.0)).sum(),
            Share::Local => (0..n).map(|i| loss(i, 0.0)).sum(),
            Share::One | Share::Each(_) => (0..PARTS)
                .map(|part| {
                    let (out, kept): (Vec<usize>, Vec<usize>) = (0..n).partition(|i| i % PARTS == part);
                    let (alpha, bias) = self.descend(share, &kept);
                    out.iter().map(|&i| loss(i, sigmoid(self.z(i, &alpha) + bias))).sum::<f64>()
                })
                .sum(),
        };
        sum / n as f64
    }

    /// α, 0 for examples not in `of`, and b.
    fn descend(&self, share: Share, of: &[usize]) -> (Vec<f64>, f64) {
        let n = self.lines.len();
        let (mut alpha, mut bias, mut step) = (vec![0.0; n], 0.0, 1.0);
        let lambda = match share {
            Share::Each(lambda) => Some(lambda),
            _ => None,
        };
        let value = |alpha: &[f64], bias: f64| {
            let mut slopes = vec![0.0; n];
            let (mut sum, mut held) = (0.0, 0.0);
            for &i in of {
                let z = self.z(i, alpha);
                let q = sigmoid(z + bias);
                let (loss, slope) = self.lines[i].judge(q);
                sum += loss;
                held += alpha[i] * z;
                slopes[i] = slope * q * (1.0 - q) / of.len() as f64;
            }
            (sum / of.len() as f64 + 0.5 * lambda.unwrap_or(0.0) * held, slopes)
        };
        let (mut now, mut slopes) = value(&alpha, bias);
        for _ in 0..STEPS {
            let next: Vec<f64> = match lambda {
                Some(lambda) => {
                    let pairs = alpha.iter().zip(&slopes);
                    pairs
                        .map(|(a, s)| a - step * of.len() as f64 * (s + lambda * a / of.len() as f64))
                        .collect()
                }
                None => alpha.clone(),
            };
            let moved = bias - step * 4.0 * slopes.iter().sum::<f64>();
            let (then, after) = value(&next, moved);
            if then < now {
                let gain = now - then;
                (alpha, bias, now, slopes, step) = (next, moved, then, after, step * 1.5);
                if gain < 1e-7 {
                    break;
                }
            } else {
                step *= 0.5;
                if step < 1e-6 {
                    break;
                }
            }
        }
        (alpha, bias)
    }

    fn z(&self, i: usize, alpha: &[f64]) -> f64 {
        let n = self.lines.len();
        self.kernel[i * n..][..n].iter().zip(alpha).map(|(k, a)| k * a).sum()
    }
}

fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-z))
}
