//! A device's sums, one pass at a time; and what they take, for plans.

use super::super::eigen::lift_bytes;
use super::super::symmetric::packed_len;
use super::packed::most_bytes;
use super::privacy::{Clipped, Reference};
use super::sums::{FleetSums, Shape, quantise};
use crate::data::Target;
use crate::error::LearnError;
use crate::minibatch::Minibatch;
use crate::privacy::Epsilon;
use crate::session::{LastRows, Session};
use sprig_budget::Bytes;
use sprig_engine::model::Geometry;
use std::io::{self, Read};

/// Sums as they grow, and the rows of the batch under way.
#[derive(Debug)]
pub struct Gatherer {
    kind: Kind,
    shape: Shape,
    rows: LastRows,
    whole: Vec<i32>,
    answers: Vec<usize>,
}

/// Whether sums leave as they are.
#[derive(Debug)]
enum Kind {
    Plain(FleetSums),
    Private(Clipped, Epsilon),
}

/// What a device holds beside passes of `batch` examples, and what for: also the total that it follows, once as it comes
/// and once as it is kept; and what `private` sums take at their end.
pub fn gathering_needs(
    g: &Geometry,
    shape: Shape,
    batch: usize,
    private: bool,
) -> Vec<(&'static str, Bytes)> {
    let rows = LastRows::bytes(g, batch) + Bytes((batch * (4 * shape.kept + size_of::<usize>())) as u64);
    // Noisy sums, what is made of them in double precision, and the sums that leave.
    let noise =
        Bytes((lift_bytes(shape.kept) + 8 * packed_len(shape.kept)) as u64) + shape.bytes() + shape.bytes();
    let noise = private.then_some(("read-out's noise", noise));
    let needs = vec![
        ("read-out's sums", shape.bytes() + Bytes(3 * most_bytes(shape.numbers()) as u64)),
        ("the fleet's sums", Bytes(3 * 4 * shape.values() as u64)),
        ("read-out's rows", rows),
    ];
    needs.into_iter().chain(noise).collect()
}

impl Gatherer {
    /// Of no example yet, in batches of up to `batch`.
    pub fn new(g: &Geometry, shape: Shape, batch: usize) -> Self {
        Self {
            kind: Kind::Plain(FleetSums::new(shape)),
            shape,
            rows: LastRows::new(g, batch),
            whole: vec![0; batch * shape.kept],
            answers: Vec::with_capacity(batch),
        }
    }

    /// From now on, before any example, sums of rows less that of `reference`, a text that says nothing of anybody's: they
    /// get noise for `epsilon` at the end.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn private(
        self,
        epsilon: Epsilon,
        session: &mut Session<'_>,
        reference: Minibatch<'_>,
    ) -> Result<Self, LearnError> {
        let Self { shape, mut rows, .. } = self;
        session.last_rows(reference, None, &mut rows)?;
        let (gated, stream) = (&rows.gated[..shape.inputs], &rows.stream[..session.model().geometry().width]);
        let reference = Reference::new(shape, gated, root_mean_square(stream));
        Ok(Self { kind: Kind::Private(Clipped::new(shape, reference), epsilon), rows, ..self })
    }

    /// Takes the examples of `batch`.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn take(&mut self, session: &mut Session<'_>, batch: Minibatch<'_>) -> Result<(), LearnError> {
        session.last_rows(batch, None, &mut self.rows)?;
        self.add(session, batch)
    }

    /// Takes them by rows that were read before, which `read` brings.
    ///
    /// # Errors
    /// What `read` returns, and where there would be more examples than there is room for.
    pub fn take_read<E: From<LearnError>>(
        &mut self,
        session: &Session<'_>,
        batch: Minibatch<'_>,
        read: impl FnOnce(&mut LastRows) -> Result<(), E>,
    ) -> Result<(), E> {
        read(&mut self.rows)?;
        Ok(self.add(session, batch)?)
    }

    /// The rows of the batch that was taken last, from the first on.
    pub fn rows(&self) -> &LastRows {
        &self.rows
    }

    fn add(&mut self, session: &Session<'_>, batch: Minibatch<'_>) -> Result<(), LearnError> {
        self.answers.clear();
        let directions = self.shape.directions();
        let (n, m, width) = (directions.inputs, directions.kept, session.model().geometry().width);
        for (e, (_, example)) in batch.examples().enumerate() {
            let Target::Label { answer, .. } = example.target else { continue };
            let (row, whole) =
                (&self.rows.gated[e * n..][..n], &mut self.whole[self.answers.len() * m..][..m]);
            let size = quantise(directions, row, whole);
            if let Kind::Plain(sums) = &mut self.kind {
                sums.note(root_mean_square(&self.rows.stream[e * width..][..width]) / size);
            }
            self.answers.push(answer);
        }
        let (pool, whole) = (&session.ctx().pool, &mut self.whole[..self.answers.len() * m]);
        match &mut self.kind {
            Kind::Plain(sums) => sums.sums.add(pool, whole, &self.answers),
            Kind::Private(sums, _) => sums.add(pool, whole, &self.answers),
        }
    }

    /// What it measures rows from, if sums get noise.
    pub fn reference(&self) -> Option<&Reference> {
        match &self.kind {
            Kind::Plain(_) => None,
            Kind::Private(sums, _) => Some(sums.reference()),
        }
    }

    /// What was summed up as numbers to be hidden among others', with one of `among` parts of the noise, if it gets some.
    ///
    /// # Errors
    /// Those of `source`.
    pub fn finish_part(self, among: u32, source: &mut dyn Read) -> io::Result<Vec<i64>> {
        match self.kind {
            Kind::Plain(sums) => Ok(sums.numbers().collect()),
            Kind::Private(sums, epsilon) => sums.part(epsilon, among, source),
        }
    }

    /// What was summed up, fit to leave the device; `source` is asked for what private sums need of it.
    ///
    /// # Errors
    /// Those of `source`.
    pub fn finish(self, source: &mut dyn Read) -> io::Result<FleetSums> {
        match self.kind {
            Kind::Plain(sums) => Ok(sums),
            Kind::Private(sums, epsilon) => sums.noised(epsilon, source),
        }
    }
}

fn root_mean_square(row: &[f32]) -> f64 {
    let square: f64 = row.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
    (square / row.len() as f64).sqrt()
}
