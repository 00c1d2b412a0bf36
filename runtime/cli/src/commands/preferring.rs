//! A training on pairs of answers: what it is measured against, before the first step.

use super::training::Training;
use crate::exit::Failure;
use sprig_budget::Bytes;
use sprig_learn::data::Task;
use sprig_learn::objective::{Candidates, Objective, Preference, Reference, references, references_bytes};
use sprig_learn::recipe::Batch;
use sprig_run::Data;
use std::sync::Arc;

/// What the references of `data` take, and judging `batch` by the scores of all their answers.
pub fn held(data: &Data, batch: Batch) -> (&'static str, Bytes) {
    let bytes = references_bytes(data.train.len(), batch.as_usize(), data.candidates());
    ("what preferences are measured against", bytes)
}

impl Training<'_, '_> {
    /// Learns by `preference`, if there is one, against what the adapter that it begins with gives both answers of every
    /// pair of `data`. Held-out data, which have no such references, are judged by the answers' probabilities. False when
    /// interrupted.
    pub fn prefer(
        &mut self,
        preference: Option<Preference>,
        data: &Data,
        task: Task,
    ) -> Result<bool, Failure> {
        let Some(preference) = preference else { return Ok(true) };
        let (candidates, data) = (Candidates::new(data.candidates()), &data.train);
        let by_scores: Arc<dyn Objective> = Arc::new(candidates.clone());
        let examples = self.trainer.cut().examples;
        let what = "measuring what is preferred so far";
        self.output.begin(what, data.len() as u64, 0);
        let (session, adapter) = self.trainer.session();
        session.learn_by(by_scores.clone());
        let (output, interrupt) = (&mut self.output, &self.interrupt);
        let found = references(session, adapter, data, (&candidates, examples), |done| {
            output.at(done as u64, || what.to_owned());
            !interrupt.raised()
        });
        output.end();
        let Some(found) = found? else { return Ok(false) };
        let agreed = preferred(&found);
        let event = serde_json::json!({ "event": "references", "n": found.len(), "preferred": agreed });
        output.event(event, || {
            let what =
                if task == Task::Pair { "pairs whose chosen answer" } else { "right answers, of which each" };
            Some(format!(
                "{} {what} is the likelier one before training: {:.1} %",
                found.len(),
                100.0 * agreed
            ))
        });
        self.trainer.session().0.learn_by(Arc::new(preference.against(found)));
        self.judging_held_out = Some(by_scores);
        Ok(true)
    }
}

/// Share of the pairs whose preferred answer is the likelier one.
fn preferred(references: &[Reference]) -> f64 {
    let right = references.iter().filter(|reference| reference.chosen > reference.rejected).count();
    right as f64 / references.len().max(1) as f64
}
