//! Adapters of the oracle: plain LoRA factors by layer.

use crate::{Geometry, Random};
use std::collections::BTreeMap;

/// (block, one of [`MODULES`](crate::MODULES)).
pub type Key = (usize, &'static str);

/// An adapter's factors at one layer of `inputs` → `outputs`, row-major. The same type carries their gradients and
/// directions in weight space.
#[derive(Clone, Debug, PartialEq)]
pub enum Factors {
    /// y += s·B·A·x, with A \[r, inputs\] and B \[outputs, r\] trainable.
    Lora {
        /// A \[r, inputs\].
        a: Vec<f32>,
        /// B \[outputs, r\].
        b: Vec<f32>,
    },
    /// LoRA-XS: y += s·P·R·Q·x, with only R trainable; `p` and `q` are empty in a gradient or a direction.
    Xs {
        /// P \[outputs, r\].
        p: Vec<f32>,
        /// R \[r, r\].
        r: Vec<f32>,
        /// Q \[r, inputs\].
        q: Vec<f32>,
    },
}

impl Factors {
    /// The trainable tensors.
    pub fn trainable(&self) -> Vec<&[f32]> {
        match self {
            Self::Lora { a, b } => vec![a, b],
            Self::Xs { r, .. } => vec![r],
        }
    }

    /// The trainable tensors, to write to.
    pub fn trainable_mut(&mut self) -> Vec<&mut Vec<f32>> {
        match self {
            Self::Lora { a, b } => vec![a, b],
            Self::Xs { r, .. } => vec![r],
        }
    }
}

/// Factors by layer, with one rank and one scale.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapter {
    /// Rank r.
    pub rank: usize,
    /// s = alpha / r.
    pub scale: f32,
    /// Factors by layer.
    pub factors: BTreeMap<Key, Factors>,
}

impl Adapter {
    /// LoRA on `modules` of all blocks in `blocks`. B is random too (it starts at zero in training), so that A's
    /// gradient is not zero.
    pub fn random_lora(
        geometry: &Geometry,
        blocks: std::ops::Range<usize>,
        modules: &[&'static str],
        rank: usize,
        scale: f32,
        seed: u64,
    ) -> Self {
        Self::build(geometry, blocks, modules, rank, scale, seed, |rng, inputs, outputs| Factors::Lora {
            a: rng.normals(rank * inputs, (inputs as f32).powf(-0.5)),
            b: rng.normals(outputs * rank, 0.05),
        })
    }

    /// LoRA-XS on `modules` of all blocks in `blocks`.
    pub fn random_xs(
        geometry: &Geometry,
        blocks: std::ops::Range<usize>,
        modules: &[&'static str],
        rank: usize,
        scale: f32,
        seed: u64,
    ) -> Self {
        Self::build(geometry, blocks, modules, rank, scale, seed, |rng, inputs, outputs| Factors::Xs {
            p: rng.normals(outputs * rank, (rank as f32).powf(-0.5)),
            r: rng.normals(rank * rank, 0.05),
            q: rng.normals(rank * inputs, (inputs as f32).powf(-0.5)),
        })
    }

    #[allow(clippy::too_many_arguments, reason = "shape, place and seed of what is built")]
    fn build(
        geometry: &Geometry,
        blocks: std::ops::Range<usize>,
        modules: &[&'static str],
        rank: usize,
        scale: f32,
        seed: u64,
        mut factors: impl FnMut(&mut Random, usize, usize) -> Factors,
    ) -> Self {
        let mut rng = Random::new(seed);
        let keys = blocks.flat_map(|block| modules.iter().map(move |&module| (block, module)));
        let factors = keys
            .map(|key| {
                let (inputs, outputs) = geometry.shape(key.1);
                (key, factors(&mut rng, inputs, outputs))
            })
            .collect();
        Self { rank, scale, factors }
    }

    /// A direction: standard normal at every trainable weight of `self`, in the order of keys.
    pub fn random_direction(&self, seed: u64) -> Self {
        let mut direction = self.empty();
        let mut rng = Random::new(seed);
        direction
            .factors
            .values_mut()
            .flat_map(Factors::trainable_mut)
            .flatten()
            .for_each(|x| *x = rng.normal());
        direction
    }

    /// `self + step · direction` at the trainable weights, rounded to f32.
    pub fn moved(&self, direction: &Self, step: f32) -> Self {
        let mut moved = self.clone();
        moved.zip_mut(direction, |x, d| *x = (f64::from(*x) + f64::from(step) * f64::from(d)) as f32);
        moved
    }

    /// `self += weight · other` at the trainable weights: sums gradients of several sequences.
    pub fn add_scaled(&mut self, other: &Self, weight: f32) {
        self.zip_mut(other, |x, o| *x += weight * o);
    }

    /// Inner product over the trainable weights, in f64.
    pub fn dot(&self, other: &Self) -> f64 {
        let flat = |adapter: &Self| -> Vec<f32> {
            adapter.factors.values().flat_map(Factors::trainable).flatten().copied().collect()
        };
        let (a, b) = (flat(self), flat(other));
        assert_eq!(a.len(), b.len(), "adapters of different shapes");
        a.iter().zip(&b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
    }

    /// The same trainable shapes, all zero, and no frozen factors.
    pub fn empty(&self) -> Self {
        let mut empty = self.clone();
        for factors in empty.factors.values_mut() {
            if let Factors::Xs { p, q, .. } = factors {
                p.clear();
                q.clear();
            }
            factors.trainable_mut().into_iter().for_each(|tensor| tensor.fill(0.0));
        }
        empty
    }

    fn zip_mut(&mut self, other: &Self, mut f: impl FnMut(&mut f32, f32)) {
        let mine = self.factors.values_mut().flat_map(Factors::trainable_mut);
        let theirs = other.factors.values().flat_map(Factors::trainable);
        for (mine, theirs) in mine.zip(theirs) {
            assert_eq!(mine.len(), theirs.len(), "adapters of different shapes");
            mine.iter_mut().zip(theirs).for_each(|(x, &o)| f(x, o));
        }
    }
}
