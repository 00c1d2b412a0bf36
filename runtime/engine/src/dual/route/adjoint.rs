//! What leads back to a router's weights, and to what it looks at.

use super::super::rows::{DualRows, DualRowsMut};
use super::super::site::Gradient;
use super::{Feature, Pool, Room, Router};
use std::ops::Range;

/// What leads back to a router, and where it goes.
pub struct RouteAdjoint<'g> {
    /// The shares that it gave, without tangents.
    pub shares: DualRows<'g>,
    /// q̄ of each position.
    pub pull: &'g [f32],
    /// What holds the router to the first adapter.
    pub held: Option<Held<'g>>,
    /// Where the gradient of its weights goes.
    pub gradient: &'g mut dyn Gradient,
    /// The adjoint of its block's input, which gets its part, where that is wanted.
    pub input: Option<DualRowsMut<'g>>,
    /// As many numbers as the block's input has, to work with.
    pub work: &'g mut [f32],
}

/// The regulariser weight · ln (1 + e⁻ᶻ) = −weight · ln q of each example, which holds routers to the first adapter. It
/// takes what they look at as given.
#[derive(Clone, Copy, Debug)]
pub struct Held<'g> {
    /// γ over the number of routed blocks.
    pub weight: f32,
    /// What each example counts.
    pub examples: &'g [f32],
}

/// What leads back to one logit: from the loss, and from the regulariser, which takes φ as given.
#[derive(Clone, Copy)]
struct Pull {
    loss: f32,
    held: f32,
}

impl Router<'_> {
    /// Adds to the gradient of the weights, and to the adjoint of what was looked at, what follows from the shares' adjoints.
    pub fn adjoint(&self, to: RouteAdjoint<'_>, scratch: &mut [f32]) {
        let RouteAdjoint { shares, pull, held, gradient, mut input, work } = to;
        let mut room = self.room(scratch);
        let mut sums = self.route.weights.tensor.and_then(|tensor| gradient.of(tensor));
        for e in 0..self.batch.rows.examples() {
            let span = self.batch.rows.span(e);
            let held = held.map_or(0.0, |held| held.weight * held.examples[e]);
            let at = |at: usize, pull: f32, held: f32| {
                let q = shares.data()[at];
                Pull { loss: q * (1.0 - q) * pull, held: held * (1.0 - q) }
            };
            match self.route.pool {
                Pool::Prompt => {
                    let pull = at(span.start, pull[span.clone()].iter().sum(), held);
                    let prompt = self.look_at_prompt(e, &mut room);
                    let feature = self.normalise(prompt.len(), &mut room);
                    self.weigh(pull, &room, sums.as_deref_mut());
                    if let Some(input) = &mut input {
                        self.back(pull.loss / prompt.len() as f32, &feature, &room, work);
                        self.give(prompt, work, input.data());
                    }
                }
                Pool::Prefix => {
                    let each = held / span.len() as f32;
                    let pulls = |i: usize| at(i, pull[i], each);
                    self.prefix_adjoint(span.clone(), pulls, &mut room, (sums.as_deref_mut(), &mut *work));
                    if let Some(input) = &mut input {
                        self.spread(span, work, input.data());
                    }
                }
            }
        }
    }

    /// The same of an example whose positions have routes of their own; leaves what each mean gets in the row of its
    /// position.
    fn prefix_adjoint(
        &self,
        span: Range<usize>,
        pulls: impl Fn(usize) -> Pull,
        room: &mut Room<'_>,
        (mut sums, means): (Option<&mut [f32]>, &mut [f32]),
    ) {
        let (d, mut count) = (self.width(), 0);
        for at in span {
            if at == self.batch.rows.sequence_at(at).start {
                room.sums.fill(0.0);
                count = 0;
            }
            self.look(at, room);
            count += 1;
            let (pull, feature) = (pulls(at), self.normalise(count, room));
            self.weigh(pull, room, sums.as_deref_mut());
            self.back(pull.loss / count as f32, &feature, room, &mut means[at * d..(at + 1) * d]);
        }
    }

    fn weigh(&self, pull: Pull, room: &Room<'_>, sums: Option<&mut [f32]>) {
        let (Some(sums), d, z) = (sums, self.width(), pull.loss - pull.held) else { return };
        sums.iter_mut().zip(&room.mean[..d]).for_each(|(sum, phi)| *sum += z * phi);
        sums[d] += z;
    }

    /// z·∂(w·φ)/∂m.
    fn back(&self, z: f32, feature: &Feature, room: &Room<'_>, out: &mut [f32]) {
        let d = self.width();
        let (phi, values) = (&room.mean[..d], &self.route.weights.values[..d]);
        let (mean, pull) = (values.iter().sum::<f32>() / d as f32, feature.along / d as f32);
        let scale = z / feature.deviation;
        for ((out, w), phi) in out.iter_mut().zip(values).zip(phi) {
            *out = scale * (w - mean - phi * pull);
        }
    }

    /// Adds the row in `mean` to all of `positions`.
    fn give(&self, positions: Range<usize>, mean: &[f32], input: &mut [f32]) {
        let d = self.width();
        for x in input[positions.start * d..positions.end * d].chunks_exact_mut(d) {
            x.iter_mut().zip(mean).for_each(|(x, m)| *x += m);
        }
    }

    /// Adds to each position its part of its own mean and of those behind it in its sequence. `means` is used up.
    fn spread(&self, span: Range<usize>, means: &mut [f32], input: &mut [f32]) {
        let d = self.width();
        for at in span.rev() {
            let (own, after) = means.split_at_mut((at + 1) * d);
            let own = &mut own[at * d..];
            if at + 1 < self.batch.rows.sequence_at(at).end {
                own.iter_mut().zip(&*after).for_each(|(own, after)| *own += after);
            }
            self.give(at..at + 1, own, input);
        }
    }
}
