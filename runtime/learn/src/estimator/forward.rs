//! The forward estimator: K directional derivatives an example, sₖ = ⟨∇f, vₖ⟩, each from a tangent of the one pass over
//! it, and g = mean over examples and directions of sₖ·vₖ. With E\[v vᵀ\] = I that is ∇f on average.
//! algorithm.md 3.2, 6.2 and 6.4; no backward pass anywhere.

use super::{Iteration, Needs, ScalarEstimator, Scalars, StepInput};
use crate::directions::{Directions, Family, Sharing};
use crate::error::LearnError;
use crate::guard::Guard;
use crate::objective::Dual;
use crate::outcome::Outcome;
use crate::session::Session;
use sprig_engine::adapter::{Adapter, Tensor};
use sprig_engine::dual::Probe;

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

impl ScalarEstimator for Forward {
    fn takes(&self) -> Needs {
        Self::needs_for(self.tangents)
    }

    fn directions<'a>(&self, tensors: &'a [Tensor], at: Iteration) -> Directions<'a> {
        Directions {
            family: self.family,
            sharing: self.sharing,
            run_key: self.run_key,
            round: at.round,
            iteration: at.number,
            device: at.device,
            tangents: self.tangents,
            first_tangent: 0,
            tensors,
        }
    }

    fn scalars(&self, examples: usize) -> usize {
        match self.sharing {
            Sharing::PerExample => examples * self.tangents,
            Sharing::Shared => self.tangents,
        }
    }

    fn measure(
        &self,
        session: &mut Session<'_>,
        adapter: &mut Adapter,
        step: StepInput<'_>,
        scalars: &mut Scalars,
    ) -> Result<(), LearnError> {
        scalars.coefficients.resize(step.batch.len() * self.tangents, 0.0);
        self.passes(session, adapter, &step, scalars, |coefficients, at, found, _| {
            coefficients[at..at + found.len()].copy_from_slice(found);
        })?;
        self.weigh(step.guard, scalars);
        Ok(())
    }
}

impl Forward {
    /// Runs all passes of `step`. `take` gets the coefficients, the place of an example's first one in this pass if they are K an
    /// example, its derivatives along the pass's tangents, and the parts of each.
    pub(super) fn passes(
        &self,
        session: &mut Session<'_>,
        adapter: &Adapter,
        step: &StepInput<'_>,
        scalars: &mut Scalars,
        mut take: impl FnMut(&mut [f32], usize, &[f32], &[Dual]),
    ) -> Result<(), LearnError> {
        let StepInput { batch, cut, tensors, at, .. } = *step;
        let (k, all) = (self.tangents, self.directions(tensors, at));
        scalars.outcomes.resize(batch.len(), Outcome::default());
        for (first, part) in batch.passes(cut.examples) {
            for from in (0..k).step_by(cut.tangents) {
                let tangents = cut.tangents.min(k - from);
                let directions = Directions { first_tangent: from, ..all };
                let probe = Probe { directions: &directions, tangents, first_example: first };
                let outcomes = &mut scalars.outcomes[first..first + part.len()];
                let found = &mut scalars.pass[..part.len() * tangents];
                session.run(Some(adapter), Some(probe), part, outcomes, found)?;
                // A lone part is the loss itself.
                let each = session.parts().len() / part.len();
                for (e, found) in found.chunks_exact(tangents).enumerate() {
                    let parts = &session.parts()[e * each..(e + 1) * each];
                    take(&mut scalars.coefficients, (first + e) * k + from, found, parts);
                }
            }
        }
        Ok(())
    }

    /// What it takes with `tangents` directions an example.
    pub fn needs_for(tangents: usize) -> Needs {
        Needs { tangents, scalars: tangents, ..Needs::NOTHING }
    }

    /// Turns derivatives into the coefficients of their directions: example weights (shares of all weights),
    /// 1/K, and the guard. With shared directions one coefficient a tangent remains, in the first K places.
    fn weigh(&self, guard: &mut Guard, scalars: &mut Scalars) {
        let (k, n) = (self.tangents, scalars.outcomes.len());
        let all: f32 = scalars.outcomes.iter().map(Outcome::weight).sum();
        let weight = |e: usize| scalars.outcomes[e].weight() / all;
        match self.sharing {
            Sharing::PerExample => {
                for e in 0..n {
                    for s in &mut scalars.coefficients[e * k..(e + 1) * k] {
                        *s = guard.admit(*s) * weight(e) / k as f32;
                    }
                }
            }
            Sharing::Shared => {
                for t in 0..k {
                    let s: f32 = (0..n).map(|e| weight(e) * scalars.coefficients[e * k + t]).sum();
                    scalars.coefficients[t] = guard.admit(s) / k as f32;
                }
                scalars.coefficients.truncate(k);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record of weight 2 counts as if it stood there twice.
    #[test]
    fn records_and_rows_weigh_derivatives() {
        let outcome = |rows, record| Outcome { rows, record, ..Outcome::default() };
        for (outcomes, first, shared) in [
            ([outcome(1, 1.0), outcome(1, 1.0)], [1.5, 3.0], 4.5),
            ([outcome(1, 2.0), outcome(1, 1.0)], [2.0, 2.0], 4.0),
            ([outcome(2, 1.0), outcome(1, 1.0)], [2.0, 2.0], 4.0),
            ([outcome(2, 0.25), outcome(1, 1.0)], [1.0, 4.0], 5.0),
        ] {
            for (sharing, want) in [(Sharing::PerExample, &first[..]), (Sharing::Shared, &[shared])] {
                let forward = Forward { family: Family::Walsh, sharing, tangents: 1, run_key: [0; 2] };
                let mut scalars = Scalars::new(&forward.takes(), 2, 0);
                scalars.outcomes.copy_from_slice(&outcomes);
                scalars.coefficients.copy_from_slice(&[3.0, 6.0]);
                forward.weigh(&mut Guard::default(), &mut scalars);
                let apart = scalars.coefficients.iter().zip(want).map(|(c, w)| (c - w).abs());
                assert!(
                    scalars.coefficients.len() == want.len() && apart.fold(0.0, f32::max) < 1e-6,
                    "{scalars:?}"
                );
            }
        }
    }
}
