//! The examples of one step, or of one of the passes that it is cut into.

use crate::data::{DataSet, Example};
use crate::dropout::Masks;
use sprig_engine::dual::{Batch, BatchError};

/// Examples that are run together: places in a data set, in the order of their directions.
#[derive(Clone, Copy, Debug)]
pub struct Minibatch<'a> {
    /// The set.
    pub data: &'a DataSet,
    /// Places in it.
    pub ids: &'a [usize],
    /// What adapters do not see of their inputs; nothing is hidden outside of training.
    pub masks: Option<Masks>,
}

impl<'a> Minibatch<'a> {
    /// Examples `ids` of `data`.
    pub fn new(data: &'a DataSet, ids: &'a [usize]) -> Self {
        Self { data, ids, masks: None }
    }

    /// The same under `masks`.
    pub fn under(self, masks: Option<Masks>) -> Self {
        Self { masks, ..self }
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Each example, after its place in the data.
    pub fn examples(self) -> impl Iterator<Item = (usize, Example<'a>)> {
        self.ids.iter().map(move |&id| (id, self.data.example(id)))
    }

    /// Tokens of all of them.
    pub fn tokens(self) -> usize {
        self.examples().map(|(_, example)| example.tokens.len()).sum()
    }

    /// Cuts it into passes of up to `examples` examples, each after the place of its first.
    pub fn passes(self, examples: usize) -> impl Iterator<Item = (usize, Minibatch<'a>)> {
        self.ids.chunks(examples).enumerate().map(move |(i, ids)| {
            let (data, place) = (self.data, i * examples);
            (place, Self { data, ids, masks: self.masks.map(|masks| masks.from(place)) })
        })
    }
}

/// Tokens of the examples of a pass, one after another, each one sequence or several. Capacity is reserved once.
#[derive(Default)]
pub(crate) struct Sequences {
    tokens: Vec<u32>,
    /// Where each example starts, and the end of the last.
    examples: Vec<usize>,
    /// The same of the sequences; empty while each example is one.
    sequences: Vec<usize>,
}

impl Sequences {
    /// Reserves for up to `examples` examples of `sequences` sequences each, and `positions` tokens in all.
    pub(crate) fn reserve(&mut self, positions: usize, examples: usize, sequences: usize) {
        self.tokens.reserve_exact(positions);
        self.examples.reserve_exact(examples + 1);
        if sequences > 1 {
            self.sequences.reserve_exact(examples * sequences + 1);
        }
    }

    /// Begins another batch.
    pub(crate) fn clear(&mut self) {
        self.tokens.clear();
        self.examples.clear();
        self.examples.push(0);
        self.sequences.clear();
    }

    /// Adds an example, one sequence so far, and says where it starts.
    pub(crate) fn push(&mut self, tokens: &[u32]) -> usize {
        let start = self.tokens.len();
        self.tokens.extend_from_slice(tokens);
        self.examples.push(self.tokens.len());
        if !self.sequences.is_empty() {
            self.sequences.push(self.tokens.len());
        }
        start
    }

    /// Has a sequence of its own begin at token `at` of all tokens, within the last example.
    pub(crate) fn cut(&mut self, at: usize) {
        if self.sequences.is_empty() {
            self.sequences.extend_from_slice(&self.examples);
        }
        self.sequences.insert(self.sequences.len() - 1, at);
    }

    /// Where each example starts, and the end of the last.
    pub(crate) fn examples(&self) -> &[usize] {
        &self.examples
    }

    /// The batch to run on a model of `vocabulary` tokens.
    ///
    /// # Errors
    /// [`BatchError`] for tokens the model does not have, and sequences without any.
    pub(crate) fn batch(&self, vocabulary: usize) -> Result<Batch<'_>, BatchError> {
        let batch = Batch::new(&self.tokens, &self.examples, vocabulary)?;
        if self.sequences.is_empty() { Ok(batch) } else { batch.of_sequences(&self.sequences) }
    }
}
