//! From scalars to weights: what a device does to its part in a round, and what every other party replays of it.

use super::body::Body;
use super::{Exchange, Part, Rules};
use crate::directions::Directions;
use crate::estimator::accumulate;
use sprig_budget::Bytes;

/// A device's weights on their way through a round. Buffers are kept from one use to the next.
#[derive(Debug, Default)]
pub(super) struct Path {
    pub weights: Vec<f32>,
    pub gradient: Vec<f32>,
    moments: Vec<f32>,
    steps: u64,
}

impl Path {
    /// Its heap bytes for a part of up to `len` weights.
    pub(super) fn heap_bytes(rules: &Rules, len: usize) -> Bytes {
        let vectors = match rules.exchange {
            Exchange::PerIteration => 1,
            Exchange::PerEpoch { .. } => 2 + rules.local.moments(),
        };
        Bytes::of::<f32>(vectors * len)
    }

    /// Starts `part` from the round's base `all`, with fresh optimiser state.
    pub(super) fn begin(&mut self, rules: &Rules, part: &Part, all: &[f32]) {
        reset(&mut self.weights, part.len);
        part.gather(all, &mut self.weights);
        reset(&mut self.moments, part.len * rules.local.moments());
        self.steps = 0;
    }

    /// The gradient that the `scalars` of one iteration estimate.
    pub(super) fn estimate(&mut self, part: &Part, directions: &Directions<'_>, scalars: &[f32]) {
        reset(&mut self.gradient, part.len);
        accumulate(directions, scalars, &part.tensors, &mut self.gradient);
    }

    /// Room for the exact gradient of an iteration.
    pub(super) fn room(&mut self, part: &Part) -> &mut [f32] {
        reset(&mut self.gradient, part.len);
        &mut self.gradient
    }

    /// One step of the local optimiser, by the gradient that is there.
    pub(super) fn step(&mut self, rules: &Rules) {
        self.steps += 1;
        rules.local.step(&mut self.weights, &self.gradient, &mut self.moments, rules.lr, self.steps);
    }

    /// The whole way that the `scalars` of all iterations lead; `directions` of each.
    pub(super) fn replay<'d>(
        &mut self,
        rules: &Rules,
        part: &Part,
        scalars: &[f32],
        directions: impl Fn(u32) -> Directions<'d>,
    ) {
        let each = rules.scalar_count(rules.batch as u32).max(1);
        for (i, scalars) in (0..).zip(scalars.chunks(each)) {
            self.estimate(part, &directions(i), scalars);
            self.step(rules);
        }
    }

    /// What the update `body` of a device, by (round, number), changes the weights of its part by, since they were those of
    /// `all`; per iteration the gradient that it says. Why not, where such an update is none of these rules.
    pub(super) fn find(
        &mut self,
        rules: &Rules,
        (part, all): (&Part, &[f32]),
        (round, number): (u32, u32),
        body: Body<'_>,
    ) -> Result<&[f32], &'static str> {
        let at = |iteration| rules.at(round, iteration, number);
        match (body, rules.estimator.scalars(), rules.exchange) {
            (Body::Scalars(scalars), Some(along), Exchange::PerIteration) => {
                self.estimate(part, &along.directions(&part.tensors, at(0)), scalars);
                return Ok(&self.gradient);
            }
            (Body::Scalars(scalars), Some(along), Exchange::PerEpoch { .. }) => {
                self.begin(rules, part, all);
                self.replay(rules, part, scalars, |i| along.directions(&part.tensors, at(i)));
            }
            (Body::Dense(weights), _, Exchange::PerEpoch { .. }) => {
                self.begin(rules, part, all);
                self.weights.copy_from_slice(weights);
            }
            (Body::Dense(_), _, Exchange::PerIteration) => {
                return Err("weights, instead of the scalars of an iteration");
            }
            (Body::Scalars(_), None, _) => {
                return Err("scalars, instead of the weights that exact steps lead to");
            }
        }
        let base = part.places.iter().flat_map(|place| &all[place.clone()]);
        self.weights.iter_mut().zip(base).for_each(|(w, base)| *w -= base);
        Ok(&self.weights)
    }
}

fn reset(buffer: &mut Vec<f32>, len: usize) {
    buffer.clear();
    buffer.resize(len, 0.0);
}
