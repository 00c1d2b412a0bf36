//! Objectives: what is learnt of an example, as a small pure function of a few numbers of the output head. One is a file
//! that implements [`Objective`]; neither the session that runs passes, nor the planner, nor the trainer knows which.
//!
//! A pass gives an objective what it [asked](Ask) for, of two sorts:
//! - **row statistics** of a target row, over the whole vocabulary and without its logits ever being held: log-sum-exp,
//!   the target's logit, the best rival's. Enough for likelihoods, sums of them over a sequence, confidences, margins.
//! - **logits** of a few candidates that it names.
//!
//! Both come as [`Dual`]s along one tangent at a time, so a loss written once gives value and derivatives. An objective
//! that compares sequences has its examples run as [several](Ask::begin), all along the example's own directions; one with
//! several terms returns them as [parts](Objective::weights), of which the weighted sum is trained; a regulariser wraps
//! another objective and adds its part.

mod answer;
mod candidates;
mod choice;
mod dual;
mod found;
mod lists;
mod lm;
mod preference;

pub use answer::{Answer, LabelLoss};
pub use candidates::Candidates;
pub use choice::Choice;
pub use dual::Dual;
pub use found::{Found, Row};
pub use lists::Ask;
pub(crate) use lists::Lists;
pub use lm::CausalLm;
pub use preference::{
    Aim, Distance, KeptReferences, Preference, Reckoned, Reference, Terms, held as references_bytes,
    measure as references, prefer,
};

use crate::data::{Example, Task};
use crate::error::LearnError;
use std::fmt::Debug;
use std::sync::Arc;

/// A loss over the examples of a data set.
pub trait Objective: Debug + Send + Sync {
    /// The most that one example may ask for, by which passes are planned.
    fn wants(&self, extent: Extent) -> Wants;

    /// Asks for what the loss of `example`, whose place in the data is `id`, is made of.
    ///
    /// # Errors
    /// [`LearnError::Settings`] where the objective cannot learn from such records.
    fn ask(&self, id: usize, example: &Example<'_>, ask: &mut Ask<'_>) -> Result<(), LearnError>;

    /// How the example counts and what was right of it.
    fn judge(&self, id: usize, example: &Example<'_>, found: &Found<'_>) -> Verdict;

    /// Place among the example's candidates of the one that is likeliest, the first of equals; `None` where there are none to
    /// choose among.
    fn chosen(&self, _: &Found<'_>) -> Option<usize> {
        None
    }

    /// Whether the likeliest token of all is an answer to the example; `None` where there are none to choose among, or the
    /// objective asks for too little to know.
    fn answered(&self, _: &Example<'_>, _: &Found<'_>) -> Option<bool> {
        None
    }

    /// How sure the model is of the answer that it finds likeliest: its share of the probabilities of all candidates, as
    /// [`Item::confidence`](crate::calibration::Item::confidence) has it. `None` where there are none to choose among.
    fn confidence(&self, _: &Example<'_>, _: &Found<'_>) -> Option<f64> {
        None
    }

    /// The example's loss, part by part, in nats, with the derivatives along the tangent that `found` shows. Called once a
    /// tangent; for an exact gradient once more for each number that the example asked for, that one moving alone.
    fn loss(&self, id: usize, example: &Example<'_>, found: &Found<'_>, parts: &mut [Dual]);

    /// Weights of the loss's parts; their sum, so weighted, is what is trained and reported as the loss.
    fn weights(&self) -> &[f64] {
        &[1.0]
    }
}

/// How large examples are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Most tokens of an example.
    pub tokens: usize,
    /// Most candidate answers of an example; 0 where tokens are the targets.
    pub candidates: usize,
}

/// The most that one example asks of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wants {
    /// Rows whose statistics are wanted.
    pub rows: usize,
    /// Logits wanted by name, over all rows.
    pub logits: usize,
    /// Sequences that it is run as.
    pub sequences: usize,
}

/// How an example counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Its weight in means over examples: target rows of a language model, 1 of a classification.
    pub rows: u32,
    /// Of these, those whose best choice was the target.
    pub hits: u32,
}

/// What records of `task` are learnt by: cross-entropy of tokens over the vocabulary, or of answers by `loss`; pairs by DPO.
pub fn of_task(task: Task, loss: LabelLoss) -> Arc<dyn Objective> {
    match (task, loss) {
        (Task::Lm, _) => Arc::new(CausalLm),
        (Task::Pair, loss) => Arc::new(Preference::new(Aim::Dpo, Terms::default(), loss)),
        (Task::Label | Task::Choice, LabelLoss::Full) => Arc::new(Answer { loss }),
        // Its candidates alone are looked up: no walk through the vocabulary.
        (Task::Label | Task::Choice, LabelLoss::Labels) => Arc::new(Choice),
    }
}

/// What records of `task` are judged by: the same, and whether the model would say an answer at all.
pub fn to_judge(task: Task, loss: LabelLoss) -> Arc<dyn Objective> {
    match task {
        Task::Lm => Arc::new(CausalLm),
        Task::Pair => Arc::new(Candidates::new(2)),
        Task::Label | Task::Choice => Arc::new(Answer { loss }),
    }
}
