//! How a run is judged on its way by examples that were kept back: when, which of its adapters is the best so far, and when
//! nothing better is to be expected. Counted in steps and never in seconds, so that a run that was interrupted goes on as
//! it would have.

use serde::{Deserialize, Serialize};
use sprig_ground::names;

/// Judgements spread over a run.
const JUDGEMENTS: u64 = 20;
/// A judgement's passes are at most one of so many of the steps' that lie between two.
const SHARE: u64 = 10;
/// Parts of the first loss within which it has not moved.
const MOVED: f32 = 1e-3;
/// Judgements after which a loss that has not moved is told of.
const STILL: u32 = 3;
/// Times the first loss beyond which a run diverges, and nats beside, for one that began near 0.
const WORSE: (f32, f32) = (1.2, 0.1);

/// When a run is judged, and when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judging {
    /// Steps from one judgement to the next.
    pub every: u64,
    /// Steps of the run.
    pub steps: u64,
    /// Judgements in a row without a better one that end it.
    pub patience: u32,
}

/// How a run stands, as far as it was judged. Part of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// Loss before the first step. Losses are single precision, which a checkpoint's text keeps exactly.
    pub first: f32,
    /// Loss at the newest judgement, and its step.
    pub last: f32,
    /// See `last`.
    pub step: u64,
    /// Lowest loss, and its step.
    pub best: f32,
    /// See `best`.
    pub best_step: u64,
    /// Judgements since that one.
    pub since: u32,
    /// Judgements after the first.
    pub taken: u32,
}

/// The best adapter so far. Its numbers are in the plan.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judged {
    /// Judgements; `None` before the first.
    pub standing: Option<Standing>,
    /// The trainable numbers that had the lowest loss.
    pub values: Vec<f32>,
}

/// What a judgement says of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// It has not begun.
    Untouched,
    /// It is the best so far: the run is still learning.
    Learning,
    /// Others were better.
    Waiting,
    /// The loss has not moved since the beginning.
    Still,
    /// It is worse than in the beginning.
    Diverging,
}

names!(
    Word,
    "state of a run",
    [
        Untouched = "untouched",
        Learning = "learning",
        Waiting = "waiting",
        Still = "still",
        Diverging = "diverging",
    ]
);

impl Judging {
    /// Judgements of `held_back` examples in a run of `steps` steps of `batch` examples that carry `tangents` tangents
    /// each: no more often than costs a tenth of the steps, and some twenty times in all. A step without tangents takes at
    /// least a pass forward and one back.
    pub fn new(steps: u64, batch: usize, tangents: usize, held_back: usize, patience: u32) -> Self {
        let passes = (batch * (1 + tangents.max(1))) as u64;
        let affordable = (SHARE * held_back as u64).div_ceil(passes.max(1));
        Self { every: affordable.max(steps.div_ceil(JUDGEMENTS)), steps, patience }
    }

    /// Whether the adapter after `step` steps is to be judged, and has not been.
    pub fn due(&self, judged: &Judged, step: u64) -> bool {
        (step.is_multiple_of(self.every) || step >= self.steps)
            && judged.standing.is_none_or(|standing| standing.step != step)
    }

    /// Whether nothing better is to be expected.
    pub fn is_over(&self, judged: &Judged) -> bool {
        judged.standing.is_some_and(|standing| standing.since >= self.patience)
    }
}

impl Judged {
    /// Takes the judgement of the adapter `values` after `step` steps; keeps it if it is the best so far. A loss that is
    /// not a number is never better.
    pub fn take(&mut self, step: u64, loss: f64, values: &[f32]) -> Word {
        let loss = loss as f32;
        let Some(standing) = &mut self.standing else {
            let standing =
                Standing { first: loss, last: loss, step, best: loss, best_step: step, since: 0, taken: 0 };
            self.standing = Some(standing);
            self.keep(values);
            return Word::Untouched;
        };
        (standing.last, standing.step) = (loss, step);
        standing.taken += 1;
        let better = loss < standing.best || standing.best.is_nan();
        if better {
            (standing.best, standing.best_step, standing.since) = (loss, step, 0);
        } else {
            standing.since += 1;
        }
        let word = standing.word(better);
        if better {
            self.keep(values);
        }
        word
    }

