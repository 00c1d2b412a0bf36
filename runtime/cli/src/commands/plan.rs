//! `sprig plan`: what a training run would hold, from the model's header alone.

use super::readout;
use super::train::best_so_far;
use crate::args::{PlanArgs, ShapeArgs};
use crate::exit::{Exit, Failure};
use crate::output::line;
use serde_json::json;
use sprig_budget::{BudgetError, Plan};
use sprig_engine::adapter::AdapterSpec;
use sprig_learn::data::{MAX_LABELS, Task};
use sprig_learn::optimiser::Rule;
use sprig_learn::recipe::Way;
use sprig_learn::workload::{Means, Workload};
use sprig_learn::{LearnError, objective};
use sprig_run::Base;

/// Most choices of a question.
const LETTERS: usize = 26;

pub fn run(args: &PlanArgs) -> Result<Exit, Failure> {
    let map = args.model.open()?;
    let base = Base::open(&map)?;
    base.check_length(args.shape.len.as_usize())?;
    if args.shape.estimator == Way::ReadOut {
        return read_out(args, &base);
    }
    let spec = args.shape.adapter().fit(&base.geometry)?;
    // Of the optimiser its moments are what counts.
    let best = best_so_far(&spec, &base.geometry);
    let mut work = args.shape.workload(args.task, spec, args.shape.rule(), args.model.means());
    // As a training by default keeps it; one of a given number of steps does not.
    work.held_elsewhere.push(best);
    let work = work.foreseen(args.task, args.shape.len.as_usize());
    show(
        args,
        base.fit(&work, args.model.budget()?).map(|fitted| {
            let passes = work.passes(&base.geometry, fitted.tuning.cut);
            (fitted.plan, Some(passes))
        }),
    )
}

/// The same of a read-out, of as many answers as there may be.
fn read_out(args: &PlanArgs, base: &Base<'_>) -> Result<Exit, Failure> {
    if args.task == Task::Lm {
        return Err(readout::not_of_tokens());
    }
    let (budget, len) = (args.model.budget()?, args.shape.len.as_usize());
    let foreseen = |kept| {
        let classes = if args.task == Task::Choice { LETTERS } else { MAX_LABELS };
        readout::workload(&args.shape, &args.model, args.task, base, classes, kept).foreseen(args.task, len)
    };
    let found = readout::room(base, budget, None, foreseen);
    let kept = found.as_ref().map(|(kept, _)| *kept).ok();
    let fitted = found.and_then(|(_, work)| base.fit(&work, budget));
    let done = show(args, fitted.map(|fitted| (fitted.plan, None)))?;
    if let (Some(kept), false) = (kept, args.model.json) {
        line(readout::directions(kept, base.geometry.ffn))?;
    }
    Ok(done)
}

/// Prints a plan, even one that does not fit, and what a step is worth.
fn show(args: &PlanArgs, fitted: Result<(Plan, Option<f64>), LearnError>) -> Result<Exit, Failure> {
    let (plan, passes, refusal) = match fitted {
        Ok((plan, passes)) => (plan, passes, None),
        Err(LearnError::Budget(BudgetError::TooSmall { plan, budget, smallest })) => {
            ((*plan).clone(), None, Some(BudgetError::TooSmall { budget, smallest, plan }))
        }
        Err(other) => return Err(other.into()),
    };
    if args.model.json {
        let mut plan = serde_json::to_value(&plan).map_err(|e| Failure::new(Exit::Bug, e))?;
        plan["passes_per_step"] = json!(passes);
        line(plan)?;
    } else {
        line(plan)?;
        if let Some(passes) = passes {
            line(format!("a step is worth {passes:.1} plain forward passes of an example"))?;
        }
    }
    match refusal {
        None => Ok(Exit::Done),
        Some(error) => Err(error.into()),
    }
}

impl ShapeArgs {
    /// The workload of a training of `spec` whose steps are taken by `rule`.
    pub fn workload(&self, task: Task, spec: AdapterSpec, rule: Rule, means: Means) -> Workload {
        let (batch, needs) =
            (self.batch.as_usize(), self.estimator.method().needs(self.tangents().as_usize()));
        Workload::training(objective::of_task(task, self.label_loss), spec, batch, needs, Some(rule), means)
    }
}
