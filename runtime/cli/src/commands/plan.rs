//! `sprig plan`: what a training run would hold, from the model's header alone, and which way of learning it would take.

use super::foreseen::{Foreseen, Foreseer, check_useful, chosen};
use super::readout;
use crate::args::{PlanArgs, ShapeArgs};
use crate::exit::{Exit, Failure};
use crate::output::line;
use serde_json::{Value, json};
use sprig_budget::BudgetError;
use sprig_engine::adapter::{AdapterSpec, Place};
use sprig_engine::model::Geometry;
use sprig_learn::data::Task;
use sprig_learn::dropout::Dropout;
use sprig_learn::objective::{Objective, of_task};
use sprig_learn::optimiser::Rule;
use sprig_learn::recipe::Way;
use sprig_learn::workload::{Means, Workload};
use sprig_run::Base;
use std::sync::Arc;

pub fn run(args: &PlanArgs) -> Result<Exit, Failure> {
    let question = &args.shape.question(args.task);
    check_useful(question)?;
    args.shape.preference.preferring().check(args.task).map_err(|e| Failure::new(Exit::Usage, e))?;
    let map = args.model.open()?;
    let base = Base::open(&map)?;
    base.check_length(args.shape.len.as_usize())?;
    if args.shape.estimator == Way::ReadOut && matches!(args.task, Task::Lm | Task::Pair) {
        return Err(readout::not_of_tokens());
    }
    let (shape, model, task) = (&args.shape, &args.model, args.task);
    let foreseer =
        Foreseer { base: &base, shape, model, task, data: None, judged: args.steps.is_none(), kept: &[] };
    let ways = foreseer.ways(question)?;
    let seconds = foreseer.seconds(&ways)?;
    let Foreseen { plan, smallest, passes, kept, .. } = chosen(&ways, question)?;
    if args.model.json {
        let mut event = serde_json::to_value(plan).map_err(|e| Failure::new(Exit::Bug, e))?;
        event["passes_per_step"] = json!(smallest.is_none().then_some(passes));
        event["estimators"] = ways.iter().zip(&seconds).map(|(way, &s)| way.json(s)).collect::<Value>();
        line(event)?;
    } else {
        line(plan)?;
        if let Some(kept) = kept {
            line(readout::directions(*kept, base.geometry.ffn))?;
        } else if smallest.is_none() {
            line(format!("a step is worth {passes:.1} plain forward passes of an example"))?;
        }
        line("\nestimators")?;
        for (way, &seconds) in ways.iter().zip(&seconds) {
            line(way.line(seconds))?;
        }
    }
    match *smallest {
        None => Ok(Exit::Done),
        Some(smallest) => {
            let (budget, plan) = (args.model.budget()?, Box::new(plan.clone()));
            Err(BudgetError::TooSmall { budget, smallest, plan }.into())
        }
    }
}

impl ShapeArgs {
    /// The adapter of a model of shape `g`, beside the layers `kept` of another.
    pub fn spec(&self, task: Task, g: &Geometry, kept: &[Place]) -> Result<AdapterSpec, Failure> {
        Ok(AdapterSpec { kept: kept.to_vec(), ..self.adapter(task).fit(g)? })
    }

    /// What a training on records of `task` learns by.
    pub fn objective(&self, task: Task) -> Arc<dyn Objective> {
        match self.preference.preferring().objective(task, self.label_loss()) {
            Some(preference) => Arc::new(preference),
            None => of_task(task, self.label_loss()),
        }
    }

    /// The workload of a training of `spec` whose steps are taken by `rule`.
    pub fn workload(&self, task: Task, spec: AdapterSpec, rule: Rule, means: Means) -> Workload {
        let needs = self.estimator.method().needs(self.tangents(task).as_usize());
        let objective = self.objective(task);
        let dropout = Dropout::new(self.dropout);
        Workload::training(objective, spec, self.batch.as_usize(), needs, Some(rule), means).under(dropout)
    }
}
