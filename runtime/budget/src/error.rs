//! What can go wrong with a budget, each naming the limit and the remedy.

use crate::{Bytes, Plan};

/// Why a budget could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum BudgetError {
    /// Even the bottom of the ladder needs more than the budget.
    #[error("a budget of {budget} is too small; the smallest that would do is {smallest}")]
    TooSmall {
        /// The budget given.
        budget: Bytes,
        /// The total of the smallest plan on the ladder.
        smallest: Bytes,
        /// That smallest plan, for printing; its `fits()` is false.
        plan: Box<Plan>,
    },
    /// The heap outgrew the soft limit; reported at a step boundary, where stopping is safe.
    #[error("the heap holds {heap}, over its limit of {limit}; raise the budget or lower the batch")]
    HeapLimit {
        /// Bytes allocated now.
        heap: Bytes,
        /// The soft limit.
        limit: Bytes,
    },
    /// More was taken from the arena than the plan laid out: a bug in the planner.
    #[error(
        "the plan laid out {planned}, {used} are taken and {asked} more were asked for; this is a bug in the planner"
    )]
    ArenaExhausted {
        /// Size of the arena.
        planned: Bytes,
        /// Bytes already handed out.
        used: Bytes,
        /// Bytes asked for.
        asked: Bytes,
    },
    /// The system would not give the arena its memory.
    #[error("the system has no {asked} left to give; close other programs or lower the budget")]
    OutOfMemory {
        /// Bytes asked for.
        asked: Bytes,
    },
}
