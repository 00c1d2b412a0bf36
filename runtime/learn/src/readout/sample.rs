//! Examples that are kept whole: what regularisation and scale are chosen by. Each is in the sums as well, and judged as
//! if it were not (leave-one-out, which for a least-squares fit is exact).

use crate::session::LastRows;
use sprig_budget::Bytes;
use sprig_engine::model::Geometry;

/// Most examples kept whole.
pub(super) const KEPT: usize = 128;

/// Examples that are kept whole.
#[derive(Debug)]
pub struct Sample {
    /// Places in the data, ascending, every so many.
    of: usize,
    gated: Vec<f32>,
    stream: Vec<f32>,
    answers: Vec<usize>,
    inputs: usize,
    width: usize,
}

impl Sample {
    /// Of the examples of a set of `of`.
    pub fn new(g: &Geometry, of: usize) -> Self {
        let n = of.min(KEPT);
        Self {
            of,
            gated: Vec::with_capacity(n * g.ffn),
            stream: Vec::with_capacity(n * g.width),
            answers: Vec::with_capacity(n),
            inputs: g.ffn,
            width: g.width,
        }
    }

    /// Heap bytes of the sample of a set of `of`.
    pub fn bytes(g: &Geometry, of: usize) -> Bytes {
        Bytes((of.min(KEPT) * (4 * (g.ffn + g.width) + size_of::<usize>())) as u64)
    }

    /// Whether the example at place `id` of the data belongs to it.
    pub fn wants(&self, id: usize) -> bool {
        let n = self.of.min(KEPT);
        // The i-th of n stands at ⌊i·of/n⌋.
        let i = (id * n).div_ceil(self.of);
        i < n && i * self.of / n == id
    }

    /// Takes the example at place `e` of the batch whose rows are `rows`.
    pub fn take(&mut self, rows: &LastRows, e: usize, answer: usize) {
        self.gated.extend_from_slice(&rows.gated[e * self.inputs..][..self.inputs]);
        self.stream.extend_from_slice(&rows.stream[e * self.width..][..self.width]);
        self.answers.push(answer);
    }

    /// Examples in it.
    #[allow(clippy::len_without_is_empty, reason = "a sample is full before anybody asks")]
    pub fn len(&self) -> usize {
        self.answers.len()
    }

    /// What the down projection multiplies, of example `i`.
    pub fn gated(&self, i: usize) -> &[f32] {
        &self.gated[i * self.inputs..][..self.inputs]
    }

    /// What the final norm sees.
    pub fn stream(&self, i: usize) -> &[f32] {
        &self.stream[i * self.width..][..self.width]
    }

    /// The class of each example.
    pub fn answers(&self) -> &[usize] {
        &self.answers
    }
}
