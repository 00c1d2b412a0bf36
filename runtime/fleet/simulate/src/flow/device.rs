//! One device's part under each control: from the numbers in the adapter to its own.

use super::control::Control;
use sprig_engine::adapter::{Adapter, Group, Policy};
use sprig_learn::data::{DataSet, Shuffle};
use sprig_learn::error::LearnError;
use sprig_learn::estimator::{Cut, Estimator, Iteration, Scalars};
use sprig_learn::flow::{Batch, FlowRound, FlowRules, FlowTask, RouterEstimator, Stepper, halves};
use sprig_learn::guard::Guard;
use sprig_learn::minibatch::Minibatch;
use sprig_learn::session::Session;

/// Strength with which Ditto draws a device's adapter to the server's, λ.
const DITTO: f32 = 0.1;

/// A device at work.
pub(super) struct Device<'w, 'm> {
    pub session: &'w mut Session<'m>,
    pub adapter: &'w mut Adapter,
    pub data: &'m DataSet,
    pub rules: &'w FlowRules,
    pub cut: Cut,
    /// Places in the data.
    pub examples: &'w [usize],
    /// Its own.
    pub seed: u64,
    pub round: u32,
    pub number: u32,
    /// Whether what is shared learns; else the device is served.
    pub global: bool,
}

/// What takes steps, by which policy, and towards which numbers it is drawn.
struct Way<'s> {
    stepper: &'s mut Stepper,
    policy: Policy,
    towards: Option<&'s [f32]>,
}

impl Device<'_, '_> {
    /// Its part under `control`, which a device by itself repeats `alone` times. `kept` is what it kept, and keeps. Returns
    /// the examples that what is shared has behind it.
    pub(super) fn learn(
        mut self,
        control: Control,
        alone: u64,
        kept: &mut Option<Vec<f32>>,
    ) -> Result<usize, LearnError> {
        let (first, second) = halves(self.examples, self.seed);
        let (a, b) =
            (self.batches(&first, self.rules.local_epochs), self.batches(&second, self.rules.shared_epochs));
        // As many steps as Flow has, which takes two on each batch of the second half.
        let (all, whole) = (a + 2 * b, self.examples.to_vec());
        match control {
            Control::Flow | Control::WholeModel | Control::BiasOnly => self.flow()?,
            Control::TwoGlobal => self.two_global((&first, a), (&second, b))?,
            Control::Fixed100 | Control::Fixed75 | Control::Fixed50 | Control::Fixed25 | Control::Fixed0 => {
                self.adapter.begin_local();
                if control != Control::Fixed100 {
                    self.steps(&first, a, Group::Local, Policy::Local)?;
                }
                if self.global {
                    self.steps(&second, b, Group::Global, control.serves())?;
                }
            }
            Control::FedAvg | Control::FedAvgFt | Control::Local if self.global => {
                self.steps(&whole, all, Group::Global, Policy::Global)?;
                return Ok(whole.len());
            }
            Control::FedAvg | Control::ReadOut => {}
            Control::FedAvgFt | Control::Local => {
                self.adapter.begin_local();
                self.steps(&whole, all * alone, Group::Local, Policy::Local)?;
            }
            Control::Apfl | Control::Ditto => {
                self.keep(control, all, kept)?;
                return Ok(whole.len());
            }
        }
        Ok(second.len())
    }

    fn flow(&mut self) -> Result<(), LearnError> {
        let task = FlowTask { round: self.round, number: self.number, seed: self.seed, global: self.global };
        let mut round = FlowRound::new(*self.rules, self.adapter, self.data, self.examples, task)?;
        while round.step(self.session, self.adapter, self.cut, &mut Guard::default())?.is_some() {}
        Ok(())
    }

    fn two_global(&mut self, first: (&[usize], u64), second: (&[usize], u64)) -> Result<(), LearnError> {
        if self.global {
            self.steps(first.0, first.1, Group::Local, Policy::Local)?;
            self.steps(second.0, second.1, Group::Global, Policy::Soft)?;
        }
        self.steps(second.0, second.1, Group::Router, Policy::Soft)
    }

