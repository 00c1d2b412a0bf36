//! What the counting allocator counts.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering::Relaxed};

// Relaxed everywhere: these are statistics, and no other memory is read on the strength of them.
pub(crate) static CURRENT: AtomicUsize = AtomicUsize::new(0);
pub(crate) static PEAK: AtomicUsize = AtomicUsize::new(0);
pub(crate) static CALLS: AtomicU64 = AtomicU64::new(0);
pub(crate) static LIMIT: AtomicU64 = AtomicU64::new(u64::MAX);
/// Exit code when the system refuses memory; 0 leaves it to the language's abort, or to whoever handles it now.
pub(crate) static EXIT: AtomicI32 = AtomicI32::new(0);
/// The same of what nobody can handle.
pub(crate) static WANTED: AtomicI32 = AtomicI32::new(0);
/// What the user may do then.
pub(crate) static REMEDY: OnceLock<&'static str> = OnceLock::new();

/// Runs `attempt`, whose allocations may be refused and handled.
pub(crate) fn attempt<T>(attempt: impl FnOnce() -> T) -> T {
    let code = EXIT.swap(0, Relaxed);
    let result = attempt();
    EXIT.store(code, Relaxed);
    result
}

/// The exit code to end with when the system refuses memory, if that is wanted, and what to say.
pub(crate) fn exit_when_refused() -> Option<(i32, &'static str)> {
    let code = Some(EXIT.load(Relaxed)).filter(|&code| code != 0)?;
    Some((code, remedy()))
}

/// The same of what cannot be handled, not even where an [`attempt`] is under way.
pub(crate) fn exit_in_any_case() -> Option<(i32, &'static str)> {
    let code = Some(WANTED.load(Relaxed)).filter(|&code| code != 0)?;
    Some((code, remedy()))
}

fn remedy() -> &'static str {
    REMEDY.get().copied().unwrap_or_default()
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
