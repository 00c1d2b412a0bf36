//! What answers had before training: the policy that a preference is measured against, without a second model. 12 bytes an
//! example, from one plain pass.

use super::Preference;
use super::pair::Reference;
use crate::data::{DataSet, Example, Target};
use crate::error::LearnError;
use crate::minibatch::Minibatch;
use crate::objective::{Candidates, Dual};
use crate::outcome::Outcome;
use crate::session::Session;
use sprig_budget::Bytes;
use sprig_engine::adapter::Adapter;
use std::sync::Arc;

/// Heap bytes of what `examples` examples had before training, and of measuring that in passes of up to `losses` losses,
/// with up to `candidates` answers an example.
pub fn held(examples: usize, losses: usize, candidates: usize) -> Bytes {
    let scores = losses * (1 + candidates.max(2)) * size_of::<Dual>();
    Bytes((examples * size_of::<Reference>() + scores) as u64)
}

/// Has `session` run all of `data`, `examples` at a time, through `adapter` as it is, with the frozen prefix rounded as in
/// training. `candidates` is what it judges by meanwhile: of as many as an example has at most, or 2. `progress` gets the
/// number of examples done; `None` when it says stop. Afterwards the session learns by whatever it is told.
///
/// # Errors
/// As [`Session::run`].
pub fn measure(
    session: &mut Session<'_>,
    adapter: &Adapter,
    data: &DataSet,
    (candidates, examples): (&Candidates, usize),
    mut progress: impl FnMut(usize) -> bool,
) -> Result<Option<Vec<Reference>>, LearnError> {
    let mut references = Vec::with_capacity(data.len());
    let mut outcomes = vec![Outcome::default(); examples];
    let (mut ids, mut scores) = (Vec::with_capacity(examples), Vec::new());
    for from in (0..data.len()).step_by(examples) {
        ids.clear();
        ids.extend(from..data.len().min(from + examples));
        let batch = Minibatch::new(data, &ids);
        session.judge(adapter, batch, &mut outcomes[..ids.len()])?;
        for (e, (_, example)) in batch.examples().enumerate() {
            scores.clear();
            scores.extend(candidates.scores(session.parts(), e, &example));
            references.push(Reference::of(&example, &scores));
        }
        if !progress(references.len()) {
            return Ok(None);
        }
    }
    Ok(Some(references))
}

/// Has `session` learn by `preference` from now on, against what `adapter` gives as it is. False when `progress` says stop.
///
/// # Errors
/// As [`measure`].
pub fn prefer(
    session: &mut Session<'_>,
    adapter: &Adapter,
    (data, examples): (&DataSet, usize),
    preference: Preference,
    progress: impl FnMut(usize) -> bool,
) -> Result<bool, LearnError> {
    let most = (0..data.len()).map(|id| data.candidates(id)).max().unwrap_or(0);
    let candidates = Candidates::new(most);
    session.learn_by(Arc::new(candidates.clone()));
    let Some(found) = measure(session, adapter, data, (&candidates, examples), progress)? else {
        return Ok(false);
    };
    session.learn_by(Arc::new(preference.against(found)));
    Ok(true)
}

impl Reference {
    /// From the `scores` of an example's candidates, or of its two completions.
    fn of(example: &Example<'_>, scores: &[f64]) -> Self {
        let at = |i: usize| scores.get(i).copied().unwrap_or(0.0);
        let Target::Label { answer, .. } = example.target else {
            return Self { chosen: at(0) as f32, rejected: at(1) as f32, negative: None };
        };
        let wrong = scores.iter().copied().enumerate().filter(|&(i, _)| i != answer);
        let first = (0, f64::NEG_INFINITY);
        let (worst, _) = wrong.fold(first, |best, (i, score)| if score > best.1 { (i, score) } else { best });
        let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let lse = top + libm::log(scores.iter().map(|score| libm::exp(score - top)).sum());
        let [chosen, rejected] = [answer, worst].map(|i| (at(i) - lse) as f32);
        Self { chosen, rejected, negative: Some(worst as u16) }
    }
}
