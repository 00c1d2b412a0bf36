//! `sprig plan`: what a training run would hold, from the model's header alone.

use crate::args::{PlanArgs, ShapeArgs};
use crate::exit::{Exit, Failure};
use crate::output::line;
use sprig_budget::BudgetError;
use sprig_engine::adapter::AdapterSpec;
use sprig_learn::LearnError;
use sprig_learn::optimiser::{Optimiser, Rule};
use sprig_learn::workload::{Means, Workload};
use sprig_run::Base;

pub fn run(args: &PlanArgs) -> Result<Exit, Failure> {
    let map = args.model.open()?;
    let base = Base::open(&map)?;
    base.check_length(args.shape.len as usize)?;
    let spec = args.shape.adapter(&base.geometry)?;
    // Its moments are what counts.
    let rule = match args.shape.optimizer {
        Optimiser::AdamW => Rule::AdamW { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, decay: 0.0 },
        Optimiser::Sgd => Rule::Sgd { momentum: 0.9 },
    };
    let work = args.shape.workload(spec, rule, args.model.means());
    let work = work.foreseen(args.task, args.shape.len as usize);
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
    pub fn workload(&self, spec: AdapterSpec, rule: Rule, means: Means) -> Workload {
        Workload::training(spec, self.batch as usize, self.tangents as usize, Some(rule), means)
    }
}
