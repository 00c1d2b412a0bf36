//! What the last block makes of the position that answers, and what two read-outs make of that.

use crate::readout::label_row;
use sprig_engine::kernels::Ctx;
use sprig_engine::model::Llama;

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
    pub fn new(model: &Llama<'_>, ctx: &Ctx, (global, up): (Vec<f32>, Vec<f32>), labels: &[u32]) -> Self {
        let rows = labels.iter().map(|&label| label_row(model, ctx, label)).collect();
        let epsilon = f64::from(model.geometry().norm_epsilon);
        Self { local: global.clone(), global, up, rows, epsilon }
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

    /// Loss of `row` among the labels, nats, where the global path has the share `q`; its slope by q; and the label it
    /// chooses. With h = stream + U·(q·s₀ + (1 − q)·s₁), N = mean h² + ε and logits eⱼ·h/√N.
    pub fn judge(&self, row: &Row, q: f64) -> (f64, f64, usize) {
        let (first, second) = (self.scores(&self.global, row), self.scores(&self.local, row));
        let classes = self.classes();
        let (mut h, mut dh) = (Vec::with_capacity(row.stream.len()), Vec::with_capacity(row.stream.len()));
        for (v, up) in row.stream.iter().zip(self.up.chunks_exact(classes)) {
            let [a, b] =
                [&first, &second].map(|s| up.iter().zip(s).map(|(u, s)| f64::from(*u) * s).sum::<f64>());
            h.push(f64::from(*v) + q * a + (1.0 - q) * b);
            dh.push(a - b);
        }
        let d = h.len() as f64;
        let n = h.iter().map(|v| v * v).sum::<f64>() / d + self.epsilon;
        let dn = 2.0 * h.iter().zip(&dh).map(|(a, b)| a * b).sum::<f64>() / d;
        let along = |v: &[f64], e: &[f64]| v.iter().zip(e).map(|(a, b)| a * b).sum::<f64>();
        let logits: Vec<f64> = self.rows.iter().map(|e| along(&h, e) / n.sqrt()).collect();
        let slopes =
            self.rows.iter().zip(&logits).map(|(e, l)| along(&dh, e) / n.sqrt() - l * dn / (2.0 * n));
        let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = logits.iter().map(|l| (l - most).exp()).sum();
        let (mut slope, mut answer) = (0.0, 0.0);
        for (j, (l, dl)) in logits.iter().zip(slopes).enumerate() {
            slope += (l - most).exp() / sum * dl;
            if j == row.answer {
                answer = dl;
            }
        }
        let first = |best: usize, j: usize| if logits[j] > logits[best] { j } else { best };
        let chosen = (1..classes).fold(0, first);
        (most + sum.ln() - logits[row.answer], slope - answer, chosen)
    }
}
