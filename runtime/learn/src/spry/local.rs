//! One device's part of a round, an iteration at a time: between two of them the caller may look at the link, at the
//! memory at hand, or stop.

use super::path::Path;
use super::{Exchange, Layout, Part, Rules, Server, Share};
use crate::calibration::{Bins, FLEET_BINS};
use crate::data::{Examples, Shuffle};
use crate::error::LearnError;
use crate::estimator::{AnyEstimator, Cut, Estimator, Scalars, StepInput};
use crate::guard::Guard;
use crate::minibatch::Minibatch;
use crate::outcome::Outcome;
use crate::privacy::Noise;
use crate::session::Session;
use sprig_budget::Bytes;
use sprig_engine::adapter::Adapter;

/// What a device is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The round.
    pub round: u32,
    /// Number of the device in the fleet.
    pub number: u32,
    /// Groups it trains.
    pub share: Share,
}

/// A device's round under way. What it yields is a function of the data, the assignment, the server's state at its
/// beginning and, where a derivative is clipped, the guard.
#[derive(Debug)]
pub struct LocalRound<'d> {
    rules: Rules,
    assignment: Assignment,
    part: Part,
    data: Examples<'d>,
    order: Shuffle,
    examples: u32,
    iteration: u32,
    path: Path,
    ids: Vec<usize>,
    /// The last change of the share, up to a factor, where the estimator looks at it.
    last: Vec<f32>,
    scalars: Scalars,
    sent: Vec<f32>,
    /// What scalars get before they leave, if they do.
    noise: Option<Noise>,
    bins: Bins,
    loss: f64,
    weight: f64,
    tokens: u64,
}

/// What a device reports of a round.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalUpdate {
    /// Examples visited.
    pub examples: u32,
    /// Tokens visited.
    pub tokens: u64,
    /// Mean loss over the target rows visited, each before the step it led to; nats.
    pub loss: f64,
    /// Coefficients as applied: [`Body::Scalars`](super::Body::Scalars); none of exact steps. Where the parts of the loss are
    /// weighed later, those of one part after another.
    pub scalars: Vec<f32>,
    /// The sums that scalars with noise are made of; none of others.
    pub sums: Vec<i64>,
    /// How sure the model was of its answer to each example, before the step that it led to, and whether rightly; `None` of
    /// records that have no answers to choose among, and where no pass ran at the weights themselves.
    pub bins: Option<Bins>,
    /// Weights of the share after the last step, for [`Body::Dense`](super::Body::Dense); none per iteration.
    pub weights: Vec<f32>,
}

impl<'d> LocalRound<'d> {
    /// Begins a round from `server`'s weights, which are copied into `adapter`; only the share is perturbed from here
    /// on. The device visits each of its examples at most once: a set smaller than a round's examples makes the round
    /// shorter. The order of visits is `data`'s own permutation under the run's key, where the last round stopped.
    ///
    /// # Errors
    /// [`LearnError::Settings`] if the share or the adapter is not of the server's layout, or there is no data.
    pub fn new(
        server: &Server,
        adapter: &mut Adapter,
        data: impl Into<Examples<'d>>,
        assignment: Assignment,
    ) -> Result<Self, LearnError> {
        let data = data.into();
        let (layout, rules, share) = (server.layout(), *server.rules(), assignment.share);
        let settings = |problem: String| Err(LearnError::Settings(problem));
        if !layout.tensors().iter().eq(adapter.tensors()) {
            return settings(
                "the device's adapter is another than the fleet's; make it from the run's settings".into(),
            );
        }
        if !layout.holds(share) {
            return settings(format!(
                "{share:?} is not within the adapter's {} groups",
                layout.groups().len()
            ));
        }
        let [low, high] = rules.run_key.map(u64::from);
        let Some(order) = Shuffle::new(high << 32 | low, data.len()) else {
            return settings("no training examples".into());
        };
        adapter.values_mut().copy_from_slice(server.values());
        adapter.perturb(|group| share.contains(group));
        let examples = rules.examples().min(data.len().try_into().unwrap_or(u32::MAX));
        let part = layout.part(share);
        let mut path = Path::default();
        if rules.exchange != Exchange::PerIteration {
            path.begin(&rules, &part, server.values());
        }
        let needs = rules.estimator.needs();
        let scalars = Scalars::new(&needs, rules.batch, part.len);
        let mut last = needs.no_update(part.len);
        if needs.last {
            part.gather(server.sums(), &mut last);
        }
        Ok(Self {
            assignment,
            part,
            data,
            order,
            examples,
            iteration: 0,
            path,
            ids: Vec::with_capacity(rules.batch),
            last,
            scalars,
            sent: Vec::with_capacity(rules.sent_count(examples)),
            noise: None,
            bins: Bins::new(FLEET_BINS),
            loss: 0.0,
            weight: 0.0,
            tokens: 0,
            rules,
        })
    }

