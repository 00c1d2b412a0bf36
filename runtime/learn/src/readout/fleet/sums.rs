//! The sums of a device, and of all: whole numbers whose ranges are checked wherever they come from.

use super::super::features::{Directions, MOST_EXAMPLES, MOST_INPUTS};
use super::super::sums::Sums;
use super::super::symmetric::packed_len;
use super::packed::{pack, unpack};
use crate::error::LearnError;
use sha2::{Digest, Sha256};
use sprig_budget::Bytes;
use std::fmt::{self, Display, Formatter};

/// Of a device by itself a unit has 16,384 steps; here 16. A number that is rounded to them has 0.0003 more variance, where
/// directions have about 1, and a ridge adds a hundredth and more.
const COARSER: i32 = 10;
/// Steps of a unit.
const STEPS: f64 = 16.0;
/// How large the stream is for a row of size 1: steps of a unit, and most units of an example.
pub(super) const RATIO_STEPS: f64 = 1024.0;
const MOST_RATIO: i64 = 1 << 20;
/// What a float holds exactly.
const LIMB: i64 = 1 << 24;

/// What sums are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Numbers of a row.
    pub inputs: usize,
    /// Directions of it.
    pub kept: usize,
    /// Classes.
    pub classes: usize,
}

/// Examples of each class, Σ φ of each, Σ φφᵀ of all, and how large the stream is beside φ.
///
/// With n ≤ 2¹⁴ inputs a number of φ stays within √n·16 ≤ 2¹¹, so a product takes 22 bits and the sum of 2²⁰ of them 42.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetSums {
    pub(super) sums: Sums,
    /// Σ of root mean squares, stream over row, in 1024ths.
    pub(super) ratio: i64,
    shape: Shape,
}

/// What is wrong with sums that somebody sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// They are no sums of this shape.
    Form,
    /// They are of another number of examples.
    Examples {
        /// How many they are of.
        found: u64,
        /// How many were spoken of.
        said: u64,
    },
    /// A number that no examples sum up to.
    Range {
        /// Which.
        what: &'static str,
        /// Its value.
        found: i64,
        /// Its limit.
        limit: i64,
    },
}

impl Shape {
    /// How rows become φ, but for the rounding.
    pub(super) fn directions(&self) -> Directions {
        Directions { inputs: self.inputs, kept: self.kept }
    }

    /// The largest square of a number of φ.
    pub(super) fn most_square(&self) -> i64 {
        let most = ((self.inputs.min(MOST_INPUTS) as f64).sqrt() * STEPS).ceil() as i64;
        most * most
    }

    /// Numbers of the sums.
    pub fn numbers(&self) -> usize {
        1 + self.classes * (1 + self.kept) + packed_len(self.kept)
    }

    /// Floats of the same: two a number.
    pub fn values(&self) -> usize {
        2 * self.numbers()
    }

    /// Heap bytes of the sums.
    pub fn bytes(&self) -> Bytes {
        Sums::bytes(self.kept, self.classes)
    }
}

impl FleetSums {
    /// Of no example yet.
    pub fn new(shape: Shape) -> Self {
        Self { sums: Sums::new(shape.directions(), shape.classes), ratio: 0, shape }
    }

    /// What they are of.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Examples of each class.
    pub fn counts(&self) -> &[u64] {
        &self.sums.counts
    }

    /// Examples summed up.
    pub fn examples(&self) -> u64 {
        self.sums.examples()
    }

    /// Notes how large the stream of an example is beside its row.
    pub(super) fn note(&mut self, ratio: f64) {
        self.ratio += ratio_steps(ratio);
    }

    /// Adds the sums of other examples: the same as if they had been summed up here.
    ///
    /// # Errors
    /// [`LearnError::Settings`] where there would be more examples than there is room for.
    pub fn merge(&mut self, other: &Self) -> Result<(), LearnError> {
        self.sums.merge(&other.sums)?;
        self.ratio += other.ratio;
        Ok(())
    }

