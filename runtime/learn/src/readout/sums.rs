//! Sums over examples, in whole numbers: all that a fit needs of them.

use super::features::{Directions, MOST_EXAMPLES};
use super::symmetric::packed_len;
use crate::error::LearnError;
use sprig_budget::Bytes;
use sprig_engine::dual::{MAX_PIECES, for_each};
use sprig_engine::kernels::Pool;

/// Σ φ·φᵀ over all examples, and Σ φ and their number for each class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sums {
    /// How rows became φ.
    pub directions: Directions,
    /// Σ φ·φᵀ, the lower triangle by rows.
    pub products: Vec<i64>,
    /// Σ φ of each class, classes × directions.
    pub classes: Vec<i64>,
    /// Examples of each class.
    pub counts: Vec<u64>,
}

impl Sums {
    /// Of no example yet.
    pub fn new(directions: Directions, classes: usize) -> Self {
        let m = directions.kept;
        Self {
            directions,
            products: vec![0; packed_len(m)],
            classes: vec![0; classes * m],
            counts: vec![0; classes],
        }
    }

    /// Heap bytes of sums over `kept` directions.
    pub fn bytes(kept: usize, classes: usize) -> Bytes {
        Bytes((8 * (packed_len(kept) + classes * (kept + 1))) as u64)
    }

    /// Examples summed up.
    pub fn examples(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Adds examples: `rows` of whole numbers, one after another, and the class of each.
    ///
    /// # Errors
    /// [`LearnError::Settings`] where there would be more of them than the sums have room for. Nothing is added then.
    pub fn add(&mut self, pool: &Pool, rows: &[i32], answers: &[usize]) -> Result<(), LearnError> {
        self.room_for(answers.len() as u64)?;
        let m = self.directions.kept;
        for (row, &answer) in rows.chunks_exact(m).zip(answers) {
            self.counts[answer] += 1;
            let sums = &mut self.classes[answer * m..][..m];
            sums.iter_mut().zip(row).for_each(|(sum, &v)| *sum += i64::from(v));
        }
        let mut rest = self.products.as_mut_slice();
        let parts = (4 * pool.threads()).min(MAX_PIECES);
        let pieces = (0..parts).map(|part| {
            let (from, to) = (share(m, part, parts), share(m, part + 1, parts));
            let (mine, tail) = std::mem::take(&mut rest).split_at_mut(packed_len(to) - packed_len(from));
            rest = tail;
            (from..to, mine)
        });
        for_each(pool, pieces, |(range, mut products)| {
            for i in range {
                let (sums, tail) = std::mem::take(&mut products).split_at_mut(i + 1);
                products = tail;
                for row in rows.chunks_exact(m) {
                    let own = i64::from(row[i]);
                    sums.iter_mut().zip(row).for_each(|(sum, &v)| *sum += own * i64::from(v));
                }
            }
        });
        Ok(())
    }

    /// Adds the sums of other examples: the same as if they had been summed up here.
    ///
    /// # Errors
    /// [`LearnError::Settings`] where there would be more examples than there is room for.
    ///
    /// # Panics
    /// If they are of other directions or classes.
    pub fn merge(&mut self, other: &Self) -> Result<(), LearnError> {
        assert_eq!(
            (self.directions, self.counts.len()),
            (other.directions, other.counts.len()),
            "other sums"
        );
        self.room_for(other.examples())?;
        let add = |mine: &mut [i64], theirs: &[i64]| mine.iter_mut().zip(theirs).for_each(|(a, b)| *a += b);
        add(&mut self.products, &other.products);
        add(&mut self.classes, &other.classes);
        self.counts.iter_mut().zip(&other.counts).for_each(|(a, b)| *a += b);
        Ok(())
    }

    fn room_for(&self, more: u64) -> Result<(), LearnError> {
        if self.examples() + more <= MOST_EXAMPLES {
            return Ok(());
        }
        let (have, most) = (self.examples(), MOST_EXAMPLES);
        Err(LearnError::Settings(format!(
            "the sums hold {have} examples, and have room for {most} in all; learn from fewer"
        )))
    }
}

/// First row of part `part` of `parts` of a triangle of `m` rows, each of about as many elements.
fn share(m: usize, part: usize, parts: usize) -> usize {
    ((part as f64 / parts as f64).sqrt() * m as f64).round() as usize
}
