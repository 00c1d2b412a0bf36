//! Sums of examples of which none counts more than it may.

use super::super::super::sums::Sums;
use super::super::super::symmetric::packed_len;
use super::super::sums::{FleetSums, Shape};
use super::noise::Noise;
use super::reference::Reference;
use super::valid::{Noisy, valid};
use crate::error::LearnError;
use crate::privacy::{Bits, Epsilon};
use sprig_engine::kernels::Pool;
use std::io::{self, Read};

/// Sums of x: rows of examples, centred and clipped to |x|² ≤ C².
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clipped {
    sums: Sums,
    reference: Reference,
    shape: Shape,
}

impl Clipped {
    /// Of no example yet.
    pub fn new(shape: Shape, reference: Reference) -> Self {
        Self { sums: Sums::new(shape.directions(), shape.classes), reference, shape }
    }

    /// What they are of.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// What they are measured from.
    pub(in super::super) fn reference(&self) -> &Reference {
        &self.reference
    }

    /// Adds examples: φ of each, one after another, and their classes.
    ///
    /// # Errors
    /// [`LearnError::Settings`] where there would be more examples than there is room for.
    pub fn add(&mut self, pool: &Pool, rows: &mut [i32], answers: &[usize]) -> Result<(), LearnError> {
        rows.chunks_exact_mut(self.shape.kept).for_each(|row| self.reference.centre(row));
        self.sums.add(pool, rows, answers)
    }

    /// The same with noise, as sums that examples could have: (ε, δ)-differentially private, once. `source` must be the
    /// system's own randomness.
    ///
    /// # Errors
    /// Those of `source`.
    pub fn noised(&self, epsilon: Epsilon, source: &mut dyn Read) -> io::Result<FleetSums> {
        let noise = Noise::of(epsilon, self.shape.kept);
        let noisy = self.with(noise, source)?;
        Ok(valid(&noisy.spread(noise), self.shape, &self.reference))
    }

    /// The same with one of `among` parts of the noise, as numbers in the order of [`FleetSums::pack`]: of devices that all measure
    /// from this reference their sum is private once `among` of them are in it. [`settle`](super::settle) makes sums of that.
    ///
    /// # Errors
    /// Those of `source`.
    pub fn part(&self, epsilon: Epsilon, among: u32, source: &mut dyn Read) -> io::Result<Vec<i64>> {
        let noise = Noise::of(epsilon, self.shape.kept).part(among);
        let Noisy { examples, counts, classes, products, .. } = self.with(noise, source)?;
        let ratio = examples as i64 * self.reference.ratio;
        Ok([counts, vec![ratio], classes, products].concat())
    }

    /// The sums with that noise.
    fn with(&self, noise: Noise, source: &mut dyn Read) -> io::Result<Noisy> {
        let mut bits = Bits::new(source);
        let counts = self.sums.counts.iter().map(|&n| Ok(n as i64 + bits.gaussian(noise.counts)?));
        let counts = counts.collect::<io::Result<Vec<i64>>>()?;
        let classes = self.sums.classes.iter().map(|sum| Ok(sum + bits.gaussian(noise.classes)?));
        let classes = classes.collect::<io::Result<Vec<i64>>>()?;
        let mut products = self.sums.products.clone();
        for i in 0..self.shape.kept {
            for (j, product) in products[packed_len(i)..packed_len(i + 1)].iter_mut().enumerate() {
                *product += bits.gaussian(if i == j { 2 * noise.products } else { noise.products })?;
            }
        }
        Ok(Noisy { examples: self.sums.examples(), counts, classes, products, spread: 0.0 })
    }
}

#[cfg(test)]
#[path = "clipped_tests.rs"]
mod tests;
