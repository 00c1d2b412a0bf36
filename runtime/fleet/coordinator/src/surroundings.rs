//! What a coordinator stands on: where its ledger is, what time it is, who evaluates.

use crate::control::Control;
use crate::evaluation::{EvaluationThread, Evaluator};
use crate::handle::{Handle, Request};
use crate::ledger::{Ledger, LedgerError};
use crate::options::Options;
use redb::StorageBackend;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

/// A time that only moves forward.
pub type Clock = Box<dyn Fn() -> Duration + Send>;

/// What a coordinator stands on.
pub struct Surroundings {
    pub(crate) ledger: Ledger,
    pub(crate) clock: Clock,
    pub(crate) evaluator: Option<Box<dyn Evaluator>>,
    pub(crate) handle: Handle,
    pub(crate) requests: Receiver<Request>,
    /// Where it is asked; nowhere in a world of a test's own.
    pub(crate) _control: Option<Control>,
}

impl Surroundings {
    /// The state folder, the machine's clock, and a thread that evaluates, if there is one.
    ///
    /// # Errors
    /// When the state cannot be used.
    pub(crate) fn of(
        options: &Options,
        evaluation: Option<EvaluationThread>,
    ) -> Result<Self, crate::CoordinatorError> {
        let ledger = Ledger::open(&options.state, options.run, &options.settings)?;
        let (handle, requests) = Handle::new();
        let control = Control::listen(&options.state, handle.clone())?;
        let begun = Instant::now();
        Ok(Self {
            ledger,
            clock: Box::new(move || begun.elapsed()),
            evaluator: evaluation.map(|thread| Box::new(thread) as Box<dyn Evaluator>),
            handle,
            requests,
            _control: Some(control),
        })
    }

    /// A ledger in `storage`, and the clock and evaluator of a world in which a test holds everything.
    ///
    /// # Errors
    /// When what the storage holds cannot be used.
    pub fn within(
        options: &Options,
        storage: impl StorageBackend,
        clock: Clock,
        evaluator: Option<Box<dyn Evaluator>>,
    ) -> Result<Self, LedgerError> {
        let ledger = Ledger::with_backend(storage, options.run, &options.settings)?;
        let (handle, requests) = Handle::new();
        Ok(Self { ledger, clock, evaluator, handle, requests, _control: None })
    }
}