    /// APFL and Ditto: on each batch a step of the server's adapter by itself, and one of the device's own.
    fn keep(&mut self, control: Control, all: u64, kept: &mut Option<Vec<f32>>) -> Result<(), LearnError> {
        let (global, local) = (self.adapter.range(Group::Global), self.adapter.range(Group::Local));
        self.adapter.begin_local();
        if let Some(kept) = &kept {
            self.adapter.values_mut()[local.clone()].copy_from_slice(kept);
        }
        let received = self.adapter.values()[global].to_vec();
        let towards = (control == Control::Ditto).then_some(&received[..]);
        let (mut shared, mut own) = (self.stepper(Group::Global), self.stepper(Group::Local));
        let own = Way { stepper: &mut own, policy: control.serves(), towards };
        let whole = self.examples.to_vec();
        if self.global {
            let shared = Way { stepper: &mut shared, policy: Policy::Global, towards: None };
            self.walk(&whole, all / 2, &mut [shared, own])?;
            *kept = Some(self.adapter.values()[local].to_vec());
        } else if kept.is_none() {
            self.walk(&whole, all, &mut [own])?;
        }
        Ok(())
    }

    fn steps(
        &mut self,
        examples: &[usize],
        batches: u64,
        group: Group,
        policy: Policy,
    ) -> Result<(), LearnError> {
        let mut stepper = self.stepper(group);
        self.walk(examples, batches, &mut [Way { stepper: &mut stepper, policy, towards: None }])
    }

    /// Takes `batches` batches of `examples`, and on each a step of every way in turn.
    fn walk(&mut self, examples: &[usize], batches: u64, ways: &mut [Way<'_>]) -> Result<(), LearnError> {
        let order = self.seed ^ u64::from(self.round);
        let Some(order) = Shuffle::new(order, examples.len()) else { return Ok(()) };
        let estimator = RouterEstimator::Any(self.rules.adapters());
        let n = self.rules.batch.min(examples.len());
        let (mut scalars, mut guard) = (Scalars::new(&estimator.needs(), n, 0), Guard::default());
        let mut ids = Vec::with_capacity(n);
        for batch in 0..batches {
            ids.clear();
            ids.extend((0..n as u64).map(|i| examples[order.at(batch * n as u64 + i)]));
            for Way { stepper, policy, towards } in ways.iter_mut() {
                let at = Iteration { round: self.round, number: batch as u32, device: self.number };
                let examples = Minibatch::new(self.data, &ids);
                let batch = Batch { examples, cut: self.cut, at, policy: *policy };
                let place = (&mut *self.session, &mut *self.adapter);
                stepper.step(&estimator, place, batch, (&mut scalars, &mut guard), |values, gradient| {
                    if let Some(received) = towards {
                        draw(DITTO, received, values, gradient);
                    }
                })?;
            }
        }
        Ok(())
    }

    /// A group's optimiser at its beginning.
    fn stepper(&self, group: Group) -> Stepper {
        let descent = match group {
            Group::Local => self.rules.local,
            Group::Router => self.rules.routing(self.adapter),
            Group::Global | Group::Logits => self.rules.global,
        };
        Stepper::new(self.adapter, group, descent)
    }

    fn batches(&self, half: &[usize], epochs: u32) -> u64 {
        let n = half.len();
        (u64::from(epochs) * n as u64).div_ceil(self.rules.batch.min(n).max(1) as u64)
    }
}

/// Adds to the gradient of `values` that of λ/2·|values − received|².
fn draw(lambda: f32, received: &[f32], values: &[f32], gradient: &mut [f32]) {
    let pairs = received.iter().zip(values).zip(gradient);
    pairs.for_each(|((w, v), g)| *g += lambda * (v - w));
}

#[cfg(test)]
mod tests {
    use super::*;
    use sprig_learn::optimiser::Rule;

    /// T14: without strength an own adapter steps as if nobody drew it; where strength and rate make one, it is where the
    /// server's is.
    #[test]
    fn what_draws_an_own_adapter_is_its_distance() {
        let (received, values) = ([1.0, -2.0, 0.5], [3.0, -2.0, -1.5]);
        let mut gradient = [0.25, 0.5, -1.0];
        draw(0.0, &received, &values, &mut gradient);
        assert_eq!(gradient, [0.25, 0.5, -1.0]);
        let lambda = 1e6;
        draw(lambda, &received, &values, &mut gradient);
        let mut own = values;
        Rule::Sgd { momentum: 0.0 }.step(&mut own, &gradient, &mut [], 1.0 / lambda, 1);
        let far = own.iter().zip(&received).map(|(v, w)| (v - w).abs()).fold(0.0, f32::max);
        assert!(far < 2e-6, "{own:?}");
    }
}
