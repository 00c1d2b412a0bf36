//! The `[train.readout]` table: labels learnt in closed form, from sums that every device sends once.

use serde::{Deserialize, Serialize};
use sprig_engine::model::Geometry;
use sprig_learn::readout::fleet::Shape;
use sprig_learn::recipe::Whole;

/// A read-out instead of steps. With this table, all keys of `[train]` count that say what is asked and how many examples
/// are a pass; those of steps do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReadOut {
    /// Directions of the last block that are summed up: more of them tell more, in bytes that grow with their square.
    pub directions: Whole<2, 2048>,
    /// Fewest examples of a device: sums of fewer tell too much of each, and are neither sent nor taken.
    pub min_examples: Whole<1, 1_000_000>,
}

impl ReadOut {
    /// What devices of a model of shape `g` sum up, for `classes` labels.
    pub fn shape(&self, g: &Geometry, classes: usize) -> Shape {
        Shape { inputs: g.ffn, kept: (self.directions.get() as usize).min(g.ffn), classes }
    }
}

impl Default for ReadOut {
    fn default() -> Self {
        Self { directions: Whole::of::<128>(), min_examples: Whole::of::<20>() }
    }
}
