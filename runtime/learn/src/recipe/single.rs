//! The training of one device by itself: a recipe, an optimiser and a number of steps.

use super::{Fraction, NotNegative, Positive, Recipe};
use crate::dropout::Dropout;
use crate::optimiser::{Rule, Schedule};
use crate::setting::SettingError;
use crate::trainer::Settings;
use serde::{Deserialize, Serialize};

/// A training of one device.
#[derive(Clone, Debug, PartialEq)]
pub struct Single {
    /// What is learnt and how.
    pub recipe: Recipe,
    /// The optimiser.
    pub rule: Rule,
    /// Its learning rate, and how many steps there are.
    pub schedule: Schedule,
}

/// The constants of AdamW.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamW {
    /// Decay of the first moment.
    pub beta1: Fraction,
    /// Decay of the second moment.
    pub beta2: Fraction,
    /// ε, outside the root.
    pub epsilon: Positive,
    /// Weight decay a step, times the learning rate.
    pub decay: NotNegative,
}

impl Single {
    /// What decides the result, the adapter and the data excepted.
    ///
    /// # Errors
    /// As [`Recipe::estimator`].
    pub fn settings(&self) -> Result<Settings, SettingError> {
        Ok(Settings {
            estimator: self.recipe.estimator()?,
            rule: self.rule,
            schedule: self.schedule,
            batch: self.recipe.batch.as_usize(),
            dropout: Dropout::new(self.recipe.dropout),
            seed: self.recipe.seed,
        })
    }
}

impl AdamW {
    /// The rule with these constants.
    pub fn rule(self) -> Rule {
        let Self { beta1, beta2, epsilon, decay } = self;
        Rule::AdamW { beta1: beta1.get(), beta2: beta2.get(), epsilon: epsilon.get(), decay: decay.get() }
    }
}
