//! `sprig plan`: what a training run would hold, from the model's header alone.

use crate::args::{ModelArgs, PlanArgs, ShapeArgs};
use crate::exit::{Exit, Failure};
use crate::output::line;
use sprig_budget::{BudgetError, Bytes};
use sprig_engine::adapter::AdapterSpec;
use sprig_engine::gguf::Gguf;
use sprig_engine::tokenizer::Tokenizer;
use sprig_learn::base::Base;
use sprig_learn::data::Task;
use sprig_learn::optimiser::{Optimiser, Rule};
use sprig_learn::planner::{Workload, plan};

/// Data of a run that is only planned: room for some 250,000 tokens.
const DATA_ALLOWANCE: Bytes = Bytes::mib(1);

pub fn run(args: &PlanArgs) -> Result<Exit, Failure> {
    let map = args.model.open()?;
    let base = Base::open(&map)?;
    base.check_length(args.shape.len as usize)?;
    let spec = args.shape.adapter(&base.geometry)?;
    let work =
        Workload { data: DATA_ALLOWANCE, ..workload(&args.model, &base.gguf, &args.shape, spec, args.task) };
    let (weights, header) = (base.weights()?, base.header_bytes());
    let (plan, refusal) = match plan(&base.geometry, &weights, header, &work, args.model.budget()?) {
        Ok((_, plan)) => (plan, None),
        Err(BudgetError::TooSmall { ref plan, budget, smallest }) => {
            ((**plan).clone(), Some(BudgetError::TooSmall { budget, smallest, plan: plan.clone() }))
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

/// The workload of a training step; data and prefix cache are the caller's.
pub fn workload(
    model: &ModelArgs,
    gguf: &Gguf<'_>,
    shape: &ShapeArgs,
    spec: AdapterSpec,
    task: Task,
) -> Workload {
    Workload {
        batch: shape.batch as usize,
        length: shape.len as usize,
        tangents: shape.tangents as usize,
        adapter: Some(spec),
        frozen_rank: 0,
        frozen_bytes: Bytes::ZERO,
        rule: Some(match shape.optimizer {
            Optimiser::AdamW => Rule::AdamW { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, decay: 0.0 },
            Optimiser::Sgd => Rule::Sgd { momentum: 0.9 },
        }),
        beside: Vec::new(),
        candidates: match task {
            Task::Lm => None,
            Task::Choice => Some(26),
            Task::Label => Some(64),
        },
        threads: model.threads(),
        data: Bytes::ZERO,
        prefix: false,
        residency: model.weights,
        loading: Bytes(Tokenizer::load_bytes(gguf)),
    }
}
