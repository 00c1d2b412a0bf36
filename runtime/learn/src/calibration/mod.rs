//! How sure a model is of its answers, and whether rightly: calibration of label and choice tasks (CATTO's evaluation,
//! specification 6.9). The confidence of an item is the largest of its candidates' probabilities, their softmax at the answer's
//! position.

mod best_of;
mod bins;
mod compare;
mod conformal;
mod item;
mod scaling;
mod scores;
mod vote;

pub use best_of::{AtK, Dependence, Question, counts};
pub use bins::{Bins, FLEET_BINS, Summary, equal_mass};
pub use compare::{Difference, difference};
pub use conformal::Sets;
pub use item::{Item, probabilities};
pub use scaling::{crossed, temperature};
pub use scores::{Scores, auroc, floor};
pub use vote::{Vote, answer};
