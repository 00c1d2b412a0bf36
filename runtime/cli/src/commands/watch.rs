//! Memory between steps: stepping aside when others need it, and the guards behind the plan.

use crate::exit::{Exit, Failure};
use serde_json::{Value, json};
use sprig_budget::pressure::{self, Governor, Reading};
use sprig_budget::{Bytes, Plan, alloc, process};
use sprig_engine::model::{Geometry, PassLayout, WeightBytes};
use sprig_learn::base::{Base, Planned};
use sprig_learn::planner::{Tuning, Workload, plan};
use sprig_learn::trainer::Trainer;
use std::time::{Duration, Instant};

/// Time between two looks at the kernel's readings.
const INTERVAL: Duration = Duration::from_millis(250);
/// Address space that counts as private data but is never touched: stacks of threads (2 MiB each by default), the
/// allocator's slack.
const UNTOUCHED: Bytes = Bytes::mib(16);

/// Watches memory over a run.
pub struct Watch<'a> {
    geometry: &'a Geometry,
    weights: WeightBytes,
    header: Bytes,
    work: &'a Workload,
    tuning: Tuning,
    governor: Option<Governor>,
    began: Instant,
    looked: Instant,
}

/// A move up or down the ladder while the run is under way.
pub struct Moved {
    /// Bytes planned from now on.
    pub plan: Plan,
    /// The reading that caused it.
    pub reading: Reading,
}

impl<'a> Watch<'a> {
    /// Starts the watch over a run of `plan`; without `steps_aside` it only holds the heap to its limit.
    pub fn new(base: &'a Base<'_>, planned: &'a Planned, steps_aside: bool) -> Result<Self, Failure> {
        let Planned { work, tuning, plan } = planned;
        let now = Instant::now();
        Ok(Self {
            geometry: &base.geometry,
            weights: base.weights()?,
            header: base.header_bytes(),
            work,
            tuning: *tuning,
            governor: steps_aside.then(|| Governor::new(plan.smallest_budget, plan.total())),
            began: now,
            looked: now,
        })
    }

    /// How batches are cut now.
    pub fn tuning(&self) -> &Tuning {
        &self.tuning
    }

    /// Looks whether memory is tight, and has `trainer` hold less or, when that is over, more.
    pub fn look(&mut self, trainer: &mut Trainer<'_, '_>) -> Result<Option<Moved>, Failure> {
        let Some(governor) = self.governor.as_mut().filter(|_| self.looked.elapsed() >= INTERVAL) else {
            return Ok(None);
        };
        self.looked = Instant::now();
        let mut reading = pressure::read();
        if self.tuning.streamed {
            // Reading weights anew counts as a stall too, and holding less would not end it.
            reading.stalled = None;
        }
        let Some(target) = governor.judge(self.began.elapsed(), &reading) else { return Ok(None) };
        let (tuning, plan) = plan(self.geometry, &self.weights, self.header, self.work, target)?;
        if tuning == self.tuning {
            return Ok(None);
        }
        trainer.retune(&tuning, PassLayout::new(self.geometry, tuning.pass(self.geometry, self.work)))?;
        self.tuning = tuning;
        Ok(Some(Moved { plan, reading }))
    }
}

impl Moved {
    /// The event for scripts.
    pub fn event(&self, step: u64) -> Value {
        let rungs: Vec<_> = self.plan.ladder.iter().map(|r| r.why.as_str()).collect();
        json!({
            "event": "pressure", "step": step, "plan_bytes": self.plan.total(), "ladder": rungs,
            "room_bytes": self.reading.room, "stalled_percent": self.reading.stalled,
        })
    }

    /// The line for people.
    pub fn line(&self) -> String {
        let room = self.reading.room.unwrap_or_default();
        format!("memory: {room} are free on this machine; the run now holds {}", self.plan.total())
    }
}

/// Sets the two guards behind the plan. The heap is held to `limit`, or to what the budget leaves beside the mapped
/// weights: [`alloc::check`] tells at the next step. The kernel refuses private memory from a little above that on.
pub fn set_guards(plan: &Plan, limit: Option<Bytes>) -> Result<(), Failure> {
    let heap = limit.unwrap_or(Bytes(plan.budget.0.saturating_sub(plan.mapped().0)));
    alloc::set_soft_limit(heap);
    // What is private already but not on the heap (the program's data, stacks) comes on top.
    let status = process::status();
    let data = status.data.unwrap_or_default().0.saturating_sub(alloc::current().0);
    process::set_data_limit(Bytes(heap.0.saturating_add(data).saturating_add(UNTOUCHED.0)))
        .map_err(|e| Failure::new(Exit::Io, format_args!("cannot set the data limit (RLIMIT_DATA): {e}")))
}
