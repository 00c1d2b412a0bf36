//! What the last block makes of the position that answers, and what two read-outs make of that.

use crate::readout::label_row;
use sprig_engine::kernels::Ctx;
use sprig_engine::model::Transformer;

/// One example, as the last block leaves it without a read-out.
#[derive(Clone, Debug)]
pub struct Row {
    /// What the down projection multiplies.
    pub gated: Vec<f32>,
    /// The stream that the final norm sees.
    pub stream: Vec<f32>,
    /// What the router of the last block looks at.
    pub seen: Vec<f32>,
    /// Place of the answer among the labels.
    pub answer: usize,
}

/// Two read-outs whose scores go the same way out, and the labels they lead to.
#[derive(Clone, Debug)]
pub struct Paths {
    /// Weights of the global scores, labels × inputs.
    pub global: Vec<f32>,
    /// Of the local ones.
    pub local: Vec<f32>,
    /// What a score adds to the stream, width × labels, the adapter's scale included.
    pub up: Vec<f32>,
    /// Rows of the head of the labels, times the gain of the final norm.
    rows: Vec<Vec<f64>>,
    epsilon: f64,
}

impl Paths {
    /// Of the read-out `global` and `up` of a `model`, whose local path is the same; `labels` are the tokens of the answers.
    pub fn new(
        model: &Transformer<'_>,
        ctx: &Ctx,
        (global, up): (Vec<f32>, Vec<f32>),
        labels: &[u32],
    ) -> Self {
        let rows = labels.iter().map(|&label| label_row(model, ctx, label)).collect();
        let epsilon = f64::from(model.geometry().norm_epsilon);
        Self { local: global.clone(), global, up, rows, epsilon }
    }

    #[cfg(test)]
    pub(super) fn heads(&self) -> &[Vec<f64>] {
        &self.rows
    }

    #[cfg(test)]
    pub(super) fn epsilon(&self) -> f64 {
        self.epsilon
    }

    /// Labels.
    pub fn classes(&self) -> usize {
        self.rows.len()
    }

    /// Scores of `row` by `weights`.
    pub fn scores(&self, weights: &[f32], row: &Row) -> Vec<f64> {
        let n = row.gated.len();
        let dot = |w: &[f32]| w.iter().zip(&row.gated).map(|(w, v)| f64::from(*w) * f64::from(*v)).sum();
        weights.chunks_exact(n).map(dot).collect()
    }

    /// Whether each score moves its own label more than it moves any other: what a read-out's do.
    pub fn are_scores(&self) -> bool {
        let classes = self.classes();
        let moves = |row: &[f64], j: usize| -> f64 {
            row.iter().zip(self.up.chunks_exact(classes)).map(|(e, up)| e * f64::from(up[j])).sum()
        };
        (0..classes).all(|j| {
            let own = moves(&self.rows[j], j);
            (0..classes).all(|other| other == j || moves(&self.rows[other], j) < own)
        })
    }

    /// How the answer to `row` depends on the global path's share.
    pub fn line(&self, row: &Row) -> Line {
        let [first, second] = [&self.global, &self.local].map(|weights| self.scores(weights, row));
        let classes = self.classes();
        let (mut h, mut step) = (Vec::with_capacity(row.stream.len()), Vec::with_capacity(row.stream.len()));
        for (v, up) in row.stream.iter().zip(self.up.chunks_exact(classes)) {
            let added = |s: &[f64]| up.iter().zip(s).map(|(u, s)| f64::from(*u) * s).sum::<f64>();
            let (a, b) = (added(&first), added(&second));
            h.push(f64::from(*v) + b);
            step.push(a - b);
        }
        let along = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let d = h.len() as f64;
        Line {
            logits: self.rows.iter().map(|e| [along(&h, e), along(&step, e)]).collect(),
            size: [along(&h, &h) / d + self.epsilon, 2.0 * along(&h, &step) / d, along(&step, &step) / d],
            answer: row.answer,
        }
    }
}

/// One example between its two paths: with h = stream + U·(q·s₀ + (1 − q)·s₁) and N = mean h² + ε, the labels' logits are
/// eⱼ·h/√N, where eⱼ·h is a line in q and N a parabola.
#[derive(Clone, Debug)]
pub struct Line {
    /// eⱼ·h at q = 0, and its slope.
    logits: Vec<[f64; 2]>,
    /// N's three coefficients.
    size: [f64; 3],
    answer: usize,
}

impl Line {
    /// The loss among the labels where the global path has the share `q`, nats, and its slope by q.
    pub fn judge(&self, q: f64) -> (f64, f64) {
        let [n0, n1, n2] = self.size;
        let (n, dn) = (n0 + q * (n1 + q * n2), n1 + 2.0 * q * n2);
        let root = n.sqrt();
        let logit = |[at, slope]: [f64; 2]| {
            let l = (at + q * slope) / root;
            (l, slope / root - l * dn / (2.0 * n))
        };
        let most = self.logits.iter().map(|l| logit(*l).0).fold(f64::NEG_INFINITY, f64::max);
        let (mut sum, mut pull) = (0.0, 0.0);
        for l in &self.logits {
            let (l, slope) = logit(*l);
            let weight = libm::exp(l - most);
            (sum, pull) = (sum + weight, pull + weight * slope);
        }
        let (own, slope) = logit(self.logits[self.answer]);
        (most + libm::log(sum) - own, pull / sum - slope)
    }
}
