//! What a run says when it steps aside for others, and the guards behind its plan.

use crate::exit::{Exit, Failure};
use serde_json::{Value, json};
use sprig_budget::{Bytes, Plan, alloc, process};
use sprig_learn::watch::Moved;

/// Address space that counts as private data but is never touched: stacks of threads (2 MiB each by default), the
/// allocator's slack.
const UNTOUCHED: Bytes = Bytes::mib(16);

/// The event for scripts.
pub fn event(moved: &Moved, step: u64) -> Value {
    let rungs: Vec<_> = moved.plan.ladder.iter().map(|r| r.why.as_str()).collect();
    json!({
        "event": "pressure", "step": step, "plan_bytes": moved.plan.total(), "ladder": rungs,
        "room_bytes": moved.reading.room, "stalled_percent": moved.reading.stalled,
    })
}

/// The line for people.
pub fn line(room: Bytes, holds: Bytes) -> String {
    format!("memory: {room} are free on this machine; the run now holds {holds}")
}

/// Sets the two guards behind the plan. The heap is held to `limit`, or to what the budget leaves beside the mapped
/// weights: [`alloc::check`] tells at the next step. The kernel refuses private memory from a little above that on.
pub fn set_guards(plan: &Plan, limit: Option<Bytes>) -> Result<(), Failure> {
    let heap = limit.unwrap_or(Bytes(plan.budget.0.saturating_sub(plan.mapped().0)));
    // What is private already but not on the heap (the program's data, stacks) comes on top.
    let status = process::status();
    let data = status.data.unwrap_or_default().0.saturating_sub(alloc::current().0);
    guard(heap, Bytes(heap.0.saturating_add(data).saturating_add(UNTOUCHED.0)))
}

/// Lifts both again: what comes next is not planned yet.
pub fn lift_guards() -> Result<(), Failure> {
    guard(Bytes(u64::MAX), Bytes(u64::MAX))
}

fn guard(heap: Bytes, data: Bytes) -> Result<(), Failure> {
    alloc::set_soft_limit(heap);
    process::set_data_limit(data)
        .map_err(|e| Failure::new(Exit::Io, format_args!("cannot set the data limit (RLIMIT_DATA): {e}")))
}
