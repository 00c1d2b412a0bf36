//! A training on pairs of answers: what it is measured against, before the first step.

use super::training::Training;
use crate::args::TrainArgs;
use crate::exit::Failure;
use crate::files::beside;
use sprig_budget::Bytes;
use sprig_learn::data::Task;
use sprig_learn::objective::{
    Candidates, KeptReferences, Preference, Reckoned, Reference, references, references_bytes,
};
use sprig_learn::recipe::Batch;
use sprig_run::{Data, apart};
use std::sync::Arc;

/// What the references of `data` take for `preference`, what an epoch is reckoned to, and judging `batch` by the scores of
/// all their answers.
pub fn held(preference: &Preference, data: &Data, batch: Batch) -> (&'static str, Bytes) {
    let references = references_bytes(data.train.len(), batch.as_usize(), data.candidates());
    let reckoned = if preference.reckons() { Reckoned::bytes(data.train.len()) } else { 0 };
    ("what preferences are measured against", references + Bytes(reckoned as u64))
}

impl Training<'_, '_> {
    /// Learns by `preference`, if there is one, against what the adapter that it begins with gives both answers of every
    /// pair of `data`: measured, or where the run goes on and has kept that, read. Held-out data, which have no such
    /// references, are judged by the answers' probabilities. False when interrupted.
    pub fn prefer(
        &mut self,
        preference: Option<Preference>,
        data: &Data,
        args: &TrainArgs,
    ) -> Result<bool, Failure> {
        let Some(preference) = preference else { return Ok(true) };
        let candidates = Candidates::new(data.candidates());
        let kept = KeptReferences::new(&beside(&args.out, "references"), &self.fingerprint);
        let known = if args.resume { apart(|| kept.read(data.train.len())) } else { None };
        let read = known.is_some();
        let found = match known {
            Some(known) => Some(known),
            None => self.measured(&candidates, data)?,
        };
        let Some(found) = found else { return Ok(false) };
        if !read {
            let _ = apart(|| kept.write(&found)); // which only saves time
        }
        self.tell_of_references(&found, read, args.records.task);
        let preference = preference.against(found);
        self.reckoning = preference.reckons().then(|| preference.clone());
        self.trainer.session().0.learn_by(Arc::new(preference));
        self.judging_held_out = Some(Arc::new(candidates));
        Ok(true)
    }

    /// What the adapter as it stands gives the answers of `data`; `None` when interrupted.
    fn measured(&mut self, candidates: &Candidates, data: &Data) -> Result<Option<Vec<Reference>>, Failure> {
        let (data, examples) = (&data.train, self.trainer.cut().examples);
        let what = "measuring what is preferred so far";
        self.output.begin(what, data.len() as u64, 0);
        let (session, adapter) = self.trainer.session();
        session.learn_by(Arc::new(candidates.clone()));
        let (output, interrupt) = (&mut self.output, &self.interrupt);
        let found = references(session, adapter, data, (candidates, examples), |done| {
            output.at(done as u64, || what.to_owned());
            !interrupt.raised()
        });
        output.end();
        Ok(found?)
    }

    fn tell_of_references(&self, found: &[Reference], read: bool, task: Task) {
        let agreed = preferred(found);
        let event = serde_json::json!({
            "event": "references", "n": found.len(), "preferred": agreed, "read": read,
        });
        self.output.event(event, || {
            let what =
                if task == Task::Pair { "pairs whose chosen answer" } else { "right answers, of which each" };
            Some(format!(
                "{} {what} is the likelier one before training: {:.1} %",
                found.len(),
                100.0 * agreed
            ))
        });
    }

    /// Reckons what the confidences of the epoch that the next step begins in are drawn to, where that is to be done and was
    /// not. False when interrupted.
    pub fn reckon(&mut self) -> Result<bool, Failure> {
        let epoch = self.trainer.epoch();
        let known = |preference: &Preference| preference.reckoned().is_some_and(|known| known.epoch == epoch);
        let Some(preference) = self.reckoning.take_if(|preference| !known(preference)) else {
            return Ok(true);
        };
        let (examples, at_once) = (self.trainer.examples(), self.trainer.cut().examples);
        let (output, interrupt) = (&self.output, &self.interrupt);
        let pass = self.trainer.session();
        let found = apart(|| {
            Reckoned::of(pass, examples, at_once, (Arc::new(preference.clone()), epoch), &mut |_| {
                !interrupt.raised()
            })
        });
        let Some(found) = found? else {
            self.reckoning = Some(preference);
            return Ok(false);
        };
        let error = found.error();
        let event =
            serde_json::json!({ "event": "reckoned", "epoch": epoch, "n": examples.len(), "ece10": error });
        output.event(event, || {
            Some(format!("epoch {epoch}: calibration error {:.2} % of what is learnt from", 100.0 * error))
        });
        self.draw_to(preference, found);
        Ok(true)
    }

    /// Goes on as the checkpoint says that the running epoch was reckoned.
    pub fn reckoned(&mut self, found: Option<Reckoned>) {
        if let Some((preference, found)) = self.reckoning.take_if(|_| found.is_some()).zip(found) {
            self.draw_to(preference, found);
        }
    }

    fn draw_to(&mut self, preference: Preference, found: Reckoned) {
        let preference = preference.drawn_to(found);
        self.trainer.session().0.learn_by(Arc::new(preference.clone()));
        self.reckoning = Some(preference);
    }
}

/// Share of the pairs whose preferred answer is the likelier one.
fn preferred(references: &[Reference]) -> f64 {
    let right = references.iter().filter(|reference| reference.chosen > reference.rejected).count();
    right as f64 / references.len().max(1) as f64
}
