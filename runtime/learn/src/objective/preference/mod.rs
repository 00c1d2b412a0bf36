//! Preferences: of two answers to a prompt one is better. Pairs come as records of two completions, or from a question
//! with its right answer and a wrong one; of these only the labels' logits or one row each are looked at.
//!
//! A pass gives three parts at once, the preference, what calibrates and the preferred answer's cross-entropy, of which the
//! objective's [`Aim`] trains a sum: what is weighed is decided after the pass.

mod catto;
mod dpo;
mod kept;
pub(super) mod pair;
mod rcft;
mod references;
mod terms;

pub use kept::KeptReferences;
pub use pair::Reference;
pub use rcft::Reckoned;
pub use references::{held, measure, prefer};
pub use terms::{Aim, Distance, Terms};

use super::{Ask, Choice, Dual, Extent, Found, LabelLoss, Objective, Verdict, Wants};
use crate::data::{Example, Target};
use crate::error::LearnError;
use pair::{Pair, ask_both, labels};
use std::sync::Arc;

/// Parts of its loss.
const PARTS: usize = 3;

/// An objective over pairs of answers.
#[derive(Clone, Debug)]
pub struct Preference {
    aim: Aim,
    terms: Terms,
    vocabulary: LabelLoss,
    weights: [f64; PARTS],
    references: Arc<[Reference]>,
    reckoned: Option<Arc<Reckoned>>,
}

impl Preference {
    /// The objective `aim`, against a policy that gives every answer the probability 1; of labels the confidence and the
    /// cross-entropy count `vocabulary`.
    pub fn new(aim: Aim, terms: Terms, vocabulary: LabelLoss) -> Self {
        let weights = match aim {
            Aim::Sft => [0.0, 0.0, 1.0],
            Aim::Dpo => [1.0, 0.0, terms.sft],
            Aim::Rcft => [0.0, terms.lambda, 1.0],
            Aim::CalDpo | Aim::DpoBce | Aim::Catto | Aim::Penalty => [1.0, terms.lambda, terms.sft],
        };
        Self { aim, terms, vocabulary, weights, references: Arc::new([]), reckoned: None }
    }

    /// The same against `references`, one an example of the data in its order.
    pub fn against(self, references: Vec<Reference>) -> Self {
        Self { references: references.into(), ..self }
    }

    /// The same with weights of its own for the preference, what calibrates and the preferred answer's cross-entropy.
    pub fn weighing(self, weights: [f64; PARTS]) -> Self {
        Self { weights, ..self }
    }

    /// What these weigh.
    pub fn weighed(&self) -> [f64; PARTS] {
        self.weights
    }

    /// The same with confidences drawn to what an epoch was reckoned to.
    pub fn drawn_to(self, reckoned: Reckoned) -> Self {
        Self { reckoned: Some(Arc::new(reckoned)), ..self }
    }

    /// Whether every epoch is to be [reckoned](Reckoned) before its first step.
    pub fn reckons(&self) -> bool {
        self.aim == Aim::Rcft && self.weights[1] != 0.0
    }

    /// What the running epoch was reckoned to.
    pub fn reckoned(&self) -> Option<&Reckoned> {
        self.reckoned.as_deref()
    }

    fn reference(&self, id: usize) -> Reference {
        self.references.get(id).copied().unwrap_or_default()
    }

    /// Whether of labels a row of the whole vocabulary is looked at: preferences alone are differences of two logits.
    fn looks_at_rows(&self) -> bool {
        let calibrates = self.weights[1] != 0.0 && self.aim != Aim::CalDpo;
        self.vocabulary == LabelLoss::Full && (calibrates || self.weights[2] != 0.0)
    }
}

impl Objective for Preference {
    fn wants(&self, extent: Extent) -> Wants {
        match extent.candidates {
            0 => Wants { rows: extent.tokens, logits: 0, sequences: 2 },
            _ => Wants { rows: if self.looks_at_rows() { 2 } else { 0 }, ..Choice.wants(extent) },
        }
    }

    fn ask(&self, id: usize, example: &Example<'_>, ask: &mut Ask<'_>) -> Result<(), LearnError> {
        match example.target {
            Target::Pair { .. } => ask_both(example, ask),
            Target::Label { row, candidates, .. } => {
                ask.logits(row, candidates);
                if self.looks_at_rows() {
                    let (right, wrong) = labels(example, &self.reference(id));
                    [right, wrong].into_iter().for_each(|label| ask.row(row, candidates[label]));
                }
            }
            Target::Lm { .. } => {
                let message = "a preference cannot be learnt from single texts; use records of task pair, label or choice";
                return Err(LearnError::Settings(message.into()));
            }
        }
        Ok(())
    }

    fn judge(&self, id: usize, example: &Example<'_>, found: &Found<'_>) -> Verdict {
        match example.target {
            Target::Label { .. } => Choice.judge(id, example, found),
            Target::Pair { .. } | Target::Lm { .. } => {
                let gained = dpo::margin(&Pair::of(example, self.reference(id), found)).v;
                Verdict { rows: 1, hits: u32::from(gained > 0.0) }
            }
        }
    }

    fn confidence(&self, example: &Example<'_>, found: &Found<'_>) -> Option<f64> {
        Choice.confidence(example, found)
    }

    fn loss(&self, id: usize, example: &Example<'_>, found: &Found<'_>, parts: &mut [Dual]) {
        let pair = Pair::of(example, self.reference(id), found);
        parts[0] = dpo::loss(&pair, &self.terms);
        parts[1] = match self.aim {
            Aim::CalDpo => dpo::drawn(&pair, &self.terms),
            Aim::Rcft => rcft::loss(self.reckoned(), id, example, found),
            aim => catto::loss(aim, &pair, &self.terms),
        };
        parts[2] = pair.chosen.cross_entropy();
    }

    fn weights(&self) -> &[f64] {
        &self.weights
    }
}

#[cfg(test)]
mod tests;
