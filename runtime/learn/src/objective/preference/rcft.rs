//! Regularised calibration-aware finetuning (after Xiao and others, arXiv 2505.01997): beside the chosen answer's
//! cross-entropy (c − a)², with c the model's confidence in its answer and a the accuracy of the training answers whose
//! confidence was like this one's when the epoch began, which is held; its derivative is 2(c − a)ċ. The square is ours.
//!
//! Of labels and choices c is the largest probability among them, right or not; of a completion the mean over its tokens of
//! the largest probability, and of its tokens those are right that the model would say there.

use super::pair::{Pair, Reference};
use crate::calibration::Bins;
use crate::data::{Example, Examples, Target};
use crate::error::LearnError;
use crate::minibatch::Minibatch;
use crate::objective::{Ask, Dual, Extent, Found, Objective, Row, Verdict, Wants};
use crate::outcome::Outcome;
use crate::session::Session;
use serde::{Deserialize, Serialize};
use sprig_engine::adapter::Adapter;
use std::sync::Arc;

/// Bins of equal width that answers are put into.
const BINS: usize = 10;

/// Parts of what tells how sure a model is.
const PARTS: usize = 3;

/// Stands for an example that was not looked at.
const UNKNOWN: u8 = b'-';

/// What an epoch's confidences are drawn to: a byte an example of the data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reckoned {
    /// The epoch, from 0.
    pub epoch: u64,
    bins: Bins,
    /// Letter of each example's bin.
    places: String,
}

impl Reckoned {
    /// Has `session` run `examples`, `at_once` at a time, through `adapter` as it is, with the frozen prefix rounded as in
    /// training, and counts what is right of the rows and logits that `objective` asks for. `progress` gets the number of examples done; `None` when it says
    /// stop. Afterwards the session learns by whatever it is told.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn of(
        (session, adapter): (&mut Session<'_>, &Adapter),
        examples: Examples<'_>,
        at_once: usize,
        (objective, epoch): (Arc<dyn Objective>, u64),
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Option<Self>, LearnError> {
        session.learn_by(Arc::new(Sureness(objective)));
        let data = examples.set();
        let (mut bins, mut places) = (Bins::new(BINS), vec![UNKNOWN; data.len()]);
        let mut outcomes = vec![Outcome::default(); at_once];
        let mut ids = Vec::with_capacity(at_once);
        for from in (0..examples.len()).step_by(at_once) {
            ids.clear();
            ids.extend((from..examples.len().min(from + at_once)).map(|i| examples.id(i)));
            session.judge(adapter, Minibatch::new(data, &ids), &mut outcomes[..ids.len()])?;
            for (&id, parts) in ids.iter().zip(session.parts().chunks(PARTS)) {
                let [confidence, right, tokens] = [0, 1, 2].map(|i| parts[i].v);
                bins.count(confidence, right as u64, tokens as u64);
                places[id] = b'a' + bins.place(confidence) as u8;
            }
            if !progress(from + ids.len()) {
                return Ok(None);
            }
        }
        let places = places.into_iter().map(char::from).collect();
        Ok(Some(Self { epoch, bins, places }))
    }

    /// Most bytes it takes for `examples` examples, with its text in a checkpoint as written and as read.
    pub fn bytes(examples: usize) -> usize {
        8 * examples + 8 * 1024
    }

    /// How far confidence and accuracy were apart when the epoch began: the expected calibration error.
    pub fn error(&self) -> f64 {
        self.bins.ece()
    }

    /// The accuracy that example `id` is drawn to: of its bin when the epoch began, and of one that was not looked at, being
    /// held back, of the bin of its `confidence` now. `None` where nothing was in that.
    fn accuracy(&self, id: usize, confidence: f64) -> Option<f64> {
        let place = match self.places.as_bytes().get(id) {
            Some(&letter) if letter != UNKNOWN => usize::from(letter.saturating_sub(b'a')),
            _ => self.bins.place(confidence),
        };
        self.bins.accuracy(place)
    }
}

/// How sure a model is of its answer, and how much of that is right.
struct Sure {
    confidence: Dual,
    right: usize,
    tokens: usize,
}

/// What example `id` adds to the loss, given what its epoch was `reckoned` to; nothing before that.
pub(super) fn loss(reckoned: Option<&Reckoned>, id: usize, example: &Example<'_>, found: &Found<'_>) -> Dual {
    let confidence = Sure::of(example, found).confidence;
    let accuracy = reckoned.and_then(|reckoned| reckoned.accuracy(id, confidence.v));
    accuracy.map_or(Dual::constant(0.0), |accuracy| {
        let away = confidence - Dual::constant(accuracy);
        away * away
    })
}

impl Sure {
    fn of(example: &Example<'_>, found: &Found<'_>) -> Self {
        let Target::Label { answer, .. } = example.target else {
            let chosen = Pair::of(example, Reference::default(), found).chosen;
            let top = |row: Row| {
                let right = row.target.v > row.rival.v;
                ((if right { row.target } else { row.rival } - row.lse).exp(), usize::from(right))
            };
            let none = (Dual::constant(0.0), 0, 0);
            let (sum, right, tokens) =
                chosen.tokens().map(top).fold(none, |(sum, hits, n), (c, hit)| (sum + c, hits + hit, n + 1));
            return Self { confidence: sum.over(tokens.max(1) as f64), right, tokens };
        };
        let first = (0, Dual::constant(f64::NEG_INFINITY));
        let (best, top) =
            found.logits().enumerate().fold(first, |b, (i, l)| if l.v > b.1.v { (i, l) } else { b });
        let rest = found.logits().fold(Dual::constant(0.0), |sum, l| sum + (l - top).exp());
        Self { confidence: (-rest.ln()).exp(), right: usize::from(best == answer), tokens: 1 }
    }
}

/// Tells how sure a model is, in parts that weigh nothing: confidence, right tokens, tokens.
#[derive(Clone, Debug)]
struct Sureness(Arc<dyn Objective>);

impl Objective for Sureness {
    fn wants(&self, extent: Extent) -> Wants {
        self.0.wants(extent)
    }

    fn ask(&self, id: usize, example: &Example<'_>, ask: &mut Ask<'_>) -> Result<(), LearnError> {
        self.0.ask(id, example, ask)
    }

    fn judge(&self, id: usize, example: &Example<'_>, found: &Found<'_>) -> Verdict {
        self.0.judge(id, example, found)
    }

    fn loss(&self, _: usize, example: &Example<'_>, found: &Found<'_>, parts: &mut [Dual]) {
        let Sure { confidence, right, tokens } = Sure::of(example, found);
        parts.copy_from_slice(&[confidence, Dual::constant(right as f64), Dual::constant(tokens as f64)]);
    }

    fn weights(&self) -> &[f64] {
        &[0.0; PARTS]
    }
}
