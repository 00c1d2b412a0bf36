//! [`Forward`], part by part: one pass gives the derivatives of all parts of a loss, and each is kept by itself, so that what
//! the parts weigh may be decided after the pass, by whoever takes the step. No step may be taken with another mix before that.
//!
//! A derivative is judged by what the parts come to with the objective's own weights: what is cut down is cut in all parts
//! alike, and the direction of what they say is kept.

use super::{Forward, Iteration, Needs, ScalarEstimator, Scalars, StepInput};
use crate::directions::{Directions, Sharing};
use crate::error::LearnError;
use crate::guard::Guard;
use crate::outcome::Outcome;
use crate::session::Session;
use sprig_engine::adapter::{Adapter, Tensor};

/// The estimator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parted {
    /// The directions, and who shares them.
    pub along: Forward,
    /// Parts of the loss.
    pub parts: usize,
}

/// What coefficients of `parts`, one part after another, come to by `weights`: in double precision and in the parts' order, so
/// that everybody finds the same bits.
pub fn mix(parts: &[f32], weights: &[f64]) -> Vec<f32> {
    let count = parts.len() / weights.len().max(1);
    (0..count).map(|i| mixed(parts, weights, count, i)).collect()
}

fn mixed(parts: &[f32], weights: &[f64], count: usize, i: usize) -> f32 {
    let part = |(p, weight): (usize, &f64)| weight * f64::from(parts[p * count + i]);
    weights.iter().enumerate().map(part).fold(0.0, |sum, part| sum + part) as f32
}

impl ScalarEstimator for Parted {
    fn takes(&self) -> Needs {
        let needs = Forward::needs_for(self.along.tangents);
        Needs { scalars: self.parts * needs.scalars, ..needs }
    }

    fn directions<'a>(&self, tensors: &'a [Tensor], at: Iteration) -> Directions<'a> {
        self.along.directions(tensors, at)
    }

    fn scalars(&self, examples: usize) -> usize {
        self.along.scalars(examples)
    }

    fn parts(&self) -> usize {
        self.parts
    }

    fn measure(
        &self,
        session: &mut Session<'_>,
        adapter: &mut Adapter,
        step: StepInput<'_>,
        scalars: &mut Scalars,
    ) -> Result<(), LearnError> {
        let each = step.batch.len() * self.along.tangents;
        scalars.coefficients.resize(self.parts * each, 0.0);
        self.along.passes(session, adapter, &step, scalars, |coefficients, at, _, parts| {
            for (t, parts) in parts.chunks_exact(self.parts).enumerate() {
                parts
                    .iter()
                    .enumerate()
                    .for_each(|(p, part)| coefficients[p * each + at + t] = part.d as f32);
            }
        })?;
        self.weigh(step.guard, session.objective().weights(), scalars);
        Ok(())
    }
}

impl Parted {
    /// Turns derivatives into coefficients as [`Forward`] does, part after part.
    fn weigh(&self, guard: &mut Guard, weights: &[f64], scalars: &mut Scalars) {
        let (k, n) = (self.along.tangents, scalars.outcomes.len());
        let all: f32 = scalars.outcomes.iter().map(Outcome::weight).sum();
        let weight = |e: usize| scalars.outcomes[e].weight() / all;
        let (count, found) = (self.along.scalars(n), &mut scalars.coefficients);
        let shared = self.along.sharing == Sharing::Shared;
        if shared {
            // Each part moves to where it stays; what is there has been read.
            for (p, t) in (0..self.parts).flat_map(|p| (0..k).map(move |t| (p, t))) {
                found[p * k + t] = (0..n).map(|e| weight(e) * found[p * n * k + e * k + t]).sum();
            }
            found.truncate(self.parts * k);
        }
        for i in 0..count {
            let whole = mixed(found, weights, count, i);
            let admitted = guard.admit(whole);
            for part in (0..self.parts).map(|p| p * count + i) {
                let value = match (admitted == whole, admitted == 0.0) {
                    (true, _) => found[part],
                    (false, true) => 0.0,
                    (false, false) => found[part] * (admitted / whole),
                };
                found[part] = if shared { value / k as f32 } else { value * weight(i / k) / k as f32 };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directions::Family;

    /// What two examples' derivatives along two tangents become, for parts that weigh `weights`.
    fn weighed(sharing: Sharing, weights: &[f64], guard: &mut Guard) -> Vec<f32> {
        let along = Forward { family: Family::Gaussian, sharing, tangents: 2, run_key: [0; 2] };
        let parted = Parted { along, parts: 2 };
        let mut scalars = Scalars::new(&parted.takes(), 2, 0);
        scalars.outcomes.fill(Outcome { rows: 1, record: 1.0, ..Outcome::default() });
        scalars.coefficients = vec![1.0, 2.0, 3.0, 4.0, -10.0, 20.0, f32::NAN, 40.0];
        parted.weigh(guard, weights, &mut scalars);
        scalars.coefficients
    }

    #[test]
    fn parts_stay_apart_and_what_is_no_number_goes_in_all_of_them() {
        let found = weighed(Sharing::PerExample, &[1.0, 0.1], &mut Guard::default());
        assert_eq!(found, [0.25, 0.5, 0.0, 1.0, -2.5, 5.0, 0.0, 10.0]);
        assert_eq!(mix(&found, &[1.0, 0.1]), [0.0, 1.0, 0.0, 2.0]);
        let found = weighed(Sharing::Shared, &[1.0, 0.1], &mut Guard::default());
        assert_eq!(found, [0.0, 1.5, 0.0, 15.0]);
    }

    /// What is too large is cut in all parts alike.
    #[test]
    fn a_clip_keeps_the_parts_in_proportion() {
        let mut guard = Guard::default();
        (0..64).for_each(|_| assert_eq!(guard.admit(0.3), 0.3));
        let found = weighed(Sharing::PerExample, &[1.0, 0.1], &mut guard);
        let whole = mix(&found, &[1.0, 0.1]);
        // Of 8 the limit is ten medians of 0.3, by two examples and two tangents.
        assert!((whole[3] - 0.75).abs() < 1e-6 && found[7] == 10.0 * found[3], "{found:?}");
        assert_eq!(guard.clipped, 2);
    }
}
