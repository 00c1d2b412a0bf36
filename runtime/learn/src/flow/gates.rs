//! The router's gradient by forward derivatives of its logits (specification 6.5): where every logit z of an example is
//! moved by ε, one pass gives δ = Σ ε·∂f/∂z, and the gradient of a router's weights is the mean of δ·ε·φ over examples and
//! patterns, of its bias that of δ·ε. Examples do not touch each other, so each has signs of its own.
//!
//! Its variance, relative to the gradient, is about (L − 1)/(N·K) for L blocks, N examples that agree and K patterns,
//! however many weights there are; moving the weights themselves has that of their number. With one pattern a block it
//! is exact.

use crate::directions::Directions as Signs;
use crate::directions::{Family, Sharing};
use crate::error::LearnError;
use crate::estimator::{Estimator, Needs, Scalars, StepInput};
use crate::outcome::Outcome;
use crate::session::Session;
use sprig_engine::adapter::{Adapter, Group};
use sprig_engine::dual::{Directions, Pool, Probe, TensorId};

/// The estimator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gates {
    /// How logits are moved.
    pub patterns: Patterns,
    /// Tangents that this takes: K, or the number of routed blocks.
    pub tangents: usize,
    /// γ of the regulariser.
    pub gamma: f32,
    /// Key of the run.
    pub run_key: [u32; 2],
}

/// How logits are moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patterns {
    /// All of an example at once, by random signs (F2).
    Signs,
    /// One block at a time (F3).
    OneByOne,
}

/// Tangent k moves the logit of block k alone.
struct OneByOne<'a> {
    logits: &'a [TensorId],
    first: usize,
}

impl Directions for OneByOne<'_> {
    fn fill(&self, tangent: usize, _: usize, tensor: TensorId, out: &mut [f32]) {
        let moved = self.logits.get(self.first + tangent) == Some(&tensor);
        out.fill(f32::from(u8::from(moved)));
    }
}

impl Estimator for Gates {
    fn needs(&self) -> Needs {
        Needs { tangents: self.tangents, scalars: self.tangents, features: true, ..Needs::NOTHING }
    }

    fn gradient(
        &self,
        session: &mut Session<'_>,
        adapter: &mut Adapter,
        step: StepInput<'_>,
        scalars: &mut Scalars,
        gradient: &mut [f32],
    ) -> Result<(), LearnError> {
        self.check(adapter)?;
        adapter.train(Group::Logits);
        let found = self.sum(session, adapter, step, scalars, gradient);
        adapter.train(Group::Router);
        found?;
        let weights: f32 = scalars.outcomes.iter().map(Outcome::weight).sum();
        gradient.iter_mut().for_each(|g| *g /= weights);
        Ok(())
    }
}

impl Gates {
    /// Moving logits tells of one share an example.
    fn check(&self, adapter: &Adapter) -> Result<(), LearnError> {
        match adapter.routing() {
            Some(routing) if routing.pool == Pool::Prompt => Ok(()),
            _ => Err(LearnError::Settings(
                "a router that decides at every position is not learnt by moving its logits; learn it backwards".into(),
            )),
        }
    }

    fn sum(
        &self,
        session: &mut Session<'_>,
        adapter: &Adapter,
        step: StepInput<'_>,
        scalars: &mut Scalars,
        gradient: &mut [f32],
    ) -> Result<(), LearnError> {
        let StepInput { batch, cut, tensors, at, guard, .. } = step;
        let logits = adapter.group_tensors(Group::Logits);
        let names: Vec<TensorId> = logits.iter().map(|tensor| tensor.id).collect();
        let random = Signs {
            family: Family::Rademacher,
            sharing: Sharing::PerExample,
            run_key: self.run_key,
            round: at.round,
            iteration: at.number,
            device: at.device,
            tangents: self.tangents,
            first_tangent: 0,
            tensors: &logits,
        };
        scalars.outcomes.resize(batch.len(), Outcome::default());
        gradient.fill(0.0);
        for (first, part) in batch.passes(cut.examples) {
            for from in (0..self.tangents).step_by(cut.tangents.max(1)) {
                let tangents = cut.tangents.min(self.tangents - from);
                let signs = Signs { first_tangent: from, ..random };
                let one = OneByOne { logits: &names, first: from };
                let directions: &dyn Directions = match self.patterns {
                    Patterns::Signs => &signs,
                    Patterns::OneByOne => &one,
                };
                let probe = Probe { directions, tangents, first_example: first };
                let outcomes = &mut scalars.outcomes[first..first + part.len()];
                let found = &mut scalars.pass[..part.len() * tangents];
                session.run(Some(adapter), Some(probe), part, outcomes, found)?;
                found.iter_mut().for_each(|s| *s = guard.admit(*s));
                let seen =
                    Seen { features: session.features(), shares: session.shares(), examples: part.len() };
                for (e, derivatives) in found.chunks_exact(tangents).enumerate() {
                    let weight = outcomes[e].weight();
                    for (j, name) in names.iter().enumerate() {
                        let mut slope = self.slope(probe, (e, *name), derivatives);
                        if from == 0 {
                            // The regulariser once, whatever the number of passes.
                            slope -= self.gamma / names.len() as f32 * (1.0 - seen.share(e, j));
                        }
                        let tensor = tensors.get(j).unwrap_or(&tensors[0]);
                        seen.add((e, j), weight * slope, &mut gradient[tensor.range.clone()]);
                    }
                }
            }
        }
        Ok(())
    }

    /// The part of example `e`'s derivatives that the logit `name` has.
    fn slope(&self, probe: Probe<'_>, (e, name): (usize, TensorId), derivatives: &[f32]) -> f32 {
        let moved = |k: usize| {
            let mut sign = [0.0];
            probe.directions.fill(k, probe.first_example + e, name, &mut sign);
            sign[0]
        };
        let sum: f32 = derivatives.iter().enumerate().map(|(k, d)| d * moved(k)).sum();
        match self.patterns {
            Patterns::Signs => sum / self.tangents as f32,
            Patterns::OneByOne => sum,
        }
    }
}

/// What routers saw and decided in a pass.
struct Seen<'a> {
    features: &'a [f32],
    shares: &'a [f32],
    examples: usize,
}

impl Seen<'_> {
    fn share(&self, e: usize, block: usize) -> f32 {
        self.shares[block * self.examples + e]
    }

    /// Adds `scale`·(φ, 1) of an example and block.
    fn add(&self, (e, block): (usize, usize), scale: f32, sums: &mut [f32]) {
        let d = sums.len() - 1;
        let phi = &self.features[(block * self.examples + e) * d..][..d];
        sums.iter_mut().zip(phi).for_each(|(sum, phi)| *sum += scale * phi);
        sums[d] += scale;
    }
}
