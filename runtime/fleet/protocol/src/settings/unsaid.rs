//! What a job leaves unsaid, so that its text stays what it was.

use sprig_learn::estimator::Method;
use sprig_learn::objective::LabelLoss;
use sprig_learn::recipe::defaults::{self, FLEET_LABEL_LOSS};
use sprig_learn::recipe::{Fraction, NotNegative};

/// What a job does not name where it is as it always was: so that its text stays what it was.
pub(super) fn is_plain<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

pub(super) fn is_usual_clip(clip: &NotNegative) -> bool {
    *clip == defaults::CLIP
}

pub(super) fn is_none(dropout: &Fraction) -> bool {
    *dropout == defaults::DROPOUT
}

pub(super) fn is_usual(estimator: &Method) -> bool {
    *estimator == defaults::ESTIMATOR
}

/// What a job does not name: jobs and ledgers of before it could be chosen mean this one.
pub(super) fn is_default(loss: &LabelLoss) -> bool {
    *loss == FLEET_LABEL_LOSS
}
