//! The ways in which a personal state may answer.

use sprig_engine::adapter::Policy;

/// Each by its name, in the order in which the last line has their accuracies.
pub const WAYS: [(&str, Policy); 4] = [
    ("shared adapter alone", Policy::Global),
    ("own adapter alone", Policy::Local),
    ("personal", Policy::Soft),
    ("personal, hard", Policy::Hard),
];
