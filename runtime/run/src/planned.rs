//! A plan and what belongs to it.

use crate::Guards;
use sprig_budget::Plan;
use sprig_engine::model::PassLayout;
use sprig_learn::workload::{Tuning, Workload};

/// What a run does, how it is cut to fit, what it holds, and the guards that see to it.
#[derive(Debug)]
pub struct Planned {
    /// What is asked for.
    pub work: Workload,
    /// How it is cut.
    pub tuning: Tuning,
    /// Its largest pass.
    pub layout: PassLayout,
    /// What it holds.
    pub plan: Plan,
    /// Lifted when this value goes.
    pub guards: Guards,
}
