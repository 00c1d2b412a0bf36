//! Counts of the heap, and a soft limit on it. The counts move only in a binary that installs
//! [`CountingAllocator`] as its global allocator.

use crate::counts::{CALLS, CURRENT, EXIT, LIMIT, PEAK, REMEDY, WANTED};
pub use crate::sys::{CountingAllocator, limit_arenas, refused_thread, release_free_memory};
use crate::{BudgetError, Bytes};
use std::sync::atomic::Ordering::Relaxed;

/// Bytes allocated now, as asked for (the allocator's own overhead is not in it).
pub fn current() -> Bytes {
    CURRENT.load(Relaxed).into()
}

/// The most [`current`] has been since the start or the last [`reset_peak`].
pub fn peak() -> Bytes {
    PEAK.load(Relaxed).into()
}

/// Begins a new peak at what is allocated now.
pub fn reset_peak() {
    PEAK.store(CURRENT.load(Relaxed), Relaxed);
}

/// Allocations and reallocations since the start; equal before and after a step that made none.
pub fn allocations() -> u64 {
    CALLS.load(Relaxed)
}

/// Sets the limit that [`check`] holds the heap to. It never makes an allocation fail.
pub fn set_soft_limit(limit: Bytes) {
    LIMIT.store(limit.0, Relaxed);
}

/// Compares the heap with the soft limit; call it at step boundaries, where stopping is safe.
///
/// # Errors
/// [`BudgetError::HeapLimit`] if the heap is above the limit now.
pub fn check() -> Result<(), BudgetError> {
    let (heap, limit) = (current(), Bytes(LIMIT.load(Relaxed)));
    if heap > limit { Err(BudgetError::HeapLimit { heap, limit }) } else { Ok(()) }
}

/// From now on, an allocation that the system refuses ends the process with `code` and one line on standard
/// error, instead of an abort: the data limit ([`crate::process::set_data_limit`]) is the last guard of a
/// budget, and whoever started the process should see which guard it was.
///
/// `remedy` ends that line: what the user may do.
pub fn exit_when_refused(code: i32, remedy: &'static str) {
    let _ = REMEDY.set(remedy); // the first stays
    EXIT.store(code, Relaxed);
    WANTED.store(code, Relaxed);
}