    /// The same with `noise` for its scalars, of estimators that ask for it.
    pub fn noised(self, noise: Noise) -> Self {
        Self { noise: Some(noise), ..self }
    }

    /// Heap bytes of a round with a share of up to all of `layout`.
    pub fn heap_bytes(layout: &Layout, rules: &Rules) -> Bytes {
        let lists = rules.batch * size_of::<usize>() + rules.sent_count(rules.examples()) * size_of::<f32>();
        let scalars = rules.estimator.needs().bytes(rules.batch, layout.len());
        let path = match rules.exchange {
            Exchange::PerIteration => Bytes::ZERO,
            Exchange::PerEpoch { .. } => Path::heap_bytes(rules, layout.len()),
        };
        let sums = if matches!(rules.estimator, AnyEstimator::Bounded(_)) { rules.sent_count(1) } else { 0 };
        path + layout.part_bytes() + Bytes((lists + sums * size_of::<i64>()) as u64) + scalars
    }

    /// Iterations of the round, and how many of them are done.
    pub fn progress(&self) -> (u32, u32) {
        (self.iteration, self.rules.iterations(self.examples))
    }

    /// Runs one iteration; false if all were done before. `cut` may change from one to the next, as may the session's
    /// arena: no bit of the update depends on them. `adapter` is the one the round began with; per epoch its share
    /// moves with each step, until the next round begins.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn step(
        &mut self,
        session: &mut Session<'_>,
        adapter: &mut Adapter,
        cut: Cut,
        guard: &mut Guard,
    ) -> Result<bool, LearnError> {
        let (rules, round) = (&self.rules, self.assignment.round);
        let done = self.iteration as usize * rules.batch;
        let left = self.examples as usize - done.min(self.examples as usize);
        if left == 0 {
            return Ok(false);
        }
        let first = u64::from(round) * u64::from(self.examples) + done as u64;
        self.ids.clear();
        let place = |i: u64| self.data.id(self.order.at(first + i));
        self.ids.extend((0..rules.batch.min(left) as u64).map(place));
        if matches!(rules.estimator, AnyEstimator::Bounded(_)) {
            // Where one pass over the data ends and the next begins, an example may be there twice: it is to count once.
            self.ids.sort_unstable();
            self.ids.dedup();
        }
        let (tensors, number) = (&self.part.tensors, self.assignment.number);
        let at = rules.at(round, self.iteration, number);
        let batch =
            Minibatch::new(self.data.set(), &self.ids).under(rules.masks(round, self.iteration, number));
        let step = StepInput { batch, cut, tensors, at, last: &self.last, guard, noise: self.noise.as_mut() };
        let per_epoch = rules.exchange != Exchange::PerIteration;
        match rules.estimator.scalars() {
            Some(along) => {
                along.measure(session, adapter, step, &mut self.scalars)?;
                let applied = &self.scalars.coefficients;
                self.sent.extend_from_slice(applied);
                if per_epoch {
                    self.path.estimate(&self.part, &along.directions(tensors, at), applied);
                }
            }
            None => {
                let gradient = self.path.room(&self.part);
                rules.estimator.gradient(session, adapter, step, &mut self.scalars, gradient)?;
            }
        }
        if per_epoch {
            self.path.step(rules);
            self.part.scatter(&self.path.weights, adapter.values_mut());
        }
        if rules.estimator.is_in_place() {
            let sure = |o: &Outcome| Some((o.confidence?, o.hits > 0));
            self.scalars.outcomes.iter().filter_map(sure).for_each(|(how, hit)| self.bins.add(how, hit));
        }
        let weight: f64 = self.scalars.outcomes.iter().map(|o| f64::from(o.weight())).sum();
        self.loss += self.scalars.loss() * weight;
        self.weight += weight;
        self.tokens += batch.tokens() as u64;
        self.iteration += 1;
        Ok(true)
    }

    /// What to report once [`step`](Self::step) has returned false.
    pub fn finish(self) -> LocalUpdate {
        LocalUpdate {
            examples: self.examples,
            tokens: self.tokens,
            loss: self.loss / self.weight,
            scalars: self.sent,
            sums: self.scalars.sums,
            bins: Some(self.bins).filter(|bins| bins.n() > 0),
            weights: self.path.weights,
        }
    }
}
