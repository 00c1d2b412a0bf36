//! Ctrl-C, SIGTERM and a hang-up: finish the step, write a checkpoint, leave. A second Ctrl-C or SIGTERM ends the process
//! at once.

use crate::exit::Exit;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Set once somebody asked the run to stop.
#[derive(Clone)]
pub struct Interrupt {
    raised: Arc<AtomicBool>,
    /// Whether it ends the process right there.
    at_once: Arc<AtomicBool>,
}

impl Interrupt {
    /// Listens from now on. Where the system refuses a handler, the signal keeps its usual effect.
    pub fn listen() -> Self {
        let (raised, at_once) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        for signal in [SIGINT, SIGTERM] {
            let ended =
                flag::register_conditional_shutdown(signal, Exit::Interrupted as i32, at_once.clone());
            debug_assert!(ended.is_ok());
            let shut = flag::register_conditional_shutdown(signal, 130, raised.clone());
            let set = flag::register(signal, raised.clone());
            debug_assert!(shut.is_ok() && set.is_ok());
        }
        // A terminal that goes away says so twice, by its shell and by the kernel: the second ends nothing. Under `nohup`
        // neither is to be heard.
        if !is_ignored(SIGHUP) {
            let ended =
                flag::register_conditional_shutdown(SIGHUP, Exit::Interrupted as i32, at_once.clone());
            let set = flag::register(SIGHUP, raised.clone());
            debug_assert!(ended.is_ok() && set.is_ok());
        }
        Self { raised, at_once }
    }

    /// Does what leaves nothing to keep, and looks at no flag, such as reading data: the first signal ends the process there.
    pub fn at_once<T>(&self, work: impl FnOnce() -> T) -> T {
        self.at_once.store(true, Ordering::Relaxed);
        if self.raised() {
            std::process::exit(Exit::Interrupted as i32);
        }
        let done = work();
        self.at_once.store(false, Ordering::Relaxed);
        done
    }

    /// Listens for Ctrl-C alone, which ends an answer, and not the process, however often it comes.
    pub fn of_answers() -> Self {
        let raised = Arc::new(AtomicBool::new(false));
        let set = flag::register(SIGINT, raised.clone());
        debug_assert!(set.is_ok());
        Self { raised, at_once: Arc::default() }
    }

    /// Forgets that it was asked for, once an answer is over.
    pub fn lower(&self) {
        self.raised.store(false, Ordering::Relaxed);
    }

    /// Set once somebody asked the run to stop.
    #[cfg(feature = "coordinator")]
    pub fn flag(&self) -> &AtomicBool {
        &self.raised
    }

    /// Whether to stop.
    pub fn raised(&self) -> bool {
        self.raised.load(Ordering::Relaxed)
    }
}

/// Whether whoever started this process had it ignore a signal.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal - 1) & 1 == 1
}
