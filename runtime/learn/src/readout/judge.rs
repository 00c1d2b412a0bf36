//! Judges what an update would do to examples that were kept whole: over the whole vocabulary and through the final
//! norm, as the model will answer.

use super::sample::Sample;
use sprig_budget::{Bytes, held_zeros};
use sprig_engine::dual::{DualRows, HEAD_TILE, Head, HeadScratch, RowStats, Stack};
use sprig_engine::kernels::{Ctx, matmul_scratch_len};
use sprig_engine::model::{Geometry, Transformer};

/// A model's end, and room to judge a sample by it.
pub(super) struct Judge<'a> {
    model: &'a Transformer<'a>,
    ctx: &'a Ctx,
    targets: Vec<u32>,
    /// Four numbers a row: log-sum-exp, target, rival, rival's id.
    stats: Vec<f32>,
    hidden: Vec<f32>,
    logits: Vec<f32>,
    z: Vec<f32>,
    panels: Vec<f32>,
}

/// What a sample is answered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Verdict {
    /// Mean loss over the whole vocabulary, nats.
    pub loss: f64,
    /// Share answered with a label, of all the words there are.
    pub labelled: f64,
}

/// Heap bytes of judging `rows` examples.
pub(super) fn bytes(g: &Geometry, rows: usize, threads: usize, panel_rows: usize) -> Bytes {
    let tile = HEAD_TILE.min(g.vocabulary);
    Bytes(4 * (rows * (6 + g.width + tile) + matmul_scratch_len(threads, panel_rows, g.width)) as u64)
}

impl<'a> Judge<'a> {
    /// For the examples of `sample`, whose classes are answered with the tokens `labels`.
    pub(super) fn new(model: &'a Transformer<'a>, ctx: &'a Ctx, sample: &Sample, labels: &[u32]) -> Self {
        let (n, g) = (sample.len(), model.geometry());
        let panels = matmul_scratch_len(ctx.pool.threads(), ctx.panel_rows(), g.width);
        let [hidden, logits] = [n * g.width, n * HEAD_TILE.min(g.vocabulary)].map(held_zeros);
        let [stats, z, panels] = [4 * n, n, panels].map(held_zeros);
        let targets = sample.answers().iter().map(|&answer| labels[answer]).collect();
        Self { model, ctx, targets, stats, hidden, logits, z, panels }
    }

    /// Judges the sample with `step` added to the stream of each example: `step(i, row)` adds to it.
    pub(super) fn verdict(
        &mut self,
        sample: &Sample,
        labels: &[u32],
        step: impl Fn(usize, &mut [f64]),
    ) -> Verdict {
        let (n, d, model) = (sample.len(), self.model.geometry().width, self.model);
        let mut row = vec![0.0f64; d];
        for (i, hidden) in self.hidden.chunks_exact_mut(d).enumerate() {
            row.iter_mut().zip(sample.stream(i)).for_each(|(r, u)| *r = f64::from(*u));
            step(i, &mut row);
            let square: f64 = row.iter().map(|v| v * v).sum();
            let size = (square / d as f64 + f64::from(model.geometry().norm_epsilon)).sqrt();
            for ((h, r), gain) in hidden.iter_mut().zip(&row).zip(model.final_norm()) {
                *h = (r / size) as f32 * gain;
            }
        }
        let (lse, rest) = self.stats.split_at_mut(n);
        let (target, rest) = rest.split_at_mut(n);
        let (rival, rival_id) = rest.split_at_mut(n);
        let none = || [0.0f32; 0];
        let (mut d_lse, mut d_target, mut d_rival) = (none(), none(), none());
        let mut stats = RowStats {
            lse,
            target,
            rival,
            rival_id,
            d_lse: &mut d_lse,
            d_target: &mut d_target,
            d_rival: &mut d_rival,
        };
        let (mut weights, mut pull, mut rows) = (none(), none(), none());
        let mut scratch = HeadScratch {
            logits: &mut self.logits,
            weights: &mut weights,
            pull: &mut pull,
            z: &mut self.z,
            rows: &mut rows,
            panels: &mut self.panels,
        };
        let hidden = DualRows::new(&self.hidden, d, Stack::plain(n));
        let head = Head { ctx: self.ctx, weight: model.head(), keeper: model };
        head.statistics(hidden, &self.targets, &mut stats, &mut scratch);
        let loss: f64 = (0..n).map(|i| f64::from(stats.lse[i]) - f64::from(stats.target[i])).sum();
        let labelled =
            |&i: &usize| stats.target[i] > stats.rival[i] || labels.contains(&(stats.rival_id[i] as u32));
        Verdict { loss: loss / n as f64, labelled: (0..n).filter(labelled).count() as f64 / n as f64 }
    }
}
