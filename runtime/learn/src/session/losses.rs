//! From what the head says of a pass's rows to the losses of its examples, and to their derivatives.

use crate::data::Example;
use crate::minibatch::Minibatch;
use crate::objective::{Dual, Found, Lists, Objective, Verdict};
use crate::outcome::Outcome;
use sprig_engine::model::Read;

/// The losses of a pass's examples.
pub(super) struct Losses<'a> {
    pub(super) objective: &'a dyn Objective,
    pub(super) lists: &'a Lists,
    pub(super) parts: &'a mut Parts,
    pub(super) batch: Minibatch<'a>,
    pub(super) outcomes: &'a mut [Outcome],
}

/// Parts of the losses of the last pass.
pub(super) struct Parts {
    /// \[examples × max(K, 1) × parts\]; a lone part is the loss itself and is not kept.
    values: Vec<Dual>,
    each: usize,
}

impl Losses<'_> {
    /// Outcomes, and derivatives along `tangents` tangents.
    pub(super) fn along(&mut self, read: &Read<'_>, tangents: usize, derivatives: &mut [f32]) {
        let all = Found::new(&read.stats, read.logits, tangents);
        for (e, ((id, example), outcome)) in self.batch.examples().zip(&mut *self.outcomes).enumerate() {
            let (rows, candidates) = self.lists.of(e);
            let found = all.within(rows, candidates);
            *outcome = judged(self.objective, self.batch, id, &example, &found);
            for k in 0..tangents.max(1) {
                let parts = self.parts.next();
                self.objective.loss(id, &example, &found.along(k), parts);
                let loss = mix(self.objective.weights(), parts);
                outcome.loss = loss.v;
                if tangents > 0 {
                    derivatives[e * tangents + k] = loss.d as f32;
                }
            }
        }
    }

    /// Outcomes, and in the slopes of `read` the derivatives of each loss times its weight, by each number that it was made of:
    /// a loss over dual numbers gives one at a time, exactly.
    pub(super) fn slopes(&mut self, read: Read<'_>) {
        let Read { stats, logits, slopes } = read;
        let all = Found::new(&stats, logits, 0);
        let (of_rows, of_candidates) = slopes.split_at_mut(3 * stats.lse.len());
        for (e, ((id, example), outcome)) in self.batch.examples().zip(&mut *self.outcomes).enumerate() {
            let (rows, candidates) = self.lists.of(e);
            let found = all.within(rows.clone(), candidates.clone());
            *outcome = judged(self.objective, self.batch, id, &example, &found);
            let parts = self.parts.next();
            let mut loss = |found: &Found<'_>| {
                self.objective.loss(id, &example, found, parts);
                mix(self.objective.weights(), parts)
            };
            outcome.loss = loss(&found).v;
            let weight = f64::from(outcome.weight());
            let mine = of_rows[3 * rows.start..3 * rows.end].iter_mut().chain(&mut of_candidates[candidates]);
            for (i, slope) in mine.enumerate() {
                *slope = (loss(&found.by(i)).d * weight) as f32;
            }
        }
    }
}

/// What the objective says of an example, its loss excepted.
fn judged(
    objective: &dyn Objective,
    batch: Minibatch<'_>,
    id: usize,
    example: &Example<'_>,
    found: &Found<'_>,
) -> Outcome {
    let (Verdict { rows, hits }, record) = (objective.judge(id, example, found), batch.data.weight(id));
    let (answered, confidence) = (objective.answered(example, found), objective.confidence(example, found));
    let chosen = objective.chosen(found).map(|place| place as u32);
    Outcome { loss: 0.0, rows, hits, answered, confidence, chosen, record }
}

impl Parts {
    pub(super) fn new(each: usize, losses: usize) -> Self {
        Self { values: Vec::with_capacity(if each > 1 { losses * each } else { each }), each }
    }

    /// Its heap bytes; those of a lone part are not worth a line.
    pub(super) fn bytes(each: usize, losses: usize) -> usize {
        if each > 1 { losses * each * size_of::<Dual>() } else { 0 }
    }

    /// Those of the last pass; nothing while the loss is of one part.
    pub(super) fn values(&self) -> &[Dual] {
        if self.each > 1 { &self.values } else { &[] }
    }

    pub(super) fn clear(&mut self) {
        self.values.clear();
    }

    /// Room for the parts of the next loss.
    fn next(&mut self) -> &mut [Dual] {
        if self.each == 1 {
            self.values.clear();
        }
        let at = self.values.len();
        self.values.resize(at + self.each, Dual::constant(0.0));
        &mut self.values[at..]
    }
}

/// The weighted sum of a loss's parts. A lone part of weight 1 keeps all its bits.
fn mix(weights: &[f64], parts: &[Dual]) -> Dual {
    weights.iter().zip(parts).map(|(weight, part)| part.times(*weight)).sum()
}