    /// Cuts sums of more than `most` examples down to about as many: every number by one factor, rounded so that squares still
    /// bound all others.
    pub fn cut(&mut self, most: u64) {
        let n = self.examples();
        if n <= most {
            return;
        }
        let part = |v: i64| i128::from(v) * i128::from(most);
        let down = |v: i64| (part(v) / i128::from(n)) as i64; // towards 0
        let up = |v: i64| ((part(v) + i128::from(n) - 1) / i128::from(n)) as i64; // of what is not below 0
        self.sums.counts.iter_mut().for_each(|count| *count = up(*count as i64) as u64);
        self.ratio = down(self.ratio);
        self.sums.classes.iter_mut().for_each(|sum| *sum = down(*sum));
        for i in 0..self.shape.kept {
            let (row, square) = self.sums.products[packed_len(i)..packed_len(i + 1)].split_at_mut(i);
            row.iter_mut().for_each(|product| *product = down(*product));
            square[0] = up(square[0]);
        }
    }

    /// As they travel to the coordinator.
    pub fn packed(&self) -> Vec<u8> {
        Self::pack(&self.numbers().collect::<Vec<_>>())
    }

    /// Numbers as they would travel, whatever they are: examples of each class, the size of the stream, Σ φ of each class,
    /// Σ φφᵀ.
    pub fn pack(numbers: &[i64]) -> Vec<u8> {
        let mut bytes = Vec::new();
        pack(numbers.iter().copied(), &mut bytes);
        bytes
    }

    /// The `count` numbers that [`pack`](Self::pack) wrote, whatever they are; `None` for other bytes.
    pub fn unpack(bytes: &[u8], count: usize) -> Option<Vec<i64>> {
        let mut numbers = vec![0; count];
        unpack(bytes, &mut numbers)?;
        Some(numbers)
    }

    /// Reads the numbers of sums of `said` examples, and believes nothing of them.
    ///
    /// # Errors
    /// What cannot be the sums of so many examples.
    pub fn from_numbers(shape: Shape, numbers: &[i64], said: u64) -> Result<Self, Flaw> {
        if numbers.len() != shape.numbers() {
            return Err(Flaw::Form);
        }
        let found = Self::of(shape, numbers)?;
        found.check(said)?;
        Ok(found)
    }

    /// Reads what [`packed`](Self::packed) wrote for `said` examples, and believes nothing of it.
    ///
    /// # Errors
    /// What cannot be the sums of so many examples.
    pub fn unpacked(shape: Shape, bytes: &[u8], said: u64) -> Result<Self, Flaw> {
        let numbers = Self::unpack(bytes, shape.numbers()).ok_or(Flaw::Form)?;
        Self::from_numbers(shape, &numbers, said)
    }

    /// As a total travels to devices and lies in a ledger: two floats a number, v = a·2²⁴ + b with |b| ≤ 2²³, exactly.
    pub fn values(&self) -> Vec<f32> {
        let limbs = |v: i64| {
            let low = (v + LIMB / 2).rem_euclid(LIMB) - LIMB / 2;
            [((v - low) / LIMB) as f32, low as f32]
        };
        self.numbers().flat_map(limbs).collect()
    }

    /// Reads what [`values`](Self::values) wrote.
    ///
    /// # Errors
    /// What cannot be a total.
    pub fn from_values(shape: Shape, values: &[f32]) -> Result<Self, Flaw> {
        let (pairs, rest) = values.as_chunks::<2>();
        if pairs.len() != shape.numbers() || !rest.is_empty() {
            return Err(Flaw::Form);
        }
        let whole = |v: f32| v.fract() == 0.0 && v.abs() <= LIMB as f32;
        if !values.iter().all(|&v| whole(v)) {
            return Err(Flaw::Form);
        }
        let numbers: Vec<i64> = pairs.iter().map(|&[high, low]| high as i64 * LIMB + low as i64).collect();
        let found = Self::of(shape, &numbers)?;
        found.check(found.examples())?;
        Ok(found)
    }

