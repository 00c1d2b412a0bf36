//! Counts of the heap, and a soft limit on it. The counts move only in a binary that installs
//! [`CountingAllocator`] as its global allocator.

pub use crate::sys::{CountingAllocator, limit_arenas, release_free_memory};
use crate::{BudgetError, Bytes};
use std::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering::Relaxed};

// Relaxed everywhere: these are statistics, and no other memory is read on the strength of them.
static CURRENT: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
static CALLS: AtomicU64 = AtomicU64::new(0);
static LIMIT: AtomicU64 = AtomicU64::new(u64::MAX);
/// Exit code when the system refuses memory; 0 leaves it to the language's abort.
static EXIT: AtomicI32 = AtomicI32::new(0);

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
pub fn exit_when_refused(code: i32) {
    EXIT.store(code, Relaxed);
}

/// Runs `attempt`, whose allocations may be refused and handled.
pub(crate) fn attempt<T>(attempt: impl FnOnce() -> T) -> T {
    let code = EXIT.swap(0, Relaxed);
    let result = attempt();
    EXIT.store(code, Relaxed);
    result
}

pub(crate) fn refused(bytes: usize) {
    let code = EXIT.load(Relaxed);
    if code != 0 {
        crate::sys::exit_refused(bytes, code);
    }
}

pub(crate) fn grew(bytes: usize) {
    CALLS.fetch_add(1, Relaxed);
    let now = CURRENT.fetch_add(bytes, Relaxed) + bytes;
    // Read first: a store to a shared line on every allocation would make threads wait on each other.
    if now > PEAK.load(Relaxed) {
        PEAK.fetch_max(now, Relaxed);
    }
}

pub(crate) fn shrank(bytes: usize) {
    CURRENT.fetch_sub(bytes, Relaxed);
}
