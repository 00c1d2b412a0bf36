//! What an estimator keeps, and what passes over a batch gave.

use crate::outcome::{Outcome, mean_loss};
use sprig_budget::{Bytes, held_zeros};

/// What an estimator takes, by which runs are planned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Tangents that its passes carry, which may be shared out over several; 0 where they are plain.
    pub tangents: usize,
    /// Plain passes over an example.
    pub plain: usize,
    /// Coefficients an example.
    pub scalars: usize,
    /// Vectors as long as all that trains, beside the gradient.
    pub vectors: usize,
    /// Whether its passes go backwards, for which they keep the inputs of the adapted blocks.
    pub backward: bool,
    /// Whether it looks at the last update, which is kept for it then: one more vector.
    pub last: bool,
    /// Whether it looks at what routers looked at.
    pub features: bool,
}

/// Buffers of an estimator for batches of one size.
#[derive(Debug)]
pub struct Scalars {
    /// One an example.
    pub outcomes: Vec<Outcome>,
    /// Coefficients that were applied, in ascending (example, k): K an example, or K in all.
    pub coefficients: Vec<f32>,
    /// The sums that they are made of, where those have noise: K of them.
    pub sums: Vec<i64>,
    /// Derivatives of one pass, K an example.
    pub pass: Vec<f32>,
    /// [`Needs::vectors`] vectors, one after another.
    pub vectors: Vec<f32>,
}

impl Needs {
    /// Of what trains nothing.
    pub const NOTHING: Self =
        Self { tangents: 0, plain: 0, scalars: 0, vectors: 0, backward: false, last: false, features: false };

    /// Heap bytes of the [`Scalars`] for batches of `examples` examples and `weights` trainable numbers, and of the last
    /// update where that is kept.
    pub fn bytes(&self, examples: usize, weights: usize) -> Bytes {
        Scalars::bytes(examples, self) + Bytes::of::<f32>((self.vectors + usize::from(self.last)) * weights)
    }

    /// Plain forward passes of an example that an estimate's work on it is worth, by arithmetic, with tangents in the `upper`
    /// share of the blocks, those from the lowest adapted one on (algorithm.md 3.7). A pass backwards computes these blocks
    /// anew, and their transposes take as long. Values are computed anew for each part of
    /// the tangents, `at_once` a pass; what a prefix cache saves is not taken off.
    pub fn passes(&self, at_once: usize, upper: f64) -> f64 {
        let backward = usize::from(self.backward);
        let values = self.tangents.div_ceil(at_once.max(1)) + self.plain + backward;
        values as f64 + (self.tangents + 2 * backward) as f64 * upper
    }

    /// Room for the last update of `weights` trainable numbers, 0 before the first; empty where it is not wanted.
    pub fn no_update(&self, weights: usize) -> Vec<f32> {
        held_zeros(if self.last { weights } else { 0 })
    }
}

impl Scalars {
    /// Buffers for `examples` examples and `weights` trainable numbers.
    pub fn new(needs: &Needs, examples: usize, weights: usize) -> Self {
        Self {
            outcomes: vec![Outcome::default(); examples],
            coefficients: vec![0.0; examples * needs.scalars],
            sums: Vec::new(),
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
