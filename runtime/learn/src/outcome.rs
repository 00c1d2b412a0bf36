//! What a pass says of one example.

/// What one example gave.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Mean loss over its target rows, nats.
    pub loss: f64,
    /// Target rows: tokens for a language model, 1 for a classification.
    pub rows: u32,
    /// Rows whose best choice was the target.
    pub hits: u32,
}
