//! `sprig plan`: what a training run would hold, from the model's header alone.

use super::train::best_so_far;
use crate::args::{PlanArgs, ShapeArgs};
use crate::exit::{Exit, Failure};
use crate::output::line;
use sprig_budget::BudgetError;
use sprig_engine::adapter::AdapterSpec;
use sprig_learn::data::Task;
use sprig_learn::optimiser::Rule;
use sprig_learn::workload::{Means, Workload};
use sprig_learn::{LearnError, objective};
use sprig_run::Base;

pub fn run(args: &PlanArgs) -> Result<Exit, Failure> {
    let map = args.model.open()?;
    let base = Base::open(&map)?;
    base.check_length(args.shape.len.as_usize())?;
    let spec = args.shape.adapter().fit(&base.geometry)?;
    // Of the optimiser its moments are what counts.
    let best = best_so_far(&spec, &base.geometry);
    let mut work = args.shape.workload(args.task, spec, args.shape.rule(), args.model.means());
    // As a training by default keeps it; one of a given number of steps does not.
    work.held_elsewhere.push(best);
    let work = work.foreseen(args.task, args.shape.len.as_usize());
    let (plan, refusal) = match base.fit(&work, args.model.budget()?) {
        Ok(fitted) => (fitted.plan, None),
        Err(LearnError::Budget(BudgetError::TooSmall { plan, budget, smallest })) => {
            ((*plan).clone(), Some(BudgetError::TooSmall { budget, smallest, plan }))
        }
        Err(other) => return Err(other.into()),
    };
    if args.model.json {
        line(serde_json::to_string(&plan).map_err(|e| Failure::new(Exit::Bug, e))?)?;
    } else {
        line(plan)?;
    }
    match refusal {
        None => Ok(Exit::Done),
        Some(error) => Err(error.into()),
    }
}

impl ShapeArgs {
    /// The workload of a training of `spec` whose steps are taken by `rule`.
    pub fn workload(&self, task: Task, spec: AdapterSpec, rule: Rule, means: Means) -> Workload {
        let (batch, needs) = (self.batch.as_usize(), self.estimator.needs(self.tangents.as_usize()));
        Workload::training(objective::of_task(task, self.label_loss), spec, batch, needs, Some(rule), means)
    }
}
