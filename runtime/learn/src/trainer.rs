//! The training loop's one step, and all state that must survive from one step to the next.

use crate::data::{DataSet, Examples, Shuffle};
use crate::directions::run_key;
use crate::dropout::Dropout;
use crate::error::LearnError;
use crate::estimator::{AnyEstimator, Cut, Estimator, Iteration, Scalars, StepInput};
use crate::evaluate::{Evaluation, evaluate_from_prefix};
use crate::guard::Guard;
use crate::minibatch::Minibatch;
use crate::optimiser::{Rule, Schedule};
use crate::prefix::PrefixCache;
use crate::session::Session;
use crate::workload::Tuning;
use sprig_budget::held_zeros;
use sprig_engine::adapter::{Adapter, Tensor};
use sprig_engine::model::PassLayout;

/// Settings of a run that decide its result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings<E = AnyEstimator> {
    /// Estimator.
    pub estimator: E,
    /// Optimiser.
    pub rule: Rule,
    /// Learning rate.
    pub schedule: Schedule,
    /// Examples a step.
    pub batch: usize,
    /// What of the adapter's inputs is left out.
    pub dropout: Dropout,
    /// Seed of the data order and of what is left out.
    pub seed: u64,
}

/// A training under way.
pub struct Trainer<'m, 'd, E = AnyEstimator> {
    session: Session<'m>,
    adapter: Adapter,
    data: Examples<'d>,
    settings: Settings<E>,
    cut: Cut,
    order: Shuffle,
    tensors: Vec<Tensor>,
    gradient: Vec<f32>,
    scalars: Scalars,
    ids: Vec<usize>,
    state: State,
}

/// What a checkpoint holds besides the adapter's values.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// Steps taken.
    pub step: u64,
    /// Optimiser state, `Rule::moments()` vectors one after another.
    pub moments: Vec<f32>,
    /// The last estimate, for estimators that look at it; empty otherwise.
    pub last: Vec<f32>,
    /// Judgement of scalars.
    pub guard: Guard,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// Steps taken so far.
    pub step: u64,
    /// Mean loss of the batch before the step, nats.
    pub loss: f64,
    /// Learning rate used.
    pub lr: f32,
    /// Tokens of the batch.
    pub tokens: usize,
    /// Plain forward passes of an example that the step was worth ([`Needs::passes`](crate::estimator::Needs::passes)).
    pub passes: f64,
}

impl<'m, 'd, E: Estimator> Trainer<'m, 'd, E> {
    /// Starts from `adapter` as it is.
    pub fn new(
        session: Session<'m>,
        adapter: Adapter,
        data: impl Into<Examples<'d>>,
        settings: Settings<E>,
        cut: Cut,
    ) -> Result<Self, LearnError> {
        let data = data.into();
        let (n, needs) = (adapter.values().len(), settings.estimator.needs());
        let order = Shuffle::new(settings.seed, data.len())
            .ok_or_else(|| LearnError::Settings("no training examples".to_owned()))?;
        Ok(Self {
            order,
            tensors: adapter.tensors().cloned().collect(),
            gradient: held_zeros(n),
            scalars: Scalars::new(&needs, settings.batch, n),
            ids: Vec::with_capacity(settings.batch),
            state: State {
                step: 0,
                moments: held_zeros(n * settings.rule.moments()),
                last: needs.no_update(n),
                guard: Guard::default(),
            },
            session,
            adapter,
            data,
            settings,
            cut,
        })
    }

    /// One optimiser step on the next batch. Batches run on from one epoch into the next, so that every batch is full.
    pub fn step(&mut self) -> Result<StepReport, LearnError> {
        let places = self.order.batch(self.state.step, self.settings.batch);
        self.ids.clear();
        self.ids.extend(places.map(|place| self.data.id(place)));
        let ids = std::mem::take(&mut self.ids);
        let report = self.step_on(self.data.set(), &ids);
        self.ids = ids;
        report
    }

