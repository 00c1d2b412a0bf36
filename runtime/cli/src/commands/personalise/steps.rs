//! A personal state by steps: the local adapter on one half of the data, then the routers on the other.

use super::Deriving;
use crate::exit::Failure;
use crate::interrupt::Interrupt;
use crate::output::Output;
use serde_json::json;
use sprig_budget::{Bytes, alloc};
use sprig_engine::adapter::{Adapter, AdapterSpec};
use sprig_engine::dual::Pool;
use sprig_learn::LearnError;
use sprig_learn::directions::run_key;
use sprig_learn::estimator::Method;
use sprig_learn::flow::{Descent, FlowRound, FlowRules, FlowTask, GlobalLoss, Phase, RouterBy};
use sprig_learn::guard::Guard;
use sprig_learn::objective::{LabelLoss, of_task};
use sprig_learn::recipe::defaults;
use sprig_learn::session::Session;
use sprig_learn::workload::Workload;
use sprig_run::Planned;

/// Directions an example where there is no room for a pass backwards.
const TANGENTS: usize = 4;
/// How far a step moves a router's logit.
const ROUTER: f32 = 0.2;

/// How steps are taken.
pub struct Steps {
    rules: FlowRules,
}

impl Steps {
    /// By exact gradients where the budget has room for them, forward otherwise.
    pub fn plan(deriving: &Deriving<'_>, spec: &AdapterSpec) -> Result<(Planned, Option<Self>), Failure> {
        let exact = Self::of(deriving, Method::Reverse);
        let work = exact.workload(deriving, spec);
        let steps = match deriving.base.fit(&work, deriving.budget) {
            Err(LearnError::Budget(_)) => Self::of(deriving, Method::Forward),
            _ => exact,
        };
        let planned = deriving.base.plan(steps.workload(deriving, spec), deriving.budget, None)?;
        Ok((planned, Some(steps)))
    }

    fn of(deriving: &Deriving<'_>, method: Method) -> Self {
        let (args, pool) = (deriving.args, deriving.meta.routing.pool);
        let descent = |lr: f32| Descent { rule: defaults::ADAMW.rule(), lr };
        let lr = args.lr.get();
        let router = match (method, pool) {
            (Method::Reverse, _) => RouterBy::Reverse,
            (_, Pool::Prompt) => RouterBy::Signs,
            (_, Pool::Prefix) => RouterBy::Weights,
        };
        Self {
            rules: FlowRules {
                local_epochs: args.local_epochs.get(),
                shared_epochs: args.shared_epochs.get(),
                batch: args.batch.as_usize(),
                gamma: args.gamma.get(),
                global_loss: GlobalLoss::Mixture,
                adapters: method,
                router,
                tangents: TANGENTS,
                local: descent(lr),
                global: descent(lr),
                routing: descent(ROUTER),
                run_key: run_key(args.seed),
            },
        }
    }

    fn workload(&self, deriving: &Deriving<'_>, spec: &AdapterSpec) -> Workload {
        let (args, g) = (deriving.args, &deriving.base.geometry);
        let needs = self.rules.needs(spec.blocks().len());
        let objective = of_task(args.records.task, LabelLoss::Labels);
        let means = args.model.means();
        let work = Workload::training(objective, spec.clone(), args.batch.as_usize(), needs, None, means);
        // No cache of what lies below: a device passes over its few examples a few times.
        let vectors = 1 + self.rules.local.rule.moments();
        let held = vec![
            ("gradients and moments", Bytes::of::<f32>(vectors * spec.sizes(g).0)),
            ("halves of the data", Bytes((2 * size_of::<usize>() * deriving.data.train.len()) as u64)),
        ];
        deriving.data.measure(Workload { held_elsewhere: held, prefix: false, ..work })
    }

    /// Takes them all; `None` when interrupted.
    pub fn take(
        &self,
        deriving: &Deriving<'_>,
        (session, adapter): (&mut Session<'_>, &mut Adapter),
        planned: &Planned,
        (output, interrupt): (&mut Output, &Interrupt),
    ) -> Result<Option<()>, Failure> {
        let data = &deriving.data.train;
        let ids: Vec<usize> = (0..data.len()).collect();
        let task = FlowTask { round: 0, number: 0, seed: deriving.args.seed, global: false };
        let mut round = FlowRound::new(self.rules, adapter, data, &ids, task)?;
        let (mut guard, mut done) = (Guard::default(), 0);
        output.begin("deriving", round.steps(), 0);
        while let Some((phase, loss)) = round.step(session, adapter, planned.tuning.cut, &mut guard)? {
            alloc::check()?;
            done += 1;
            if interrupt.raised() {
                return Ok(None);
            }
            if !loss.is_finite() {
                return Err(super::super::judging::diverged(done, "of a batch"));
            }
            let what = if phase == Phase::Local { "own adapter" } else { "routers" };
            output.event(
                json!({ "event": "step", "step": done, "of": round.steps(), "phase": what, "loss": loss }),
                || None,
            );
            output.at(done, || format!("{what}, loss {loss:.3}"));
        }
        output.end();
        Ok(Some(()))
    }
}
