//! A device's sums, one pass at a time; and what they take, for plans.

use super::packed::most_bytes;
use super::sums::{FleetSums, Shape, quantise};
use crate::data::Target;
use crate::error::LearnError;
use crate::minibatch::Minibatch;
use crate::session::{LastRows, Session};
use sprig_budget::Bytes;
use sprig_engine::model::Geometry;

/// Sums as they grow, and the rows of the batch under way.
#[derive(Debug)]
pub struct Gatherer {
    sums: FleetSums,
    rows: LastRows,
    whole: Vec<i32>,
    answers: Vec<usize>,
}

/// What a device holds beside passes of `batch` examples, and what for: also the total that it follows, once as it comes
/// and once as it is kept.
pub fn gathering_needs(g: &Geometry, shape: Shape, batch: usize) -> Vec<(&'static str, Bytes)> {
    let rows = LastRows::bytes(g, batch) + Bytes((batch * (4 * shape.kept + size_of::<usize>())) as u64);
    vec![
        ("read-out's sums", shape.bytes() + Bytes(3 * most_bytes(shape.numbers()) as u64)),
        ("the fleet's sums", Bytes(3 * 4 * shape.values() as u64)),
        ("read-out's rows", rows),
    ]
}

impl Gatherer {
    /// Of no example yet, in batches of up to `batch`.
    pub fn new(g: &Geometry, shape: Shape, batch: usize) -> Self {
        Self {
            sums: FleetSums::new(shape),
            rows: LastRows::new(g, batch),
            whole: vec![0; batch * shape.kept],
            answers: Vec::with_capacity(batch),
        }
    }

    /// Takes the examples of `batch`.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn take(&mut self, session: &mut Session<'_>, batch: Minibatch<'_>) -> Result<(), LearnError> {
        session.last_rows(batch, &mut self.rows)?;
        self.answers.clear();
        let directions = self.sums.shape().directions();
        let (n, m, width) = (directions.inputs, directions.kept, session.model().geometry().width);
        for (e, (_, example)) in batch.examples().enumerate() {
            let Target::Label { answer, .. } = example.target else { continue };
            let (row, whole) =
                (&self.rows.gated[e * n..][..n], &mut self.whole[self.answers.len() * m..][..m]);
            let size = quantise(directions, row, whole);
            let stream = &self.rows.stream[e * width..][..width];
            let square: f64 = stream.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
            self.sums.note((square / width as f64).sqrt() / size);
            self.answers.push(answer);
        }
        self.sums.sums.add(&session.ctx().pool, &self.whole[..self.answers.len() * m], &self.answers)
    }

    /// What was summed up, and nothing from now on.
    pub fn finish(self) -> FleetSums {
        self.sums
    }
}
