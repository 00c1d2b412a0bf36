//! How long one device trains, and how much of its data it keeps back to be judged by. Both follow from the number of
//! examples unless they are given.

use super::number::LimitError;
use super::{Batch, Epochs, Steps, defaults};
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

/// How long a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// As many as are usual for so many examples.
    Usual,
    /// Optimiser steps.
    Steps(Steps),
    /// Visits to every example; the last step may begin another.
    Epochs(Epochs),
}

/// How many examples of the training data are kept back. They are not learnt from: by them a run is judged on its way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum HeldBack {
    /// None: the run takes all its steps and keeps what the last one left.
    None,
    /// So many of a hundred.
    Percent(f32),
    /// So many.
    Count(usize),
}

impl Length {
    /// Optimiser steps of `batch` examples over `examples` of them.
    pub fn steps(self, examples: usize, batch: Batch) -> u64 {
        let epochs = |n: u64| (n * examples as u64).div_ceil(batch.get().into());
        match self {
            Self::Steps(steps) => steps.get().into(),
            Self::Epochs(n) => epochs(n.get().into()).max(1),
            Self::Usual => epochs(1).clamp(defaults::FEWEST_STEPS, defaults::MOST_STEPS),
        }
    }
}

impl HeldBack {
    /// What is usual for a run of `length` on `examples` examples: none where the steps were given, and none of so few
    /// that they would tell chance from learning no better than the losses of the steps do.
    pub fn usual(length: Length, examples: usize) -> Self {
        match length {
            Length::Steps(_) => Self::None,
            Length::Usual | Length::Epochs(_) if examples < defaults::FEWEST_TO_DIVIDE => Self::None,
            Length::Usual | Length::Epochs(_) => {
                let tenth =
                    (examples as f64 * f64::from(defaults::HELD_BACK_PERCENT) / 100.0).round() as usize;
                Self::Count(tenth.min(defaults::MOST_HELD_BACK))
            }
        }
    }

    /// How many of `examples`; at least one is left to learn from.
    pub fn of(self, examples: usize) -> usize {
        let count = match self {
            Self::None => 0,
            Self::Percent(percent) => (examples as f64 * f64::from(percent) / 100.0).round() as usize,
            Self::Count(count) => count,
        };
        count.min(examples.saturating_sub(1))
    }
}

impl FromStr for HeldBack {
    type Err = LimitError;

    fn from_str(text: &str) -> Result<Self, LimitError> {
        let percent = |text: &str| text.parse().ok().filter(|p| (0.0..100.0).contains(p)).map(Self::Percent);
        let found = match (text, text.strip_suffix('%')) {
            ("none", _) => Some(Self::None),
            (_, Some(share)) => percent(share),
            (count, None) => count.parse().ok().map(Self::Count),
        };
        found.ok_or_else(|| {
            LimitError::new("a number of examples, a share from 0% up to, but not, 100%, or none")
        })
    }
}

impl Display for HeldBack {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.pad("none"),
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Count(count) => count.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_follow_from_the_examples_unless_they_are_given() {
        let batch = Batch::of::<8>();
        let usual = |n| Length::Usual.steps(n, batch);
        assert_eq!([1, 100, 2400, 2401, 8000].map(usual), [300, 300, 300, 301, 1000]);
        assert_eq!(usual(10_000_000), 3000);
        assert_eq!(Length::Steps(Steps::of::<7>()).steps(8000, batch), 7);
        assert_eq!(Length::Epochs(Epochs::of::<2>()).steps(9, batch), 3);
        assert_eq!(Length::Epochs(Epochs::of::<1>()).steps(1, batch), 1);
    }

    #[test]
    fn a_tenth_is_held_back_unless_the_steps_were_given_or_the_examples_are_few() {
        let usual = |n| HeldBack::usual(Length::Usual, n).of(n);
        assert_eq!([1, 49, 50, 604, 1000, 50_000].map(usual), [0, 0, 5, 60, 100, 100]);
        assert_eq!(HeldBack::usual(Length::Steps(Steps::of::<300>()), 1000), HeldBack::None);
        for (text, of_ten) in
            [("none", 0), ("0%", 0), ("25%", 3), ("99.9%", 9), ("4", 4), ("0", 0), ("500", 9)]
        {
            let held_back: HeldBack = text.parse().unwrap();
            assert_eq!((held_back.of(10), &*held_back.to_string()), (of_ten, text));
        }
        for text in ["", "%", "100%", "-1", "-1%", "1.5", "NaN%", "some"] {
            assert!(text.parse::<HeldBack>().unwrap_err().to_string().contains("or none"), "{text}");
        }
    }
}
