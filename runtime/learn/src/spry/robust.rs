//! Putting together what several devices found of the same weights, when some of them may lie (Yin et al. 2018, Byzantine-robust
//! distributed learning: towards optimal statistical rates, section 4).

use super::{Body, Exchange, Rules, Seeds, Share, Step};
use crate::error::LearnError;
use sprig_ground::names;

/// What is done about contributions that are far from the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Robust {
    /// Nothing: they are averaged as they are.
    None,
    /// Each is cut down to [`CLIP`] medians of the norms of its round, then averaged.
    #[default]
    Clip,
    /// Cut down, and of all devices with the same groups the median counts, number by number.
    Median,
    /// Cut down, and of all devices with the same groups the mean without a quarter at either end counts, one at least.
    Trimmed,
}

names!(Robust, "robust rule", [None = "none", Clip = "clip", Median = "median", Trimmed = "trimmed"]);

/// How many medians of the norms of its round a contribution may be.
pub const CLIP: f32 = 3.0;

impl Robust {
    /// Whether devices with the same groups are put together by themselves, as a team, before the step is taken.
    pub fn has_teams(self) -> bool {
        matches!(self, Self::Median | Self::Trimmed)
    }

    /// What a contribution of this `norm` is multiplied by, where the largest that counts whole is `most`. Nothing is made
    /// larger.
    pub fn factor(self, norm: f32, most: f32) -> f32 {
        if self == Self::None || norm <= most { 1.0 } else { most / norm }
    }

    /// One list out of `lists`, number by number, of those that have one there.
    ///
    /// # Panics
    /// If the rule has no teams.
    fn of(self, lists: &[Vec<f32>]) -> Vec<f32> {
        assert!(self.has_teams(), "{self} puts no lists together");
        let longest = lists.iter().map(Vec::len).max().unwrap_or(0);
        let mut there = Vec::with_capacity(lists.len());
        let middle = |at| {
            there.clear();
            there.extend(lists.iter().filter_map(|list: &Vec<f32>| list.get(at)));
            there.sort_unstable_by(f32::total_cmp);
            mean(&there[self.without(there.len())..there.len() - self.without(there.len())])
        };
        (0..longest).map(middle).collect()
    }

    /// How many of `count` numbers in order are left out at either end: all but one or two, or a quarter.
    fn without(self, count: usize) -> usize {
        match self {
            _ if count < 3 => 0,
            Self::Median => (count - 1) / 2,
            _ => (count / 4).max(1),
        }
    }
}

/// What devices of one round with the same groups sent.
#[derive(Debug)]
pub struct Team {
    robust: Robust,
    share: Share,
    /// The lowest number of a member.
    number: u32,
    /// Examples of the member with the most, and of all.
    most: u32,
    examples: u64,
    /// Scalars, or changes of the share's weights.
    lists: Vec<Vec<f32>>,
    /// Whether the lists are scalars: derivatives along the same directions, of which a median means something.
    scalars: bool,
}

impl Team {
    /// Nobody's so far, of those with `share` in a round by `rules`.
    pub fn new(robust: Robust, rules: &Rules, share: Share) -> Self {
        let same = rules.exchange == Exchange::PerIteration && rules.seeds == Seeds::Shared;
        Self {
            robust,
            share,
            number: u32::MAX,
            most: 0,
            examples: 0,
            lists: Vec::new(),
            scalars: same && rules.estimator.scalars().is_some(),
        }
    }

    /// Takes the contribution of device `number`, behind which are `examples` examples, as it would be added to `step`.
    ///
    /// # Errors
    /// As [`Step::add`]; the team goes on without it.
    pub fn take(
        &mut self,
        step: &mut Step<'_>,
        number: u32,
        examples: u32,
        body: Body<'_>,
    ) -> Result<(), LearnError> {
        let change = step.change(number, self.share, examples, body)?;
        self.lists.push(match body {
            Body::Scalars(scalars) if self.scalars => scalars.to_vec(),
            _ => change,
        });
        self.number = self.number.min(number);
        self.most = self.most.max(examples);
        self.examples += u64::from(examples);
        Ok(())
    }

    /// Adds to `step` what the team came to. Returns it as the contribution of one device, its number, examples and scalars,
    /// where it is one: that can be replayed.
    ///
    /// # Errors
    /// As [`Step::add`].
    pub fn join(self, step: &mut Step<'_>) -> Result<Option<(u32, u32, Vec<f32>)>, LearnError> {
        let Self { robust, share, number, most, examples, lists, scalars } = self;
        if lists.is_empty() {
            return Ok(None);
        }
        let list = robust.of(&lists);
        if scalars {
            step.add(number, share, most, Body::Scalars(&list))?;
            return Ok(Some((number, most, list)));
        }
        step.put(share, examples, &list);
        Ok(None)
    }
}

fn mean(numbers: &[f32]) -> f32 {
    // In f64: as many numbers as a round has devices.
    (numbers.iter().map(|&n| f64::from(n)).sum::<f64>() / numbers.len().max(1) as f64) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minority_moves_neither_median_nor_trimmed_mean_beyond_the_others() {
        let honest = [1.0f32, 1.5, 2.0];
        for robust in [Robust::Median, Robust::Trimmed] {
            for lie in [f32::MAX, -f32::MAX, 0.0, 1.7] {
                let lists: Vec<Vec<f32>> = honest.iter().chain([&lie]).map(|&n| vec![n, -n]).collect();
                let found = robust.of(&lists);
                assert!((1.0..=2.0).contains(&found[0]) && (-2.0..=-1.0).contains(&found[1]), "{found:?}");
            }
        }
        let five: Vec<Vec<f32>> = [9.0f32, 1.0, 2.0, 4.0, -7.0].iter().map(|&n| vec![n]).collect();
        assert_eq!(Robust::Median.of(&five), [2.0]);
        assert_eq!(Robust::Trimmed.of(&five), [7.0 / 3.0]);
        // Two are averaged: nobody knows which of them lies.
        assert_eq!(Robust::Median.of(&[vec![1.0], vec![4.0, 5.0]]), [2.5, 5.0]);
    }

    #[test]
    fn what_is_too_large_is_cut_down_and_nothing_is_made_larger() {
        assert_eq!(Robust::Clip.factor(6.0, 3.0), 0.5);
        assert_eq!(Robust::Clip.factor(1.0, 3.0), 1.0);
        assert_eq!(Robust::None.factor(6.0, 3.0), 1.0);
    }
}
