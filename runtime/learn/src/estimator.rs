//! The forward estimator: K directional derivatives an example (or a batch), turned into a gradient estimate.
//! Spec 3.2, 6.2 and 6.4; no backward pass anywhere.

use crate::data::{DataSet, Target};
use crate::directions::{Directions, Family, Sharing};
use crate::error::LearnError;
use crate::guard::Guard;
use crate::session::{Outcome, Probe, Session};
use sprig_engine::adapter::{Adapter, Tensor};
use sprig_engine::dual::for_each;

/// How a batch is cut to fit the budget; the gradient is the same for every cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Tangents carried by one pass.
    pub tangents: usize,
    /// Examples of one pass.
    pub examples: usize,
}

/// Settings of the estimator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// Distribution of the directions.
    pub family: Family,
    /// One direction a batch, or one an example.
    pub sharing: Sharing,
    /// K.
    pub tangents: usize,
    /// Key of the run.
    pub run_key: [u32; 2],
}

/// Buffers of the estimator for batches of one size.
#[derive(Debug)]
pub struct Scalars {
    /// One an example.
    pub outcomes: Vec<Outcome>,
    /// K an example: derivative of its mean loss; after [`Forward::gradient`], the coefficients that were applied.
    pub derivatives: Vec<f32>,
    pass: Vec<f32>,
}

impl Scalars {
    /// Buffers for `examples` examples and K tangents.
    pub fn new(examples: usize, tangents: usize) -> Self {
        Self {
            outcomes: vec![Outcome::default(); examples],
            derivatives: vec![0.0; examples * tangents],
            pass: vec![0.0; examples * tangents],
        }
    }

    /// Its heap bytes.
    pub fn bytes(examples: usize, tangents: usize) -> u64 {
        (examples * (size_of::<Outcome>() + 8 * tangents)) as u64
    }

    /// Mean loss over all target rows of the batch, nats.
    pub fn loss(&self) -> f64 {
        let rows: f64 = self.outcomes.iter().map(|o| f64::from(o.rows)).sum();
        self.outcomes.iter().map(|o| o.loss * f64::from(o.rows)).sum::<f64>() / rows
    }
}

impl Forward {
    /// The directions of step `iteration` of a single device over `tensors`.
    pub fn directions<'a>(&self, tensors: &'a [Tensor], iteration: u64) -> Directions<'a> {
        self.directions_of(tensors, (iteration >> 32) as u32, iteration as u32, 0)
    }

    /// The directions of one iteration of a device in a fleet's round. `tensors` are those it holds, their ranges
    /// following one another.
    pub fn directions_of<'a>(
        &self,
        tensors: &'a [Tensor],
        round: u32,
        iteration: u32,
        device: u32,
    ) -> Directions<'a> {
        Directions {
            family: self.family,
            sharing: self.sharing,
            run_key: self.run_key,
            round,
            iteration,
            device,
            tangents: self.tangents,
            first_tangent: 0,
            tensors,
        }
    }

    /// Runs examples `ids` along `directions` and leaves in `scalars` their losses and the coefficients whose sum over
    /// the directions ([`accumulate`]) estimates the gradient of their mean loss.
    pub fn measure(
        &self,
        session: &mut Session<'_>,
        adapter: &Adapter,
        directions: Directions<'_>,
        data: &DataSet,
        ids: &[usize],
        cut: Cut,
        guard: &mut Guard,
        scalars: &mut Scalars,
    ) -> Result<(), LearnError> {
        let k = self.tangents;
        scalars.outcomes.resize(ids.len(), Outcome::default());
        scalars.derivatives.resize(ids.len() * k, 0.0);
        for (c, chunk) in ids.chunks(cut.examples).enumerate() {
            let first = c * cut.examples;
            for from in (0..k).step_by(cut.tangents) {
                let count = cut.tangents.min(k - from);
                let probe = Probe { directions: Directions { first_tangent: from, ..directions }, count };
                let outcomes = &mut scalars.outcomes[first..first + chunk.len()];
                let pass = &mut scalars.pass[..chunk.len() * count];
                session.run(Some(adapter), Some(&probe), data, chunk, first, outcomes, pass)?;
                for (e, s) in pass.chunks_exact(count).enumerate() {
                    scalars.derivatives[(first + e) * k + from..][..count].copy_from_slice(s);
                }
            }
        }
        self.coefficients(guard, scalars);
        Ok(())
    }

    /// Estimates the gradient of the mean loss of examples `ids` into `gradient`.
    pub fn gradient(
        &self,
        session: &mut Session<'_>,
        adapter: &Adapter,
        tensors: &[Tensor],
        data: &DataSet,
        ids: &[usize],
        cut: Cut,
        iteration: u64,
        guard: &mut Guard,
        scalars: &mut Scalars,
        gradient: &mut [f32],
    ) -> Result<(), LearnError> {
        let directions = self.directions(tensors, iteration);
        self.measure(session, adapter, directions, data, ids, cut, guard, scalars)?;
        gradient.fill(0.0);
        let mut rest = gradient;
        let per_piece = tensors.len().div_ceil((4 * session.ctx().pool.threads()).min(64)).max(1);
        let pieces = tensors.chunks(per_piece).map(|tensors| {
            let len = tensors.iter().map(|t| t.range.len()).sum();
            let (mine, tail) = std::mem::take(&mut rest).split_at_mut(len);
            rest = tail;
            (tensors, mine)
        });
        for_each(&session.ctx().pool, pieces, |(tensors, gradient)| {
            accumulate(&directions, &scalars.derivatives, tensors, gradient);
        });
        Ok(())
    }

    /// Turns derivatives into the coefficients of their directions: example weights (its share of the target rows),
    /// 1/K, and the guard. With shared directions one coefficient a tangent remains, in the first K places.
    fn coefficients(&self, guard: &mut Guard, scalars: &mut Scalars) {
        let (k, n) = (self.tangents, scalars.outcomes.len());
        let rows: f32 = scalars.outcomes.iter().map(|o| o.rows as f32).sum();
        let weight = |e: usize| scalars.outcomes[e].rows as f32 / rows;
        match self.sharing {
            Sharing::PerExample => {
                for e in 0..n {
                    for s in &mut scalars.derivatives[e * k..(e + 1) * k] {
                        *s = guard.admit(*s) * weight(e) / k as f32;
                    }
                }
            }
            Sharing::Shared => {
                for t in 0..k {
                    let s: f32 = (0..n).map(|e| weight(e) * scalars.derivatives[e * k + t]).sum();
                    scalars.derivatives[t] = guard.admit(s) / k as f32;
                }
                scalars.derivatives.truncate(k);
            }
        }
    }
}

/// Adds the `coefficients` of an iteration (K an example, or K in all) times their directions to `gradient`, the slice of
/// `tensors`, which follow one another. Ascending (example, k) for every element: the order of a replay (spec 6.9).
pub fn accumulate(
    directions: &Directions<'_>,
    coefficients: &[f32],
    tensors: &[Tensor],
    mut gradient: &mut [f32],
) {
    let k = directions.tangents;
    for tensor in tensors {
        let (mine, tail) = gradient.split_at_mut(tensor.range.len());
        gradient = tail;
        for (i, &c) in coefficients.iter().enumerate().filter(|(_, c)| **c != 0.0) {
            directions.accumulate(i % k, i / k, tensor, c, mine);
        }
    }
}

/// Rows that count towards an example's loss.
pub fn target_rows(data: &DataSet, id: usize) -> usize {
    let example = data.example(id);
    match example.target {
        Target::Lm { first } => example.tokens.len() - first.max(1),
        Target::Label { .. } => 1,
    }
}
