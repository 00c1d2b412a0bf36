//! What an estimator keeps, and what passes over a batch gave.

use crate::outcome::{Outcome, mean_loss};
use sprig_budget::{Bytes, held_zeros};

/// What an estimator takes, by which runs are planned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Tangents that its passes carry, which may be shared out over several; 0 where they are plain.
    pub tangents: usize,
    /// Coefficients an example.
    pub scalars: usize,
    /// Vectors as long as all that trains, beside the gradient.
    pub vectors: usize,
    /// Whether its passes go backwards, for which they keep the inputs of the adapted blocks.
    pub backward: bool,
}

/// Buffers of an estimator for batches of one size.
#[derive(Debug)]
pub struct Scalars {
    /// One an example.
    pub outcomes: Vec<Outcome>,
    /// Coefficients that were applied, in ascending (example, k): K an example, or K in all.
    pub coefficients: Vec<f32>,
    /// Derivatives of one pass, K an example.
    pub pass: Vec<f32>,
    /// [`Needs::vectors`] vectors, one after another.
    pub vectors: Vec<f32>,
}

impl Needs {
    /// Of what trains nothing.
    pub const NOTHING: Self = Self { tangents: 0, scalars: 0, vectors: 0, backward: false };

    /// Heap bytes of the [`Scalars`] for batches of `examples` examples and `weights` trainable numbers.
    pub fn bytes(&self, examples: usize, weights: usize) -> Bytes {
        Scalars::bytes(examples, self) + Bytes::of::<f32>(self.vectors * weights)
    }
}

impl Scalars {
    /// Buffers for `examples` examples and `weights` trainable numbers.
    pub fn new(needs: &Needs, examples: usize, weights: usize) -> Self {
        Self {
            outcomes: vec![Outcome::default(); examples],
            coefficients: vec![0.0; examples * needs.scalars],
            pass: vec![0.0; examples * needs.tangents],
            vectors: held_zeros(needs.vectors * weights),
        }
    }

    /// Its heap bytes, vectors excepted.
    fn bytes(examples: usize, needs: &Needs) -> Bytes {
        let numbers = needs.scalars + needs.tangents;
        Bytes((examples * (size_of::<Outcome>() + size_of::<f32>() * numbers)) as u64)
    }

    /// Mean loss of the batch, nats.
    pub fn loss(&self) -> f64 {
        mean_loss(&self.outcomes)
    }
}
