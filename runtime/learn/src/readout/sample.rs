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
    /// Examples of the set that it is taken from.
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
        Self {
            of,
            gated: Vec::with_capacity(KEPT * g.ffn),
            stream: Vec::with_capacity(KEPT * g.width),
            answers: Vec::with_capacity(KEPT),
            inputs: g.ffn,
            width: g.width,
        }
    }

    /// Heap bytes of a sample.
    pub fn bytes(g: &Geometry) -> Bytes {
        Bytes((KEPT * (4 * (g.ffn + g.width) + size_of::<usize>())) as u64)
    }

    /// Numbers of an example: what the down projection multiplies, and the stream.
    pub(super) fn shape(&self) -> (usize, usize) {
        (self.inputs, self.width)
    }

    /// How many examples of other sets it has room for beside its own.
    pub(super) fn room(&self) -> usize {
        KEPT - self.of.min(KEPT)
    }

    /// Takes an example of another set, whose numbers `read` fills in.
    pub(super) fn take_other<E>(
        &mut self,
        answer: usize,
        mut read: impl FnMut(&mut [f32]) -> Result<(), E>,
    ) -> Result<(), E> {
        let (gated, stream) = (self.gated.len(), self.stream.len());
        self.gated.resize(gated + self.inputs, 0.0);
        self.stream.resize(stream + self.width, 0.0);
        self.answers.push(answer);
        read(&mut self.gated[gated..])?;
        read(&mut self.stream[stream..])
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
