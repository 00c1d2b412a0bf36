//! Optimisers of the server: what a mean change of the holders does to a weight (Reddi et al. 2021; specification 3.3).

use sprig_ground::names;

/// A server's optimiser, by its name alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerOptimiser {
    /// [`ServerRule::Avg`].
    Avg,
    /// [`ServerRule::Adam`].
    Adam,
    /// [`ServerRule::Yogi`].
    Yogi,
}

names!(ServerOptimiser, "rule of the server", [Avg = "avg", Adam = "adam", Yogi = "yogi"]);

/// Update rule over changes Δ, elementwise; its state starts from 0 and its bias is not corrected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ServerRule {
    /// FedAvg: w ← w + η·Δ.
    Avg {
        /// η; 1 is the plain mean.
        eta: f32,
    },
    /// FedAdam: m ← β₁·m + (1−β₁)·Δ, u ← β₂·u + (1−β₂)·Δ², w ← w + η·m / (√u + τ).
    Adam {
        /// η.
        eta: f32,
        /// β₁.
        beta1: f32,
        /// β₂.
        beta2: f32,
        /// τ, outside the root.
        tau: f32,
    },
    /// FedYogi: as FedAdam, with u ← u − (1−β₂)·Δ²·sign(u − Δ²).
    Yogi {
        /// η.
        eta: f32,
        /// β₁.
        beta1: f32,
        /// β₂.
        beta2: f32,
        /// τ, outside the root.
        tau: f32,
    },
}

impl ServerRule {
    /// State vectors it keeps, of one f32 a weight.
    pub fn moments(self) -> usize {
        match self {
            Self::Avg { .. } => 0,
            Self::Adam { .. } | Self::Yogi { .. } => 2,
        }
    }

    /// The same with η times `factor`.
    pub(super) fn scaled(mut self, factor: f32) -> Self {
        match &mut self {
            Self::Avg { eta } | Self::Adam { eta, .. } | Self::Yogi { eta, .. } => *eta *= factor,
        }
        self
    }

    /// Steps `values` by the changes that `delta` yields for them, in turn. `first` and `second` are the state of the
    /// same weights, empty for [`Avg`](Self::Avg).
    pub(super) fn step(
        self,
        values: &mut [f32],
        first: &mut [f32],
        second: &mut [f32],
        delta: impl Iterator<Item = f32>,
    ) {
        let (eta, beta1, tau) = match self {
            Self::Avg { eta } => {
                return values.iter_mut().zip(delta).for_each(|(w, d)| *w += eta * d);
            }
            Self::Adam { eta, beta1, tau, .. } | Self::Yogi { eta, beta1, tau, .. } => (eta, beta1, tau),
        };
        for (((w, m), u), d) in values.iter_mut().zip(first).zip(second).zip(delta) {
            let square = d * d;
            *m = beta1 * *m + (1.0 - beta1) * d;
            match self {
                Self::Yogi { beta2, .. } if *u > square => *u -= (1.0 - beta2) * square,
                Self::Yogi { beta2, .. } if *u < square => *u += (1.0 - beta2) * square,
                Self::Adam { beta2, .. } => *u = beta2 * *u + (1.0 - beta2) * square,
                _ => {}
            }
            *w += eta * *m / (u.sqrt() + tau);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_steps(rule: ServerRule) -> (f32, f32, f32) {
        let (mut w, mut m, mut u) = ([1.0f32], [0.0f32], [0.0f32]);
        for delta in [0.5, -0.25] {
            rule.step(&mut w, &mut m, &mut u, std::iter::once(delta));
        }
        (w[0], m[0], u[0])
    }

    /// Worked by hand.
    #[test]
    fn rules_are_those_of_the_paper() {
        assert_eq!(two_steps(ServerRule::Avg { eta: 0.5 }).0, 1.125);
        let (eta, beta1, beta2, tau) = (1.0, 0.5, 0.75, 0.25);
        // m: 0.25, then 0.125 − 0.125 = 0. u of Adam: 0.0625, then 0.046875 + 0.015625 = 0.0625; w: 1 + 0.25/0.5.
        assert_eq!(two_steps(ServerRule::Adam { eta, beta1, beta2, tau }), (1.5, 0.0, 0.0625));
        // u of Yogi: 0.0625, then as Δ² = 0.0625 is no more and no less it stays.
        assert_eq!(two_steps(ServerRule::Yogi { eta, beta1, beta2, tau }), (1.5, 0.0, 0.0625));
        let (mut w, mut m, mut u) = ([0.0f32; 2], [0.0f32; 2], [1.0f32, 0.015625]);
        let rule = ServerRule::Yogi { eta, beta1, beta2, tau };
        rule.step(&mut w, &mut m, &mut u, [0.5, 0.5].into_iter());
        assert_eq!(u, [1.0 - 0.0625, 0.015625 + 0.0625]);
    }
}
