//! First-order optimisers over one flat vector, and learning-rate schedules.

use sprig_ground::names;

/// An optimiser, by its name alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Optimiser {
    /// [`Rule::AdamW`].
    AdamW,
    /// [`Rule::Sgd`].
    Sgd,
}

names!(Optimiser, "optimiser", [AdamW = "adamw", Sgd = "sgd"]);

/// Update rule. State vectors hold one f32 a trainable number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// w ← w − lr·m with m ← μ·m + g.
    Sgd {
        /// μ.
        momentum: f32,
    },
    /// Decoupled weight decay (Loshchilov and Hutter 2019).
    AdamW {
        /// Decay of the first moment.
        beta1: f32,
        /// Decay of the second moment.
        beta2: f32,
        /// ε, outside the root.
        epsilon: f32,
        /// Weight decay a step, times the learning rate.
        decay: f32,
    },
}

impl Rule {
    /// State vectors it keeps.
    pub fn moments(self) -> usize {
        match self {
            Self::Sgd { momentum: 0.0 } => 0,
            Self::Sgd { .. } => 1,
            Self::AdamW { .. } => 2,
        }
    }

    /// One step. `state` holds `moments()` vectors of `values.len()`; `step` counts from 1.
    pub fn step(self, values: &mut [f32], gradient: &[f32], state: &mut [f32], lr: f32, step: u64) {
        let n = values.len();
        match self {
            Self::Sgd { momentum: 0.0 } => values.iter_mut().zip(gradient).for_each(|(w, g)| *w -= lr * g),
            Self::Sgd { momentum } => {
                for ((w, g), m) in values.iter_mut().zip(gradient).zip(state) {
                    *m = momentum * *m + g;
                    *w -= lr * *m;
                }
            }
            Self::AdamW { beta1, beta2, epsilon, decay } => {
                let (first, second) = state.split_at_mut(n);
                let power = step.min(i32::MAX as u64) as f64;
                let correct1 = 1.0 - libm::pow(f64::from(beta1), power) as f32;
                let correct2 = 1.0 - libm::pow(f64::from(beta2), power) as f32;
                for (((w, g), m), v) in values.iter_mut().zip(gradient).zip(first).zip(second) {
                    *m = beta1 * *m + (1.0 - beta1) * g;
                    *v = beta2 * *v + (1.0 - beta2) * g * g;
                    *w -= lr * (*m / correct1 / ((*v / correct2).sqrt() + epsilon) + decay * *w);
                }
            }
        }
    }
}

/// How the learning rate falls after warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decay {
    /// Not at all.
    Constant,
    /// In a straight line to 0 at the last step.
    Linear,
    /// Half a cosine wave to 0 at the last step.
    Cosine,
}

names!(Decay, "decay of the learning rate", [Constant = "constant", Linear = "linear", Cosine = "cosine"]);

/// Learning rate by step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// Highest rate.
    pub peak: f32,
    /// Steps of linear warm-up.
    pub warmup: u64,
    /// Steps in all.
    pub steps: u64,
    /// What follows warm-up.
    pub decay: Decay,
}

impl Schedule {
    /// Rate of `step`, which counts from 1.
    pub fn at(&self, step: u64) -> f32 {
        if step <= self.warmup {
            return self.peak * (step as f32 / self.warmup as f32);
        }
        let done = (step - self.warmup - 1) as f64 / self.steps.saturating_sub(self.warmup).max(1) as f64;
        let left = match self.decay {
            Decay::Constant => 1.0,
            Decay::Linear => 1.0 - done,
            Decay::Cosine => 0.5 * (1.0 + libm::cos(std::f64::consts::PI * done)),
        };
        (f64::from(self.peak) * left.max(0.0)) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directions::{Directions, Family, Sharing};
    use sprig_engine::adapter::Tensor;
    use sprig_engine::dual::TensorId;

    #[test]
    fn adamw_first_step_is_the_sign_of_the_gradient() {
        let rule = Rule::AdamW { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, decay: 0.0 };
        let (mut w, mut state) = ([1.0f32, 1.0], [0.0; 4]);
        rule.step(&mut w, &[0.5, -2.0], &mut state, 0.1, 1);
        assert!((w[0] - 0.9).abs() < 1e-5 && (w[1] - 1.1).abs() < 1e-5, "{w:?}");
    }

    #[test]
    fn momentum_accumulates() {
        let (mut w, mut state) = ([0.0f32], [0.0; 1]);
        for _ in 0..2 {
            Rule::Sgd { momentum: 0.5 }.step(&mut w, &[1.0], &mut state, 1.0, 1);
        }
        assert_eq!(w[0], -2.5);
    }

    #[test]
    fn schedules_warm_up_and_end_near_zero() {
        let s = Schedule { peak: 1.0, warmup: 4, steps: 104, decay: Decay::Cosine };
        assert_eq!((s.at(1), s.at(4), s.at(5)), (0.25, 1.0, 1.0));
        assert!(s.at(104) < 0.001 && s.at(104) >= 0.0);
        let s = Schedule { peak: 1.0, warmup: 0, steps: 10, decay: Decay::Linear };
        assert!((s.at(10) - 0.1).abs() < 1e-6);
    }

    /// A fleet replays scalars on other machines (algorithm.md 6.9): the whole way from scalars to weights has known bits, on
    /// every CPU. The hash is that of x86-64.
    #[test]
    fn a_replay_has_fixed_bits() {
        let tensor = |id, range| Tensor { id: TensorId(id), range };
        let tensors = [tensor(14, 0..200), tensor(15, 200..256)];
        let rule = Rule::AdamW { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, decay: 0.01 };
        let (mut values, mut state) = ([0.5f32; 256], [0.0f32; 512]);
        for (step, family) in [Family::Rademacher, Family::Walsh, Family::Gaussian].into_iter().enumerate() {
            let directions = Directions {
                family,
                sharing: Sharing::PerExample,
                run_key: [7, 11],
                round: 1,
                iteration: step as u32,
                device: 3,
                tangents: 2,
                first_tangent: 0,
                tensors: &tensors,
            };
            let mut gradient = [0.0f32; 256];
            for tensor in &tensors {
                for i in 0..8 {
                    let scalar = ((i * 37 + step) % 19) as f32 / 7.0 - 1.3;
                    directions.accumulate(i % 2, i / 2, tensor, scalar, &mut gradient[tensor.range.clone()]);
                }
            }
            rule.step(&mut values, &gradient, &mut state, 0.03, step as u64 + 1);
        }
        let fold = |hash: u32, v: &f32| (hash ^ v.to_bits()).wrapping_mul(0x0100_0193);
        assert_eq!(values.iter().fold(0x811c_9dc5, fold), 0xc2a0_9c41);
    }
}
