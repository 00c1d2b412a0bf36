//! What each answer that an example has to choose among got: of labels and choices the logits of their tokens, of a pair the
//! log-probabilities of both completions. The loss is that of [`Choice`], and the scores stand beside it in parts that weigh
//! nothing. For whoever asks how sure a model is, and whether rightly.

use super::choice::{Choice, cross_entropy};
use super::preference::pair::{ask_both, of_both};
use super::{Ask, Dual, Extent, Found, Objective, Verdict, Wants};
use crate::data::{Example, Target};
use crate::error::LearnError;

/// Cross-entropy among the answers, and each one's score.
#[derive(Clone, Debug)]
pub struct Candidates {
    weights: Vec<f64>,
}

impl Candidates {
    /// For examples of up to `most` candidates; completions are two.
    pub fn new(most: usize) -> Self {
        let mut weights = vec![0.0; 1 + most.max(2)];
        weights[0] = 1.0;
        Self { weights }
    }

    /// The scores of `example`, the `e`-th of the last pass, in `parts` of [`Session::parts`](crate::session::Session::parts).
    pub fn scores<'p>(
        &self,
        parts: &'p [Dual],
        e: usize,
        example: &Example<'_>,
    ) -> impl Iterator<Item = f64> + use<'p> {
        let count = match example.target {
            Target::Label { candidates, .. } => candidates.len(),
            Target::Pair { .. } => 2,
            Target::Lm { .. } => 0,
        };
        parts[e * self.weights.len()..][1..=count].iter().map(|part| part.v)
    }
}

impl Objective for Candidates {
    fn wants(&self, extent: Extent) -> Wants {
        match extent.candidates {
            0 => Wants { rows: extent.tokens, logits: 0, sequences: 2 },
            _ => Choice.wants(extent),
        }
    }

    fn ask(&self, id: usize, example: &Example<'_>, ask: &mut Ask<'_>) -> Result<(), LearnError> {
        match example.target {
            Target::Pair { .. } => ask_both(example, ask),
            Target::Label { .. } | Target::Lm { .. } => Choice.ask(id, example, ask)?,
        }
        Ok(())
    }

    fn judge(&self, id: usize, example: &Example<'_>, found: &Found<'_>) -> Verdict {
        match example.target {
            Target::Pair { .. } => {
                let [chosen, rejected] = of_both(example, found);
                Verdict { rows: 1, hits: u32::from(chosen.v > rejected.v) }
            }
            Target::Label { .. } | Target::Lm { .. } => Choice.judge(id, example, found),
        }
    }

    fn loss(&self, id: usize, example: &Example<'_>, found: &Found<'_>, parts: &mut [Dual]) {
        let (loss, scores) = parts.split_at_mut(1);
        scores.fill(Dual::constant(0.0));
        match example.target {
            Target::Pair { .. } => {
                let both = of_both(example, found);
                loss[0] = cross_entropy(both.into_iter(), both[0]);
                scores[..2].copy_from_slice(&both);
            }
            Target::Label { .. } | Target::Lm { .. } => {
                Choice.loss(id, example, found, loss);
                scores.iter_mut().zip(found.logits()).for_each(|(part, logit)| *part = logit);
            }
        }
    }

    fn weights(&self) -> &[f64] {
        &self.weights
    }
}
