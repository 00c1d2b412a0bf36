//! What runs, kept within its plan from step to step.

use crate::watch::Watch;
use crate::{Base, Moved, Planned, RunError};
use sprig_budget::pressure::Reading;
use sprig_budget::{Plan, alloc};
use sprig_engine::model::PassLayout;
use sprig_learn::LearnError;
use sprig_learn::estimator::Estimator;
use sprig_learn::session::Session;
use sprig_learn::trainer::Trainer;
use sprig_learn::workload::Tuning;
use std::time::Duration;

/// What can go on with passes of another size between two steps.
pub trait Retune {
    /// Goes on with `tuning`, whose largest pass is `layout`; results stay the same, bit for bit.
    ///
    /// # Errors
    /// The system has no memory for it.
    fn retune(&mut self, tuning: &Tuning, layout: PassLayout) -> Result<(), LearnError>;
}

impl Retune for Session<'_> {
    fn retune(&mut self, tuning: &Tuning, layout: PassLayout) -> Result<(), LearnError> {
        Session::retune(self, tuning, layout)
    }
}

impl<E: Estimator> Retune for Trainer<'_, '_, E> {
    fn retune(&mut self, tuning: &Tuning, layout: PassLayout) -> Result<(), LearnError> {
        Trainer::retune(self, tuning, layout)
    }
}

/// A run under way: its plan as it stands, its guards, and its eye on what others leave of the memory.
pub struct Running<'a> {
    planned: &'a Planned,
    plan: Plan,
    /// `None` where others are ignored.
    watch: Option<Watch<'a>>,
}

impl<'a> Running<'a> {
    /// A run of `planned`, which steps aside for others if it `yields`.
    ///
    /// # Errors
    /// When the model's weights cannot be counted.
    pub fn new(base: &'a Base<'_>, planned: &'a Planned, yields: bool) -> Result<Self, LearnError> {
        let watch = yields.then(|| Watch::new(base, planned)).transpose()?;
        Ok(Self { planned, plan: planned.plan.clone(), watch })
    }

    /// What the run holds now.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Between two steps: holds the heap to its limit, and `runner` to less while others need memory. `clock` is the time
    /// since the run began; `Some` when something changed. Results do not depend on it.
    ///
    /// # Errors
    /// The heap is above its limit, or the system refuses what was planned.
    pub fn between_steps(
        &mut self,
        clock: Duration,
        runner: &mut impl Retune,
    ) -> Result<Option<Moved>, RunError> {
        alloc::check()?;
        let Some(reading) = self.watch.as_mut().and_then(|watch| watch.look(clock)) else { return Ok(None) };
        self.heed(clock, reading, runner)
    }

    /// Does what `reading` asks for, unless others are ignored.
    ///
    /// # Errors
    /// As [`between_steps`](Self::between_steps).
    pub fn heed(
        &mut self,
        clock: Duration,
        reading: Reading,
        runner: &mut impl Retune,
    ) -> Result<Option<Moved>, RunError> {
        let Some(watch) = &mut self.watch else { return Ok(None) };
        let moved = watch.judge(clock, reading)?;
        if let Some(moved) = &moved {
            self.follow(moved, runner)?;
        }
        Ok(moved)
    }

    /// Takes up another plan.
    fn follow(&mut self, moved: &Moved, runner: &mut impl Retune) -> Result<(), RunError> {
        // Weights that come and go leave the heap more of the budget, which wider passes may take.
        self.planned.guards.pause()?;
        runner.retune(&moved.tuning, moved.layout)?;
        self.planned.guards.follow(&moved.plan)?;
        self.plan = moved.plan.clone();
        Ok(())
    }
}
