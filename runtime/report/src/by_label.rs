//! What became of the examples of each label, as a record tells it.

use serde::{Deserialize, Serialize};

/// Most pairs of labels that a record tells as mistaken for each other: all pairs of 16 labels.
pub const MOST_MISTAKES: usize = 240;

/// What became of the examples of each label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ByLabel {
    /// The labels, in their order.
    pub labels: Vec<OfLabel>,
    /// Examples that were given another label than theirs, the most frequent pairs first, [`MOST_MISTAKES`] at most.
    pub mistakes: Vec<Mistaken>,
    /// Mean of the labels' F1 scores.
    pub macro_f1: f64,
    /// The mistakes that cost most, the dearest first; none where records have no numbers of their own, as a share of a file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dearest: Vec<Wrong>,
}

/// A record that was given another label than its own: by its number, for a page is handed on and its text may not be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wrong {
    /// Its number in the data, from 1, files one after another.
    pub record: u64,
    /// The label that it has.
    pub label: String,
    /// The label that it was given.
    pub given: String,
    /// Its loss, nats.
    pub loss: f64,
}

/// What became of the examples of a label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OfLabel {
    /// Its name.
    pub label: String,
    /// Examples that have it.
    pub n: u64,
    /// Examples that were given it, rightly or not.
    pub given: u64,
    /// Examples that have it and were given it.
    pub right: u64,
    /// Harmonic mean of recall and precision.
    pub f1: f64,
}

/// Examples of a label that were given another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mistaken {
    /// The label that they have.
    pub label: String,
    /// The label that they were given.
    pub given: String,
    /// How many.
    pub n: u64,
}

impl ByLabel {
    /// The same, of records that have no numbers.
    pub fn without_records(self) -> Self {
        Self { dearest: Vec::new(), ..self }
    }
}

impl OfLabel {
    /// Share of the examples with this label that were given it; `None` where there are none.
    pub fn recall(&self) -> Option<f64> {
        (self.n > 0).then(|| self.right as f64 / self.n as f64)
    }

    /// Share of those given this label that have it; `None` where none was.
    pub fn precision(&self) -> Option<f64> {
        (self.given > 0).then(|| self.right as f64 / self.given as f64)
    }
}