    fn keep(&mut self, values: &[f32]) {
        self.values.clear();
        // Once, and no more than is planned.
        self.values.reserve_exact(values.len());
        self.values.extend_from_slice(values);
    }
}

impl Standing {
    fn word(&self, better: bool) -> Word {
        let still = |loss: f32| (loss - self.first).abs() <= MOVED * self.first.abs();
        if self.last.is_nan() || self.last > WORSE.0 * self.first + WORSE.1 {
            return Word::Diverging;
        }
        if still(self.last) && still(self.best) && self.taken >= STILL {
            return Word::Still;
        }
        if better { Word::Learning } else { Word::Waiting }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words for `losses`, judged at every step from 0 on; and the adapter that was kept, which is its step's number.
    fn judged(losses: &[f64]) -> (Vec<Word>, Judged) {
        let mut judged = Judged::default();
        let steps = losses.iter().enumerate();
        let words = steps.map(|(step, &loss)| judged.take(step as u64, loss, &[step as f32])).collect();
        (words, judged)
    }

    #[test]
    fn the_adapter_of_the_lowest_loss_is_kept() {
        let (words, judged) = judged(&[2.0, 1.5, 1.6, 1.0, 1.0, 1.2]);
        use Word::{Learning, Untouched, Waiting};
        assert_eq!(words, [Untouched, Learning, Waiting, Learning, Waiting, Waiting]);
        assert_eq!(judged.values, [3.0]);
        let standing = judged.standing.unwrap();
        assert_eq!((standing.best, standing.best_step, standing.since, standing.taken), (1.0, 3, 2, 5));
        assert_eq!(judged.values.capacity(), 1, "more than was planned");
    }

    #[test]
    fn a_loss_that_does_not_move_and_one_that_rises_are_told() {
        assert_eq!(
            judged(&[2.0, 2.0, 2.0005, 1.9995, 1.999]).0[2..],
            [Word::Waiting, Word::Still, Word::Still]
        );
        assert_eq!(judged(&[2.0, 2.0, 2.0, 1.9]).0[3], Word::Learning);
        assert_eq!(judged(&[2.0, 1.0, 2.4, 2.6]).0[2..], [Word::Waiting, Word::Diverging]);
        assert_eq!(judged(&[0.01, 0.05, f64::NAN]).0[1..], [Word::Waiting, Word::Diverging]);
    }

    #[test]
    fn a_run_is_judged_at_its_beginning_its_end_and_some_twenty_times_between_at_a_tenth_of_its_cost() {
        for (steps, batch, tangents, held_back, every) in
            [(300, 8, 1, 100, 63), (300, 8, 4, 100, 25), (300, 8, 0, 10, 15), (3000, 8, 1, 100, 150)]
        {
            let judging = Judging::new(steps, batch, tangents, held_back, 5);
            assert_eq!(judging.every, every);
            let between = judging.every as usize * batch * (1 + tangents.max(1));
            assert!(held_back * SHARE as usize <= between, "{held_back} passes beside {between}");
            let mut judged = Judged::default();
            let mut times = 0;
            for step in 0..=steps {
                let due = judging.due(&judged, step);
                assert!(due || !matches!(step, 0) && step != steps);
                if due {
                    judged.take(step, 1.0, &[]);
                    assert!(!judging.due(&judged, step), "twice at {step}");
                    times += 1;
                }
            }
            assert!((2..=22).contains(&times), "{times}");
        }
    }

    #[test]
    fn patience_ends_a_run_that_finds_nothing_better() {
        let judging = Judging::new(100, 1, 1, 1, 2);
        assert!(!judging.is_over(&judged(&[2.0, 1.0, 1.1]).1));
        assert!(judging.is_over(&judged(&[2.0, 1.0, 1.1, 1.1]).1));
        assert!(!judging.is_over(&judged(&[2.0, 1.0, 1.1, 1.1, 0.9]).1));
    }

    /// A checkpoint's text gives back the very numbers: another could make a tie a new best.
    #[test]
    fn a_standing_survives_its_text() {
        for i in 0..2000u32 {
            let loss = f32::from_bits(0x3f00_0000 + i * 7919);
            let standing =
                Standing { first: loss, last: loss, step: 9, best: loss, best_step: 3, since: 2, taken: 4 };
            let text = serde_json::to_string(&standing).unwrap();
            assert_eq!(serde_json::from_str::<Standing>(&text).unwrap(), standing);
        }
    }
}
