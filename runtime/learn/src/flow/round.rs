//! One device's part of a Flow round, a step at a time (specification 3 and 6.8): first the local adapter, from where the
//! global one is, over its half of the examples; then, batch by batch over the other half, the router and the global
//! adapter. A device that only serves takes the same way and leaves the global adapter as it is.

use super::halves::halves;
use super::rules::{FlowRules, GlobalLoss, RouterEstimator};
use super::stepper::{Batch, Stepper};
use crate::data::{DataSet, Shuffle};
use crate::error::LearnError;
use crate::estimator::{AnyEstimator, Cut, Iteration, Scalars};
use crate::guard::Guard;
use crate::minibatch::Minibatch;
use crate::session::Session;
use sprig_engine::adapter::{Adapter, Group, Policy};

/// A round under way.
#[derive(Debug)]
pub struct FlowRound<'d> {
    rules: FlowRules,
    data: &'d DataSet,
    task: FlowTask,
    halves: [Vec<usize>; 2],
    orders: [Option<Shuffle>; 2],
    estimators: (AnyEstimator, RouterEstimator),
    local: Stepper,
    router: Stepper,
    global: Stepper,
    scalars: Scalars,
    ids: Vec<usize>,
    done: u64,
    /// Losses of the global adapter's steps, those steps, and the tokens of all.
    seen: (f64, u64, u64),
}

/// What a device is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowTask {
    /// The round.
    pub round: u32,
    /// Number of the device in the fleet.
    pub number: u32,
    /// Seed of the halves and of the order of examples; the device's own.
    pub seed: u64,
    /// Whether the global adapter learns; routers do either way.
    pub global: bool,
}

/// A part of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The local adapter learns.
    Local,
    /// The router learns.
    Router,
    /// The global adapter learns.
    Global,
}

impl<'d> FlowRound<'d> {
    /// Begins from the global adapter and the routers as they are in `adapter`, with the examples `ids` of `data`.
    ///
    /// # Errors
    /// [`LearnError::Settings`] without examples, or for an adapter that is one alone.
    pub fn new(
        rules: FlowRules,
        adapter: &mut Adapter,
        data: &'d DataSet,
        ids: &[usize],
        task: FlowTask,
    ) -> Result<Self, LearnError> {
        let settings = |problem: &str| Err(LearnError::Settings(problem.to_owned()));
        if ids.is_empty() {
            return settings("no training examples");
        }
        if adapter.routing().is_none() {
            return settings("an adapter that is one alone has no local part; make it with routers");
        }
        adapter.begin_local();
        let (local, shared) = halves(ids, task.seed);
        let estimators = (rules.adapters(), rules.router(adapter.routed().len()));
        let needs = rules.needs(adapter.routed().len());
        let orders =
            [&local, &shared].map(|half| Shuffle::new(task.seed ^ u64::from(task.round), half.len()));
        Ok(Self {
            local: Stepper::new(adapter, Group::Local, rules.local),
            router: Stepper::new(adapter, Group::Router, rules.routing(adapter)),
            global: Stepper::new(adapter, Group::Global, rules.global),
            scalars: Scalars::new(&needs, rules.batch, 0),
            ids: Vec::with_capacity(rules.batch),
            halves: [local, shared],
            orders,
            estimators,
            rules,
            data,
            task,
            done: 0,
            seen: (0.0, 0, 0),
        })
    }

    /// Examples that router and global adapter learn from: what the device's part counts at the server.
    pub fn shared_examples(&self) -> usize {
        self.halves[1].len()
    }

    /// Steps of the round.
    pub fn steps(&self) -> u64 {
        let [local, shared] = self.batches();
        local + shared * self.plan().len() as u64
    }

    /// Steps that are done, and all.
    pub fn progress(&self) -> (u64, u64) {
        (self.done, self.steps())
    }

    /// Mean loss of the global adapter's steps, each before it was taken, nats; and tokens of all steps.
    pub fn sums(&self) -> (f64, u64) {
        let (sum, steps, tokens) = self.seen;
        (sum / steps.max(1) as f64, tokens)
    }

    /// Takes the next step: what learnt, and the mean loss of its batch before it, nats. `None` after the last; then the
    /// routers decide.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn step(
        &mut self,
        session: &mut Session<'_>,
        adapter: &mut Adapter,
        cut: Cut,
        guard: &mut Guard,
    ) -> Result<Option<(Phase, f64)>, LearnError> {
        let ([local, _], plan) = (self.batches(), self.plan());
        if self.done >= self.steps() {
            adapter.follow(if self.halves[0].is_empty() { Policy::Global } else { Policy::Soft });
            return Ok(None);
        }
        let (half, batch, phase) = match self.done.checked_sub(local) {
            None => (0, self.done, Turn::Local),
            Some(after) => {
                let each = plan.len() as u64;
                (1, after / each, plan[(after % each) as usize])
            }
        };
        self.ids.clear();
        let examples = &self.halves[half];
        if let Some(order) = &self.orders[half] {
            let n = self.rules.batch.min(examples.len()) as u64;
            self.ids.extend((0..n).map(|i| examples[order.at(batch * n + i)]));
        }
        let at = Iteration { round: self.task.round, number: self.done as u32, device: self.task.number };
        let policy = match phase {
            Turn::Local => Policy::Local,
            Turn::Router | Turn::Mixed => Policy::Soft,
            Turn::Pure => Policy::Global,
        };
        let batch = Batch { examples: Minibatch::new(self.data, &self.ids), cut, at, policy };
        let tokens = batch.examples.tokens() as u64;
        session.hold(self.rules.gamma, adapter.routed().len());
        let (place, kept, none) =
            ((session, adapter), (&mut self.scalars, guard), |_: &[f32], _: &mut [f32]| ());
        let (adapters, router) = &self.estimators;
        let (phase, loss) = match phase {
            Turn::Local => (Phase::Local, self.local.step(adapters, place, batch, kept, none)?),
            Turn::Router => (Phase::Router, self.router.step(router, place, batch, kept, none)?),
            Turn::Mixed | Turn::Pure => {
                (Phase::Global, self.global.step(adapters, place, batch, kept, none)?)
            }
        };
        self.done += 1;
        let (sum, steps, all) = &mut self.seen;
        *all += tokens;
        if phase == Phase::Global {
            (*sum, *steps) = (*sum + loss, *steps + 1);
        }
        Ok(Some((phase, loss)))
    }

    /// Batches of each half.
    fn batches(&self) -> [u64; 2] {
        let of = |half: usize, epochs: u32| {
            let n = self.halves[half].len();
            (u64::from(epochs) * n as u64).div_ceil(self.rules.batch.min(n).max(1) as u64)
        };
        [of(0, self.rules.local_epochs), of(1, self.rules.shared_epochs)]
    }

    /// The steps of a batch of the second half.
    fn plan(&self) -> &'static [Turn] {
        match (self.halves[0].is_empty(), self.task.global, self.rules.global_loss) {
            (true, false, _) => &[],
            (true, true, _) => &[Turn::Pure],
            (false, false, _) => &[Turn::Router],
            (false, true, GlobalLoss::Mixture) => &[Turn::Router, Turn::Mixed],
            (false, true, GlobalLoss::Pure) => &[Turn::Router, Turn::Pure],
            (false, true, GlobalLoss::Both) => &[Turn::Router, Turn::Mixed, Turn::Pure],
        }
    }
}

/// A step.
#[derive(Clone, Copy, Debug)]
enum Turn {
    Local,
    Router,
    /// The global adapter by the loss of both.
    Mixed,
    /// The global adapter by its own.
    Pure,
}
