//! What of this process and its machine a plan depends on, as one value measured once: a plan is a function of its
//! inputs, and this is one of them.

use crate::{Bytes, code, process};

/// What the program holds besides its code and what the plan lists: data, stacks, the allocator's rounding, reports.
const REST: Bytes = Bytes::kib(448);
/// Code and constants, libraries included, that the program holds while it trains, evaluates or generates: what is hot
/// lies scattered over windows of 16 KiB. Measured on x86-64 over some hundred streamed runs: 2.8 to 3.3 MiB. Features that
/// a run does not use do not count, however large the program. A build with the tests' assertions runs in 3.1 to 4.9 MiB,
/// but at its start, before [`code::divide`], it holds with its data 5.4 to 5.9 MiB (a release: 3.3 to 3.6).
const CODE: Bytes = Bytes::kib(if cfg!(debug_assertions) { 5760 } else { 3904 });
/// What of it a pass backwards runs beside: measured as above, up to 0.3 MiB more than without one.
const CODE_BACKWARDS: Bytes = Bytes::kib(512);
/// Of the program not in memory while data are read.
const CODE_LATER: Bytes = Bytes::kib(384);
/// What a memory control group counts on top: the kernel's tables (0.8 MiB while weights are streamed), and the page cache
/// of reads under way, which cannot be given back. With less than these take the kernel kills the process at its limit,
/// whatever that process holds itself.
const CONTROL_GROUP: Bytes = Bytes::mib(3);

/// The process and the machine, as a plan sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The limit of the memory control group around this process, if there is one.
    pub limit: Option<Bytes>,
    /// Code and constants of the program and its libraries.
    pub code: Bytes,
    /// Whether they come into memory in parts; see [`code::divide`].
    pub divided: bool,
}

impl Machine {
    /// Asks the kernel.
    pub fn measure() -> Self {
        Self { limit: process::cgroup().limit, code: code::bytes(), divided: code::is_divided() }
    }

    /// Resident bytes of the program itself, at most.
    pub fn program(&self) -> Bytes {
        // Where the kernel does not let it be held in parts, it may be there whole.
        REST + if self.divided { CODE.min(self.code) } else { self.code }
    }

    /// Resident bytes of the program's passes backwards, beside [`program`](Self::program).
    pub fn backwards(&self) -> Bytes {
        if self.divided { CODE_BACKWARDS } else { Bytes::ZERO }
    }

    /// Bytes of [`program`](Self::program) that are not in memory while data are read.
    pub fn unused_while_reading(&self) -> Bytes {
        CODE_LATER
    }

    /// What a control group counts beside the process's own memory; `None` without a group that sets a limit.
    pub fn group(&self) -> Option<Bytes> {
        self.limit.map(|_| CONTROL_GROUP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_divided_counts_whole() {
        let whole = Machine { limit: None, code: Bytes::mib(20), divided: false };
        assert_eq!((whole.program(), whole.backwards()), (REST + Bytes::mib(20), Bytes::ZERO));
        assert_eq!(Machine { divided: true, ..whole }.program(), REST + CODE);
        let small = Machine { divided: true, code: Bytes::mib(1), limit: Some(Bytes::mib(64)) };
        assert_eq!((small.program(), small.group()), (REST + Bytes::mib(1), Some(CONTROL_GROUP)));
        assert!(Machine::measure().code > Bytes::ZERO);
    }
}
