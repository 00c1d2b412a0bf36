//! Memory between steps: holding less while others need it, and as much as planned when that is over.

use crate::{Base, Planned};
use sprig_budget::pressure::{self, Governor, Reading};
use sprig_budget::{Bytes, Machine, Plan};
use sprig_engine::model::PassLayout;
use sprig_learn::LearnError;
use sprig_learn::planner::{Fitted, ModelSize, plan};
use sprig_learn::workload::{Tuning, Workload};
use std::time::Duration;

/// Time between two looks at the kernel's readings.
const INTERVAL: Duration = Duration::from_millis(250);

/// Watches memory over a run.
pub(crate) struct Watch<'a> {
    model: ModelSize<'a>,
    machine: Machine,
    work: &'a Workload,
    tuning: Tuning,
    governor: Governor,
    budget: Bytes,
    looked: Option<Duration>,
}

/// A move up or down the ladder while a run is under way: what [`Retune`](crate::Retune) is to be given.
#[derive(Clone, Debug)]
pub struct Moved {
    /// How batches are cut from now on.
    pub tuning: Tuning,
    /// The largest pass from now on.
    pub layout: PassLayout,
    /// Bytes planned from now on, for the whole of the run's budget: others take and leave what they like of it.
    pub plan: Plan,
    /// The reading that caused it.
    pub reading: Reading,
}

impl<'a> Watch<'a> {
    /// Starts the watch over a run of `planned`.
    ///
    /// # Errors
    /// When the model's weights cannot be counted.
    pub(crate) fn new(base: &'a Base<'_>, planned: &'a Planned) -> Result<Self, LearnError> {
        let Planned { work, tuning, plan, .. } = planned;
        Ok(Self {
            model: base.size()?,
            machine: base.machine,
            work,
            tuning: *tuning,
            governor: Governor::new(plan.smallest_budget, plan.total()),
            budget: plan.budget,
            looked: None,
        })
    }

    /// The kernel's readings, a few times a second at most. `clock` is the time since the run began.
    pub(crate) fn look(&mut self, clock: Duration) -> Option<Reading> {
        if self.looked.is_some_and(|last| clock < last + INTERVAL) {
            return None;
        }
        self.looked = Some(clock);
        Some(pressure::read())
    }

    /// What a reading asks for; `Some` is what the run has to be retuned to.
    ///
    /// # Errors
    /// [`LearnError::Budget`] if not even the smallest plan fits, which the governor never asks for.
    pub(crate) fn judge(
        &mut self,
        clock: Duration,
        mut reading: Reading,
    ) -> Result<Option<Moved>, LearnError> {
        if self.tuning.streamed {
            // Reading weights anew counts as a stall too, and holding less would not end it.
            reading.stalled = None;
        }
        let Some(target) = self.governor.judge(clock, &reading) else { return Ok(None) };
        let Fitted { tuning, layout, mut plan } = plan(&self.model, self.work, &self.machine, target)?;
        if tuning == self.tuning {
            return Ok(None);
        }
        self.tuning = tuning;
        plan.budget = self.budget;
        Ok(Some(Moved { tuning, layout, plan, reading }))
    }
}
