//! The heap of a device's process, against what is planned for it. A world has one thread, so what is allocated while a device
//! does a step is that device's, and what is given back when its process ends is what it held.

use sprig_budget::{Bytes, CountingAllocator, alloc};

#[global_allocator]
static COUNTED: CountingAllocator = CountingAllocator;

/// What a process took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heap {
    /// The most that any of its steps took on top of what was there.
    step: Bytes,
    planned: Bytes,
}

impl Heap {
    /// A process begins that may take `planned` bytes.
    pub(crate) fn new(planned: Bytes) -> Self {
        Self { step: Bytes(0), planned }
    }

    /// A step of it.
    pub(crate) fn during<T>(&mut self, step: impl FnOnce() -> T) -> T {
        let before = alloc::current();
        alloc::reset_peak();
        let done = step();
        self.step = self.step.max(alloc::peak() - before);
        done
    }

    /// `process` ends: the most that it can have had at once.
    ///
    /// # Errors
    /// It is more than was planned.
    pub(crate) fn ends(self, process: impl Sized) -> Result<Bytes, String> {
        let before = alloc::current();
        drop(process);
        // Its last will is heard when its link goes, and may be longer than all it had.
        let held = Bytes(before.0.saturating_sub(alloc::current().0));
        let most = held + self.step;
        if most > self.planned {
            let (step, planned) = (self.step, self.planned);
            return Err(format!("it held {held} and took {step} for a step, and {planned} are planned"));
        }
        Ok(most)
    }
}
