//! What devices send of a round.

use sprig_ground::names;
use sprig_learn::estimator::Method;
use sprig_learn::spry::{Mode, Rules};

/// What devices send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Upload {
    /// Scalars, which everybody replays.
    #[default]
    Scalars,
    /// The weights of their share; per epoch only.
    Weights,
    /// Whichever is fewer bytes, update by update: both lead to the same bits. Exact steps have weights alone.
    Auto,
}

names!(Upload, "way up", [Scalars = "scalars", Weights = "weights", Auto = "auto"]);

impl Upload {
    /// What devices send where nobody says it: of exact steps their weights.
    pub const fn usual(estimator: Method, mode: Mode) -> Self {
        match (estimator, mode) {
            (Method::Reverse, Mode::PerEpoch) => Self::Weights,
            _ => Self::Scalars,
        }
    }

    /// Whether an update may be scalars.
    pub fn takes_scalars(self, rules: &Rules) -> bool {
        self != Self::Weights && rules.estimator.scalars().is_some()
    }

    /// Whether an update may be weights.
    pub fn takes_weights(self, rules: &Rules) -> bool {
        self != Self::Scalars && rules.exchange.mode() == Mode::PerEpoch
    }
}
