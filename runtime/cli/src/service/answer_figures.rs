//! What a server counts of the questions it was asked.

use super::Exposition;
use sprig_serve::Told;
use sprig_serve::status::Status;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What a server counts, from what it tells.
pub struct AnswerFigures {
    begun: Instant,
    planned: u64,
    budget: u64,
    /// Questions that found no place.
    busy: Arc<AtomicU64>,
    counts: Mutex<Counts>,
}

/// Since the start of the process.
#[derive(Clone, Copy, Default)]
struct Counts {
    answered: u64,
    refused: u64,
    left: u64,
    prompt_tokens: u64,
    completion_tokens: u64,
    seconds: f64,
}

impl AnswerFigures {
    /// None yet, of a server with these bytes planned and given.
    pub fn new((planned, budget): (u64, u64), busy: Arc<AtomicU64>) -> Self {
        Self { begun: Instant::now(), planned, budget, busy, counts: Mutex::default() }
    }

    /// Counts a question.
    pub fn add(&self, told: &Told) {
        let mut counts = self.counts();
        match (told.left, &told.problem) {
            (true, _) => counts.left += 1,
            (false, Some(_)) => counts.refused += 1,
            (false, None) => counts.answered += 1,
        }
        counts.prompt_tokens += told.prompt_tokens as u64;
        counts.completion_tokens += told.completion_tokens as u64;
        counts.seconds += told.seconds;
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Status for AnswerFigures {
    fn health(&self) -> Result<(), String> {
        Ok(())
    }

    fn metrics(&self) -> String {
        let counts = *self.counts();
        let mut text = Exposition::default();
        let outcomes = [
            ("answered", counts.answered),
            ("refused", counts.refused),
            ("left", counts.left),
            ("busy", self.busy.load(Ordering::Relaxed)),
        ];
        text.counters("sprig_questions", "Questions by what became of them.", "outcome", &outcomes);
        text.counter("sprig_prompt_tokens", "Tokens read.", counts.prompt_tokens);
        text.counter("sprig_completion_tokens", "Tokens written.", counts.completion_tokens);
        let taken = counts.answered + counts.refused + counts.left;
        text.summary("sprig_answer_seconds", "Time at questions.", (taken, counts.seconds));
        text.gauge("sprig_planned_bytes", "What its plan holds.", self.planned);
        text.process(self.begun.elapsed(), Some(self.budget));
        text.finish()
    }
}
