//! An update in whole numbers, which add up to the same in any order: what is aggregated securely, over devices that all have
//! the same groups.
//!
//! A device with n examples sends n·Δ of each number of its update, rounded to multiples of 2⁻²⁸: what its weights changed
//! by, or scalars along directions that all devices share. The sum over devices by the sum of their examples is the mean
//! that [`Step::add`] makes of the same updates, but for its rounding. Scalars with noise are whole numbers already.

use super::{Body, Exchange, LocalUpdate, Rules, Share, Step};
use crate::error::LearnError;
use crate::estimator::AnyEstimator;
use crate::privacy::UNIT;

/// Multiples of which numbers are rounded to: 2²⁸ to 1.
const STEPS: f64 = (1u64 << 28) as f64;
/// The largest number of a device, either way: 2²⁰ times an example's 1. Sums of 2¹⁰ devices stay within 2⁵⁸.
const MOST: i64 = 1 << 48;

/// Numbers that a device of a round sends, if its share has `weights` weights.
pub fn integers(rules: &Rules, weights: usize) -> usize {
    match rules.exchange {
        Exchange::PerIteration => rules.scalar_count(1),
        Exchange::PerEpoch { .. } => weights,
    }
}

impl LocalUpdate {
    /// The update in whole numbers, if its share had the weights `base` as the round began.
    ///
    /// # Errors
    /// [`LearnError::Settings`] where it is none of steps that are aggregated so, or has numbers larger than are sent.
    pub fn integers(&self, rules: &Rules, base: &[f32]) -> Result<Vec<i64>, LearnError> {
        let n = f64::from(self.examples);
        let found: Option<Vec<i64>> = match (rules.estimator, rules.exchange) {
            (AnyEstimator::Bounded(_), Exchange::PerIteration) => Some(self.sums.clone()),
            (_, Exchange::PerIteration) => self.scalars.iter().map(|&s| whole(n * f64::from(s))).collect(),
            (_, Exchange::PerEpoch { .. }) => {
                let changes = self.weights.iter().zip(base).map(|(w, base)| f64::from(w - base));
                changes.map(|change| whole(n * change)).collect()
            }
        };
        let wanted = integers(rules, base.len());
        found.filter(|numbers| numbers.len() == wanted).ok_or_else(|| {
            let problem = format!(
                "what it learnt is no list of {wanted} numbers of less than {} in all its examples, and cannot be hidden among \
                 others'; use a smaller learning rate",
                MOST as f64 / STEPS
            );
            LearnError::Settings(problem)
        })
    }
}

impl Step<'_> {
    /// Adds the sum of updates of `share` in whole numbers, behind which are `examples` examples in all. Returns it as the
    /// contribution of one device, its examples and scalars, where it is one: that can be replayed.
    ///
    /// # Errors
    /// [`LearnError::Update`] for numbers that are no such sum, or lead to weights that are not finite.
    pub fn add_sum(
        &mut self,
        share: Share,
        examples: u64,
        sum: &[i64],
    ) -> Result<Option<(u32, Vec<f32>)>, LearnError> {
        let wanted = integers(self.rules(), self.part(share).len());
        if sum.len() != wanted || examples == 0 {
            let problem =
                format!("{} numbers of {examples} examples, instead of {wanted} of some", sum.len());
            return Err(LearnError::Update { number: 0, problem });
        }
        let unit = match self.rules().estimator {
            AnyEstimator::Bounded(bounded) => f64::from(UNIT) * bounded.along.tangents as f64,
            _ => STEPS,
        };
        let mean = |&v: &i64| (v as f64 / unit / examples as f64) as f32;
        let list: Vec<f32> = sum.iter().map(mean).collect();
        if self.rules().exchange != Exchange::PerIteration {
            self.put(share, examples, &list);
            return Ok(None);
        }
        // The mean counts alike, whatever it is said to be of.
        let said = self.rules().examples().min(u32::try_from(examples).unwrap_or(u32::MAX));
        self.add(0, share, said, Body::Scalars(&list))?;
        Ok(Some((said, list)))
    }
}

/// A multiple of the step; `None` beyond what is sent, or of no number.
fn whole(number: f64) -> Option<i64> {
    let steps = (number * STEPS).round();
    (steps.abs() <= MOST as f64).then_some(steps as i64)
}

#[cfg(test)]
#[path = "integers_tests.rs"]
mod tests;