    /// One optimiser step on the examples `ids` of `set`, which may be another set than its own, of no longer examples.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn step_on(&mut self, set: &DataSet, ids: &[usize]) -> Result<StepReport, LearnError> {
        let at = Iteration::of_step(self.state.step);
        let masks = self.settings.dropout.masks(run_key(self.settings.seed), at);
        let batch = Minibatch::new(set, ids).under(masks);
        let step = StepInput {
            batch,
            cut: self.cut,
            tensors: &self.tensors,
            at,
            last: &self.state.last,
            guard: &mut self.state.guard,
            noise: None,
        };
        let (estimator, gradient) = (&self.settings.estimator, &mut self.gradient);
        estimator.gradient(&mut self.session, &mut self.adapter, step, &mut self.scalars, gradient)?;
        if !self.state.last.is_empty() {
            self.state.last.copy_from_slice(gradient);
        }
        self.state.step += 1;
        let (step, lr) = (self.state.step, self.settings.schedule.at(self.state.step));
        self.settings.rule.step(self.adapter.values_mut(), &self.gradient, &mut self.state.moments, lr, step);
        let passes = self.settings.estimator.needs().passes(self.cut.tangents, self.upper());
        let passes = batch.len() as f64 * (passes + self.session.anew());
        Ok(StepReport { step, loss: self.scalars.loss(), lr, tokens: batch.tokens(), passes })
    }

    /// As [`Session::retune`].
    ///
    /// # Errors
    /// The same.
    pub fn retune(&mut self, tuning: &Tuning, layout: PassLayout) -> Result<(), LearnError> {
        self.session.retune(tuning, layout)?;
        self.cut = tuning.cut;
        Ok(())
    }

    /// Runs the batch of the next step without tangents: what a plain forward pass of the same tokens costs.
    pub fn plain_forward(&mut self) -> Result<(), LearnError> {
        let first = self.state.step * self.settings.batch as u64;
        for from in (0..self.settings.batch).step_by(self.cut.examples) {
            let n = self.cut.examples.min(self.settings.batch - from);
            self.ids.clear();
            let places = (0..n as u64).map(|i| self.order.at(first + from as u64 + i));
            self.ids.extend(places.map(|place| self.data.id(place)));
            let outcomes = &mut self.scalars.outcomes[..n];
            let batch = Minibatch::new(self.data.set(), &self.ids);
            self.session.run(Some(&self.adapter), None, batch, outcomes, &mut [])?;
        }
        Ok(())
    }

    /// Judges the adapter as it stands by `examples` of the set that it learns from, as a step sees them. `progress` gets the
    /// number of examples done; `None` when it says stop.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn judge(
        &mut self,
        examples: Examples<'_>,
        progress: impl FnMut(usize) -> bool,
    ) -> Result<Option<Evaluation>, LearnError> {
        evaluate_from_prefix(&mut self.session, &self.adapter, examples, self.cut.examples, progress)
    }

    /// The epoch that the next step begins in, from 0: batches run on from one into the next.
    pub fn epoch(&self) -> u64 {
        self.order.position(self.state.step, self.settings.batch).0
    }

    /// What it learns from.
    pub fn examples(&self) -> Examples<'d> {
        self.data
    }

    /// Goes back to the trainable numbers `values`.
    pub fn go_back_to(&mut self, values: &[f32]) {
        self.adapter.values_mut().copy_from_slice(values);
    }

    /// Share of the model's blocks from the lowest adapted one on.
    fn upper(&self) -> f64 {
        let blocks = self.session.model().geometry().blocks;
        (blocks - self.adapter.lowest_block()) as f64 / blocks as f64
    }

    /// How batches are cut now.
    pub fn cut(&self) -> Cut {
        self.cut
    }

    /// The adapter as it stands.
    pub fn adapter(&self) -> &Adapter {
        &self.adapter
    }

    /// The session, for an evaluation between steps, and the adapter to evaluate.
    pub fn session(&mut self) -> (&mut Session<'m>, &Adapter) {
        (&mut self.session, &self.adapter)
    }

    /// Session and adapter, for whatever comes after this training.
    pub fn into_parts(self) -> (Session<'m>, Adapter) {
        (self.session, self.adapter)
    }

    /// The cache of the frozen prefix, if there is one.
    pub fn prefix(&self) -> Option<&PrefixCache> {
        self.session.prefix()
    }

    /// Everything that must survive, with the adapter's values.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Gives back gradient and optimiser state, for a checkpoint of as many bytes to be read: both would be more than
    /// planned. [`restore`](Self::restore) or [`start_anew`](Self::start_anew) brings them back.
    pub fn make_room(&mut self) {
        self.gradient = Vec::new();
        (self.state.moments, self.state.last) = (Vec::new(), Vec::new());
    }

    /// Gradient and optimiser state of a run that has not begun.
    pub fn start_anew(&mut self) {
        let n = self.adapter.values().len();
        self.gradient = held_zeros(n);
        self.state.moments = held_zeros(n * self.settings.rule.moments());
        self.state.last = self.settings.estimator.needs().no_update(n);
    }

    /// Continues from a checkpoint; lengths must fit this run's.
    pub fn restore(&mut self, values: Vec<f32>, state: State) -> Result<(), LearnError> {
        let n = self.adapter.values().len();
        let last = if self.settings.estimator.needs().last { n } else { 0 };
        let wanted = [n, n * self.settings.rule.moments(), last];
        if [values.len(), state.moments.len(), state.last.len()] != wanted {
            return Err(LearnError::Settings(format!(
                "the checkpoint holds {} trainable numbers, this run has {n}; resume with the settings it was made with",
                values.len(),
            )));
        }
        self.adapter.values_mut().copy_from_slice(&values);
        self.state = state;
        // As long as the gradient, whose place it takes.
        self.gradient = values;
        self.gradient.fill(0.0);
        Ok(())
    }
}
