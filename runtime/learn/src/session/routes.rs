//! What routers decided in a pass.

use crate::outcome::Outcome;
use sprig_engine::dual::Held;
use sprig_engine::model::{Pass, PassLayout};

/// What routers decided in the last pass, and what holds them.
#[derive(Debug, Default)]
pub(super) struct Routes {
    /// Weight of the regulariser, γ over the number of routed blocks.
    pub(super) held: Option<f32>,
    pub(super) weights: Vec<f32>,
    pub(super) shares: Vec<f32>,
    pub(super) features: Vec<f32>,
    /// Sums of shares by block over so many examples.
    pub(super) sums: Vec<f64>,
    pub(super) examples: usize,
}

impl Routes {
    /// Room for passes of `layout`.
    pub(super) fn of(layout: &PassLayout) -> Self {
        let [shares, features, weights] = Self::numbers(layout).map(Vec::with_capacity);
        Self { shares, features, weights, ..Self::default() }
    }

    /// Numbers of each list.
    pub(super) fn numbers(layout: &PassLayout) -> [usize; 3] {
        let Some(routes) = layout.size().routes else { return [0; 3] };
        let shares = routes.blocks * routes.examples;
        [shares, if routes.features { shares * routes.width } else { 0 }, routes.examples]
    }

    pub(super) fn take(&mut self, pass: &Pass<'_>) {
        for (kept, now) in [(&mut self.shares, pass.shares()), (&mut self.features, pass.features())] {
            kept.clear();
            kept.extend_from_slice(now);
        }
        let n = pass.examples();
        self.sums.resize(self.shares.len() / n, 0.0);
        self.examples += n;
        for (sum, shares) in self.sums.iter_mut().zip(self.shares.chunks_exact(n)) {
            *sum += shares.iter().map(|q| f64::from(*q)).sum::<f64>();
        }
    }

    pub(super) fn held(&mut self, outcomes: &[Outcome]) -> Option<Held<'_>> {
        let weight = self.held?;
        self.weights.clear();
        self.weights.extend(outcomes.iter().map(Outcome::weight));
        Some(Held { weight, examples: &self.weights })
    }
}
