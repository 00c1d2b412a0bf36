//! Classification that tells what each candidate got: the loss of [`Choice`], and beside it, in parts that weigh nothing, the
//! candidates' logits themselves. For whoever asks how sure a model is, and whether rightly.

use super::choice::Choice;
use super::{Ask, Dual, Extent, Found, Objective, Verdict, Wants};
use crate::data::Example;
use crate::error::LearnError;

/// Cross-entropy among the candidates, and each one's logit.
#[derive(Clone, Debug)]
pub struct Candidates {
    weights: Vec<f64>,
}

impl Candidates {
    /// For examples of up to `most` candidates.
    pub fn new(most: usize) -> Self {
        let mut weights = vec![0.0; 1 + most];
        weights[0] = 1.0;
        Self { weights }
    }

    /// The logits of example `e` of the last pass, which has `count` candidates, in `parts` of
    /// [`Session::parts`](crate::session::Session::parts).
    pub fn logits<'p>(
        &self,
        parts: &'p [Dual],
        e: usize,
        count: usize,
    ) -> impl Iterator<Item = f64> + use<'p> {
        let each = self.weights.len();
        parts[e * each..][1..=count].iter().map(|part| part.v)
    }
}

impl Objective for Candidates {
    fn wants(&self, extent: Extent) -> Wants {
        Choice.wants(extent)
    }

    fn ask(&self, id: usize, example: &Example<'_>, ask: &mut Ask<'_>) -> Result<(), LearnError> {
        Choice.ask(id, example, ask)
    }

    fn judge(&self, id: usize, example: &Example<'_>, found: &Found<'_>) -> Verdict {
        Choice.judge(id, example, found)
    }

    fn loss(&self, id: usize, example: &Example<'_>, found: &Found<'_>, parts: &mut [Dual]) {
        let (loss, logits) = parts.split_at_mut(1);
        Choice.loss(id, example, found, loss);
        logits.fill(Dual::constant(0.0));
        logits.iter_mut().zip(found.logits()).for_each(|(part, logit)| *part = logit);
    }

    fn weights(&self) -> &[f64] {
        &self.weights
    }
}
