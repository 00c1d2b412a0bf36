//! Ctrl-C and SIGTERM: finish the step, write a checkpoint, leave. A second one ends the process at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Set once somebody asked the run to stop.
#[derive(Clone)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens from now on. Where the system refuses a handler, the signal keeps its usual effect.
    pub fn listen() -> Self {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            let shut = signal_hook::flag::register_conditional_shutdown(signal, 130, flag.clone());
            let set = signal_hook::flag::register(signal, flag.clone());
            debug_assert!(shut.is_ok() && set.is_ok());
        }
        Self(flag)
    }

    /// Set once somebody asked the run to stop.
    #[cfg(feature = "coordinator")]
    pub fn flag(&self) -> &AtomicBool {
        &self.0
    }

    /// Whether to stop.
    pub fn raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