    /// SHA-256 of the values, as little-endian f32: what names a state of the fleet.
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        self.values().iter().for_each(|v| hash.update(v.to_le_bytes()));
        hash.finalize().into()
    }

    /// Counts, ratio, Σ φ of each class, Σ φφᵀ.
    pub fn numbers(&self) -> impl Iterator<Item = i64> {
        let Sums { counts, classes, products, .. } = &self.sums;
        let counts = counts.iter().map(|&n| n as i64);
        counts.chain([self.ratio]).chain(classes.iter().copied()).chain(products.iter().copied())
    }

    /// The same from numbers that were made to be sums.
    pub(super) fn made(shape: Shape, sums: Sums, ratio: i64) -> Self {
        Self { sums, ratio, shape }
    }

    fn of(shape: Shape, numbers: &[i64]) -> Result<Self, Flaw> {
        let mut this = Self::new(shape);
        let (counts, rest) = numbers.split_at(shape.classes);
        let (ratio, rest) = rest.split_at(1);
        let (classes, products) = rest.split_at(shape.classes * shape.kept);
        for (to, &n) in this.sums.counts.iter_mut().zip(counts) {
            *to = within("examples of a class", n, 0, MOST_EXAMPLES as i64)? as u64;
        }
        this.ratio = ratio[0];
        this.sums.classes.copy_from_slice(classes);
        this.sums.products.copy_from_slice(products);
        Ok(this)
    }

    /// Whether `said` examples can have these sums: lengths of φ are known, and squares bound everything else.
    fn check(&self, said: u64) -> Result<(), Flaw> {
        let found = self.examples();
        if found != said {
            return Err(Flaw::Examples { found, said });
        }
        let n = within("examples", found as i64, 0, MOST_EXAMPLES as i64)?;
        within("size of the stream", self.ratio, 0, n * MOST_RATIO)?;
        let m = self.shape.kept;
        let square = |i: usize| self.sums.products[packed_len(i + 1) - 1];
        for i in 0..m {
            within("sum of squares", square(i), 0, n * self.shape.most_square())?;
        }
        let row = |i: usize| &self.sums.products[packed_len(i)..packed_len(i) + i];
        for i in 0..m {
            for (j, &product) in row(i).iter().enumerate() {
                bounded("sum of products", product, square(i), square(j))?;
            }
        }
        for (own, &count) in self.sums.classes.chunks_exact(m).zip(&self.sums.counts) {
            for (i, &sum) in own.iter().enumerate() {
                bounded("sum of a class", sum, count as i64, square(i))?;
            }
        }
        Ok(())
    }
}

/// How large a stream is beside its row, in steps.
pub(super) fn ratio_steps(ratio: f64) -> i64 {
    // Not a number is 0 to a cast.
    ((RATIO_STEPS * ratio).round() as i64).clamp(0, MOST_RATIO)
}

/// Writes φ of `row` into `out`, and returns the row's root mean square.
pub(super) fn quantise(directions: Directions, row: &[f32], out: &mut [i32]) -> f64 {
    let size = directions.quantise(row, out);
    out.iter_mut().for_each(|v| *v = (*v + (1 << (COARSER - 1))) >> COARSER);
    size
}

/// The weights of a row's own numbers, its root mean square divided out, that give the score Σ w·φ.
pub(super) fn unfold(directions: Directions, weights: &mut [f64], out: &mut [f32]) {
    weights.iter_mut().for_each(|w| *w /= f64::from(1 << COARSER));
    directions.unfold(weights, out);
}

/// Cauchy and Schwarz: (Σ ab)² ≤ Σ a²·Σ b².
fn bounded(what: &'static str, found: i64, a: i64, b: i64) -> Result<(), Flaw> {
    let square = i128::from(found) * i128::from(found);
    if square <= i128::from(a) * i128::from(b) {
        return Ok(());
    }
    let limit = (a as f64 * b as f64).sqrt() as i64;
    Err(Flaw::Range { what, found, limit })
}

fn within(what: &'static str, found: i64, least: i64, most: i64) -> Result<i64, Flaw> {
    match (least..=most).contains(&found) {
        true => Ok(found),
        false => Err(Flaw::Range { what, found, limit: if found < least { least } else { most } }),
    }
}

impl Display for Flaw {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => f.write_str("not the sums that this run takes"),
            Self::Examples { found, said } => write!(f, "sums of {found} examples; the message says {said}"),
            Self::Range { what, found, limit } => {
                write!(f, "a {what} of {found}; so many examples have none past {limit}")
            }
        }
    }
}

#[cfg(test)]
#[path = "sums_tests.rs"]
mod tests;
