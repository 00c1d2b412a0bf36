//! Evaluation within a plan.

use crate::RunError;
use sprig_budget::alloc;
use sprig_engine::adapter::Adapter;
use sprig_learn::confusion::Confusion;
use sprig_learn::data::DataSet;
use sprig_learn::evaluate::{self, Evaluation};
use sprig_learn::session::Session;

/// Evaluates all of `data`, `examples` at a time, counts into `confusion` which label each was given, and holds the heap to its limit meanwhile. `progress` gets the number of
/// examples done; `None` when it says stop.
///
/// # Errors
/// As [`evaluate::evaluate`], and when the heap is above its limit.
pub fn evaluate(
    session: &mut Session<'_>,
    adapter: Option<&Adapter>,
    data: &DataSet,
    examples: usize,
    confusion: Option<&mut Confusion>,
    mut progress: impl FnMut(usize) -> bool,
) -> Result<Option<Evaluation>, RunError> {
    let mut held = Ok(());
    let found = evaluate::evaluate_counting(session, adapter, data, examples, confusion, |done| {
        held = alloc::check();
        held.is_ok() && progress(done)
    })?;
    held?;
    Ok(found)
}
