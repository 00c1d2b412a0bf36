//! What the examples of a pass ask for, one after another. Capacity is reserved once.

use super::{Objective, Wants};
use crate::data::{Example, Target};
use crate::error::LearnError;
use crate::minibatch::{Minibatch, Sequences};
use sprig_engine::dual::{Batch, BatchError, Gradient, Held};
use sprig_engine::model::{Pass, PassError, Read};
use std::ops::Range;

/// Takes what one example asks for. Positions count from the example's first token.
pub struct Ask<'a> {
    lists: &'a mut Lists,
    start: usize,
}

/// Tokens and wanted rows of the batch under way.
#[derive(Default)]
pub(crate) struct Lists {
    sequences: Sequences,
    rows: Vec<usize>,
    targets: Vec<u32>,
    /// Positions after which logits are wanted, and where the list of each ends in `candidates`.
    places: Vec<(usize, usize)>,
    candidates: Vec<u32>,
    /// Tokens of each example's prompt.
    prompts: Vec<usize>,
    /// Whether sequences see the prompts of their examples.
    branching: bool,
}

impl Ask<'_> {
    /// Asks for the statistics of the logits after `position`, `target` being the token that should follow.
    pub fn row(&mut self, position: usize, target: u32) {
        self.lists.rows.push(self.start + position);
        self.lists.targets.push(target);
    }

    /// Asks for the logits of `candidates` after `position`.
    pub fn logits(&mut self, position: usize, candidates: &[u32]) {
        self.lists.candidates.extend_from_slice(candidates);
        self.lists.places.push((self.start + position, self.lists.candidates.len()));
    }

    /// Has the tokens from `position` on run as a sequence of their own: they see nothing of what stands before it.
    /// Ascending, and not at the first token.
    pub fn begin(&mut self, position: usize) {
        self.lists.sequences.cut(self.start + position);
    }

    /// Has the tokens from `position` on go on from the example's prompt, as those before them do. All sequences of a pass are
    /// such branches, or none.
    pub fn branch(&mut self, position: usize) {
        self.lists.branching = true;
        self.begin(position);
    }
}

impl Lists {
    /// Reserves for passes of up to `examples` examples and `positions` tokens that want `wants` each.
    pub(crate) fn reserve(&mut self, positions: usize, examples: usize, wants: Wants) {
        self.sequences.reserve(positions, examples, wants.sequences);
        self.prompts.reserve_exact(examples);
        let rows = (wants.rows * examples).min(positions);
        self.rows.reserve_exact(rows);
        self.targets.reserve_exact(rows);
        if wants.logits > 0 {
            self.places.reserve_exact(examples);
            self.candidates.reserve_exact(wants.logits * examples);
        }
    }

    /// Its heap bytes, and what a prefix cache takes for further sequences.
    pub(crate) fn bytes(positions: usize, examples: usize, wants: Wants) -> usize {
        let rows = 12 * (wants.rows * examples).min(positions);
        let logits = if wants.logits > 0 { examples * (16 + 4 * wants.logits) } else { 0 };
        let sequences = if wants.sequences > 1 { 2 * 8 * (examples * wants.sequences + 1) } else { 0 };
        // One allowance for all that ask for no more than a row a position.
        4 * positions + 8 * (2 * examples + 1) + (rows + logits).max(12 * positions) + sequences
    }

    /// Fills the lists for the examples of `batch`.
    ///
    /// # Errors
    /// What `objective` cannot learn from.
    pub(crate) fn gather(
        &mut self,
        objective: &dyn Objective,
        batch: Minibatch<'_>,
    ) -> Result<(), LearnError> {
        self.sequences.clear();
        self.rows.clear();
        self.targets.clear();
        self.places.clear();
        self.candidates.clear();
        self.prompts.clear();
        self.branching = false;
        for (id, example) in batch.examples() {
            self.prompts.push(prompt(&example));
            let start = self.sequences.push(example.tokens);
            objective.ask(id, &example, &mut Ask { lists: self, start })?;
        }
        Ok(())
    }

    /// The batch to run.
    ///
    /// # Errors
    /// [`BatchError`] for tokens the model does not have.
    pub(crate) fn batch(&self, vocabulary: usize) -> Result<Batch<'_>, BatchError> {
        let batch = self.sequences.batch(vocabulary)?.prompted(&self.prompts);
        Ok(if self.branching { batch.branching() } else { batch })
    }

    /// Reads what was asked for off `pass`.
    ///
    /// # Errors
    /// As [`Pass::read`].
    pub(crate) fn read<'p>(&self, pass: &'p mut Pass<'_>) -> Result<Read<'p>, PassError> {
        pass.read(&self.rows, &self.targets, self.asked())
    }

    /// Has `pass` go backwards from what was read off it, its routers `held` to the global adapter.
    ///
    /// # Errors
    /// As [`Pass::backward`].
    pub(crate) fn backward(
        &self,
        pass: &mut Pass<'_>,
        held: Option<Held<'_>>,
        gradient: &mut dyn Gradient,
    ) -> Result<(), PassError> {
        pass.backward(&self.rows, &self.targets, self.asked(), held, gradient)
    }

    /// Positions after which logits are wanted, each with its candidates.
    fn asked(&self) -> impl Iterator<Item = (usize, &[u32])> + Clone {
        (0..self.places.len()).map(|i| {
            let from = i.checked_sub(1).map_or(0, |before| self.places[before].1);
            (self.places[i].0, &self.candidates[from..self.places[i].1])
        })
    }

    /// The last position of the example at place `e` of the batch.
    pub(crate) fn last(&self, e: usize) -> usize {
        self.sequences.examples()[e + 1] - 1
    }

    /// Rows and candidates of the example at place `e` of the batch.
    pub(crate) fn of(&self, e: usize) -> (Range<usize>, Range<usize>) {
        let rows = |at: usize| self.rows.partition_point(|&row| row < at);
        let candidates = |at: usize| {
            let lists = self.places.partition_point(|&(place, _)| place < at);
            lists.checked_sub(1).map_or(0, |last| self.places[last].1)
        };
        let examples = self.sequences.examples();
        let (start, end) = (examples[e], examples[e + 1]);
        (rows(start)..rows(end), candidates(start)..candidates(end))
    }
}

/// Tokens of an example that stand before its answer; all of a text without one.
fn prompt(example: &Example<'_>) -> usize {
    match example.target {
        Target::Label { row, .. } => row + 1,
        Target::Lm { first, .. } if first > 1 => first,
        Target::Pair { first, .. } => first,
        Target::Lm { .. } => example.tokens.len(),
    }
}
