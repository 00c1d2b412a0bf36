//! The two guards behind a plan, as a value: the heap is held to a soft limit, which is looked at between steps, and the
//! kernel refuses private memory from a little above it on. Both are lifted when the value goes.

use crate::RunError;
use sprig_budget::{Bytes, Plan, alloc, process};
use std::sync::atomic::{AtomicU64, Ordering};

/// Address space that counts as private data but is never touched: stacks of threads (2 MiB each by default), the
/// allocator's slack.
const UNTOUCHED: Bytes = Bytes::mib(16);

/// Number of the newest guards: those that hold now.
static NEWEST: AtomicU64 = AtomicU64::new(0);

/// Guards that are set. They are the process's: newer ones take the place of those before.
#[derive(Debug)]
pub struct Guards {
    number: u64,
    limit: Option<Bytes>,
}

impl Guards {
    /// Holds the heap to `limit`, or to what the budget of `plan` leaves beside the mapped weights.
    ///
    /// # Errors
    /// [`RunError::DataLimit`] if the kernel refuses its limit.
    pub fn set(plan: &Plan, limit: Option<Bytes>) -> Result<Self, RunError> {
        let number = NEWEST.fetch_add(1, Ordering::Relaxed) + 1;
        let guards = Self { number, limit };
        guards.follow(plan)?;
        Ok(guards)
    }

    /// The same for another plan of the same budget.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn follow(&self, plan: &Plan) -> Result<(), RunError> {
        let heap = self.limit.unwrap_or(Bytes(plan.budget.0.saturating_sub(plan.mapped().0)));
        // What is private already but not on the heap (the program's data, stacks) comes on top.
        let status = process::status();
        let data = status.data.unwrap_or_default().0.saturating_sub(alloc::current().0);
        put(heap, Bytes(heap.0.saturating_add(data).saturating_add(UNTOUCHED.0)))
    }

    /// Lifts both until [`follow`](Self::follow) is called: what comes next is not planned yet.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn pause(&self) -> Result<(), RunError> {
        put(Bytes(u64::MAX), Bytes(u64::MAX))
    }
}

impl Drop for Guards {
    fn drop(&mut self) {
        if NEWEST.load(Ordering::Relaxed) == self.number {
            // A limit that was set can be lifted; if not, the next plan's takes its place.
            let _ = self.pause();
        }
    }
}

fn put(heap: Bytes, data: Bytes) -> Result<(), RunError> {
    alloc::set_soft_limit(heap);
    process::set_data_limit(data).map_err(RunError::DataLimit)
}
