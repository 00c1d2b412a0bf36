//! Evaluation: mean loss and accuracy with a 95 % interval.

use crate::confusion::{Confusion, Wrong};
use crate::data::{Examples, Target};
use crate::error::LearnError;
use crate::minibatch::Minibatch;
use crate::outcome::Outcome;
use crate::session::Session;
use serde::{Deserialize, Serialize};
use sprig_engine::adapter::Adapter;

/// Result over a data set.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Items judged: examples of a classification, target tokens of a language model.
    pub n: u64,
    /// Mean loss over them, nats; by the weights of their records, as in training. All else counts each alike.
    pub loss: f64,
    /// Standard error of that mean, records drawn anew.
    #[serde(default)]
    pub loss_error: f64,
    /// Share of items whose best choice was right.
    pub accuracy: f64,
    /// 95 % Wilson interval of the accuracy. For a language model the tokens of one text are not independent, so the
    /// interval is then narrower than it should be.
    pub interval: [f64; 2],
    /// Share of examples to which the likeliest token of all is an answer, right or wrong: what a model says that is asked
    /// greedily. `None` where there are no answers to choose among, or nobody asked.
    #[serde(default)]
    pub answered: Option<f64>,
}

/// Evaluates all of `data`, `examples` at a time. `progress` gets the number of examples done; `None` when it says stop.
pub fn evaluate<'d>(
    session: &mut Session<'_>,
    adapter: Option<&Adapter>,
    data: impl Into<Examples<'d>>,
    examples: usize,
    progress: impl FnMut(usize) -> bool,
) -> Result<Option<Evaluation>, LearnError> {
    evaluate_counting(session, adapter, data, examples, None, progress)
}

/// The same, and counts into `confusion` which label each example was given.
pub fn evaluate_counting<'d>(
    session: &mut Session<'_>,
    adapter: Option<&Adapter>,
    data: impl Into<Examples<'d>>,
    examples: usize,
    confusion: Option<&mut Confusion>,
    progress: impl FnMut(usize) -> bool,
) -> Result<Option<Evaluation>, LearnError> {
    tally(data.into(), examples, confusion, progress, |batch, outcomes| {
        session.run(adapter, None, batch, outcomes, &mut [])
    })
}

/// The same from the activations that the session's prefix cache keeps below `adapter`, rounded as they are in training.
pub fn evaluate_from_prefix(
    session: &mut Session<'_>,
    adapter: &Adapter,
    data: Examples<'_>,
    examples: usize,
    progress: impl FnMut(usize) -> bool,
) -> Result<Option<Evaluation>, LearnError> {
    tally(data, examples, None, progress, |batch, outcomes| session.judge(adapter, batch, outcomes))
}

fn tally(
    data: Examples<'_>,
    examples: usize,
    mut confusion: Option<&mut Confusion>,
    mut progress: impl FnMut(usize) -> bool,
    mut run: impl FnMut(Minibatch<'_>, &mut [Outcome]) -> Result<(), LearnError>,
) -> Result<Option<Evaluation>, LearnError> {
    let (mut loss, mut weight, mut squares) = (0.0, 0.0, [0.0; 3]);
    let (mut rows, mut hits, mut answered) = (0u64, 0u64, Some(0u64));
    let mut outcomes = vec![Outcome::default(); examples];
    let mut ids = Vec::with_capacity(examples);
    for from in (0..data.len()).step_by(examples) {
        ids.clear();
        ids.extend((from..data.len().min(from + examples)).map(|i| data.id(i)));
        let outcomes = &mut outcomes[..ids.len()];
        let batch = Minibatch::new(data.set(), &ids);
        run(batch, outcomes)?;
        for o in outcomes.iter() {
            let own = f64::from(o.weight());
            loss += o.loss * own;
            weight += own;
            let of_squares = [own * own, own * own * o.loss, own * own * o.loss * o.loss];
            squares.iter_mut().zip(of_squares).for_each(|(sum, one)| *sum += one);
            rows += u64::from(o.rows);
            hits += u64::from(o.hits);
            answered = answered.zip(o.answered).map(|(sum, one)| sum + u64::from(one));
        }
        if let Some(confusion) = &mut confusion {
            for (outcome, &id) in outcomes.iter().zip(&ids) {
                if let (Some(given), Target::Label { answer, .. }) =
                    (outcome.chosen, data.set().example(id).target)
                {
                    let (label, given) = (answer, given as usize);
                    confusion.count(Wrong { example: id, label, given, loss: outcome.loss });
                }
            }
        }
        if !progress(from + ids.len()) {
            return Ok(None);
        }
    }
    let (accuracy, interval) = wilson(hits, rows);
    let answered = answered.map(|n| n as f64 / data.len() as f64);
    let mean = loss / weight;
    // Of a ratio of two sums over records: the weighted losses and the weights.
    let spread = (squares[2] - 2.0 * mean * squares[1] + mean * mean * squares[0]).max(0.0);
    let loss_error = spread.sqrt() / weight;
    Ok(Some(Evaluation { n: rows, loss: mean, loss_error, accuracy, interval, answered }))
}

/// Share and its 95 % Wilson score interval.
pub fn wilson(hits: u64, n: u64) -> (f64, [f64; 2]) {
    let share = hits as f64 / n as f64;
    (share, interval(share, n))
}

/// 95 % Wilson score interval of a share of `n`.
pub fn interval(share: f64, n: u64) -> [f64; 2] {
    let (p, n, z) = (share, n as f64, 1.959_963_984_540_054_f64);
    let centre = (p + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z / (1.0 + z * z / n) * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    [(centre - half).max(0.0), (centre + half).min(1.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_interval_of_a_known_case() {
        // 81 of 263, a textbook case: 0.255 to 0.366.
        let (p, [low, high]) = wilson(81, 263);
        assert!((p - 0.308).abs() < 5e-4 && (low - 0.2553).abs() < 5e-4 && (high - 0.3662).abs() < 5e-4);
    }
}
