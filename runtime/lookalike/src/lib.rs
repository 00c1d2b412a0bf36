//! LookAlike: a model learns wrong answers that follow from a described error, and errors that explain a wrong answer, from
//! its own inconsistencies (Parikh, Fernandez, Scarlatos, Woodhead, Lan: *LookAlike: Consistent Distractor Generation in Math
//! MCQs*, BEA 2025, arXiv 2505.01903). Only the paper's abstract and introduction were at hand; what is ours is marked in
//! docs/preferences.md.
//!
//! [`Question`]s are asked about items of `sprig-mcq`; a [`Scribe`] has the model answer them; a [`Miner`] keeps what
//! contradicts itself, found by execution; [`phases`] alternate supervised steps and preferences; [`Scores`] say what was
//! learnt.

mod ask;
mod course;
mod figures;
mod mining;
mod pairs;
mod scribe;
mod substitute;
mod wrong;

pub use ask::{Asking, Question, Task};
pub use course::{Goal, Phase, Schedule, Steps, phases};
pub use figures::{Answers, Scores, answer, judge};
pub use mining::{Candidate, Counts, Miner};
pub use pairs::{BadPairs, MinedPair, read, write};
pub use scribe::{Scribe, Written};
pub use substitute::{Negatives, substitute};
pub use wrong::{Kind, Wrong, wrong_answer, wrong_name};
