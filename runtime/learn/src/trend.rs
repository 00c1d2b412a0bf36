//! Whether the losses of a run's own steps still fall, told by means over windows of them: for a run that keeps nothing
//! back to be judged by.

use crate::judging::Word;
use serde::{Deserialize, Serialize};

/// Windows of a run, and fewest steps of one: batches differ more than models do.
const WINDOWS: u64 = 20;
const FEWEST: u64 = 10;
/// Windows after which a loss that has not clearly fallen is told of.
const STILL: u32 = 5;
/// Standard errors that the fall has to pass.
const CLEAR: f64 = 2.0;
/// Times the first window's loss beyond which a run diverges, and nats beside, for one that began near 0.
const WORSE: (f64, f64) = (1.2, 0.1);

/// Windows of losses so far. Part of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trend {
    window: u64,
    now: Window,
    first: Option<Window>,
    best: f64,
    taken: u32,
}

/// Sums over a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Window {
    n: f64,
    sum: f64,
    squares: f64,
}

impl Trend {
    /// Of a run of `steps` steps.
    pub fn new(steps: u64) -> Self {
        let window = steps.div_ceil(WINDOWS).max(FEWEST);
        Self { window, now: Window::default(), first: None, best: 0.0, taken: 0 }
    }

    /// Steps of a window.
    pub fn window(&self) -> u64 {
        self.window
    }

    /// Takes the loss of the next step; at the end of a window its mean, and what it says of the run.
    pub fn take(&mut self, loss: f64) -> Option<(f64, Word)> {
        self.now.take(loss);
        if self.now.n < self.window as f64 {
            return None;
        }
        let now = std::mem::take(&mut self.now);
        let Some(first) = self.first else {
            (self.first, self.best) = (Some(now), now.mean());
            return Some((now.mean(), Word::Untouched));
        };
        self.taken += 1;
        let better = now.mean() < self.best;
        self.best = self.best.min(now.mean());
        let error = (first.error() + now.error()).sqrt();
        let word = if now.mean() > WORSE.0 * first.mean() + WORSE.1 {
            Word::Diverging
        } else if self.taken >= STILL && first.mean() - now.mean() <= CLEAR * error {
            Word::Still
        } else if better {
            Word::Learning
        } else {
            Word::Waiting
        };
        Some((now.mean(), word))
    }
}

impl Window {
    fn take(&mut self, loss: f64) {
        self.n += 1.0;
        self.sum += loss;
        self.squares += loss * loss;
    }

    fn mean(&self) -> f64 {
        self.sum / self.n
    }

    /// Square of the mean's standard error.
    fn error(&self) -> f64 {
        let variance = self.squares / self.n - self.mean() * self.mean();
        variance.max(0.0) / (self.n - 1.0).max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sprig_ground::random::mix;

    /// The words for windows of losses around `means`.
    fn words(means: &[f64]) -> Vec<Word> {
        let mut trend = Trend::new(20 * FEWEST);
        let steps = means.iter().flat_map(|mean| [*mean; FEWEST as usize]).enumerate();
        let noise = |step: usize| (mix(step as u64) >> 11) as f64 / (1u64 << 53) as f64 - 0.5;
        steps.filter_map(|(step, mean)| trend.take(mean + 0.4 * noise(step))).map(|(_, word)| word).collect()
    }

    #[test]
    fn a_fall_beyond_the_noise_is_learning_and_none_is_told_of() {
        use Word::{Diverging, Learning, Still, Untouched, Waiting};
        assert_eq!(words(&[2.0, 1.7, 1.4, 1.6, 1.2]), [Untouched, Learning, Learning, Waiting, Learning]);
        assert_eq!(words(&[2.0; 9])[5..], [Still; 4]);
        assert_eq!(words(&[2.0, 1.8, 1.8, 1.8, 1.7, 1.6, 2.0])[5..], [Learning, Still]);
        assert_eq!(words(&[2.0, 1.5, 3.0])[2], Diverging);
    }

    #[test]
    fn windows_are_parts_of_the_run_and_never_few_steps() {
        assert_eq!([1, 200, 300, 3000].map(|steps| Trend::new(steps).window()), [10, 10, 15, 150]);
        let mut trend = Trend::new(1);
        assert!((0..9).all(|_| trend.take(1.0).is_none()));
        assert_eq!(trend.take(1.0), Some((1.0, Word::Untouched)));
    }
}
