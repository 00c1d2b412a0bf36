//! What trains of an output head of a task's own.

use sprig_ground::names;
use sprig_learn::setting::{Setting, SettingError};

/// What trains of it (specification 6.1). Models here answer through their own frozen head, so there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Head {
    /// Nothing.
    #[default]
    None,
    /// The head, by its exact gradient, on all devices.
    Exact,
    /// The head, by derivatives along directions.
    Jvp,
}

names!(Head, "way of training a head", [None = "none", Exact = "exact", Jvp = "jvp"]);

impl Head {
    /// Whether that can be trained.
    ///
    /// # Errors
    /// There is no such head.
    pub(super) fn check(self) -> Result<(), SettingError> {
        if self == Self::None {
            return Ok(());
        }
        let problem = "no model here has an output head of the task's own: labels are words, which the model gives through \
                       its own frozen head; use none";
        Err(Setting::Head.error(self, problem))
    }
}
