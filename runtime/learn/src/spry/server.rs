//! The state of the adapter that all parties share, and its one step a round. Coordinator and devices run this same code
//! on the same updates: f32 without fused multiply-adds, in a fixed order.

use super::body::Body;
use super::path::Path;
use super::{Exchange, Layout, Part, Rules, Share};
use crate::error::LearnError;
use sha2::{Digest, Sha256};
use sprig_budget::Bytes;

/// The adapter's weights and the server optimiser's state.
#[derive(Debug)]
pub struct Server {
    layout: Layout,
    rules: Rules,
    values: Vec<f32>,
    moments: Vec<f32>,
    /// Σ n·Δ of the round under way.
    sums: Vec<f32>,
    /// Σ n, a group.
    examples: Vec<u64>,
    path: Path,
}

/// A round under way. Dropped before [`finish`](Step::finish), it leaves the server as it was.
#[derive(Debug)]
pub struct Step<'a> {
    server: &'a mut Server,
    round: u32,
    last: Option<u32>,
}

impl Server {
    /// Starts from `values`, with the optimiser's state at 0.
    ///
    /// # Errors
    /// [`LearnError::Settings`] if `values` are not `layout`'s in number.
    pub fn new(layout: Layout, rules: Rules, values: Vec<f32>) -> Result<Self, LearnError> {
        let n = layout.len();
        let (moments, sums) = (vec![0.0; n * rules.server.moments()], vec![0.0; n]);
        let examples = vec![0; layout.groups().len()];
        let mut server = Self {
            layout,
            rules,
            values: Vec::new(),
            moments: Vec::new(),
            sums,
            examples,
            path: Path::default(),
        };
        server.restore(values, moments)?;
        Ok(server)
    }

    /// Goes on from a snapshot.
    ///
    /// # Errors
    /// [`LearnError::Settings`] if it is of another adapter or another optimiser; the server stays as it was.
    pub fn restore(&mut self, values: Vec<f32>, moments: Vec<f32>) -> Result<(), LearnError> {
        let n = self.layout.len();
        let wanted = (n, n * self.rules.server.moments());
        if (values.len(), moments.len()) != wanted {
            return Err(LearnError::Settings(format!(
                "a snapshot of {} weights and {} moments does not fit this run's {} and {}; take one of this run",
                values.len(),
                moments.len(),
                wanted.0,
                wanted.1,
            )));
        }
        (self.values, self.moments) = (values, moments);
        self.sums.fill(0.0);
        Ok(())
    }

    /// Heap bytes of a server of `layout` under `rules`, at most.
    pub fn heap_bytes(layout: &Layout, rules: &Rules) -> Bytes {
        let n = layout.len();
        let own = (2 + rules.server.moments()) * n * size_of::<f32>() + layout.heap_bytes();
        Bytes((own + 8 * layout.groups().len()) as u64) + Path::heap_bytes(rules, n) + layout.part_bytes()
    }

    /// The adapter's groups.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The rules of the run.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The adapter's weights.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The optimiser's state.
    pub fn moments(&self) -> &[f32] {
        &self.moments
    }

    /// The weights of the groups of `share`, which exist.
    pub fn part(&self, share: Share) -> Vec<f32> {
        let part = self.layout.part(share);
        part.places.iter().flat_map(|place| &self.values[place.clone()]).copied().collect()
    }

    /// What the round before came to, by weight: the sum over devices of their examples times their change, or per iteration
    /// times their gradient. 0 before the first round, and after a snapshot.
    pub(super) fn sums(&self) -> &[f32] {
        &self.sums
    }

    /// SHA-256 of the weights, as little-endian f32.
    pub fn digest(&self) -> [u8; 32] {
        Self::digest_of(&self.values)
    }

    /// The same of an adapter's `values`.
    pub fn digest_of(values: &[f32]) -> [u8; 32] {
        let mut hash = Sha256::new();
        values.iter().for_each(|v| hash.update(v.to_le_bytes()));
        hash.finalize().into()
    }

    /// Begins the step of `round`.
    pub fn begin(&mut self, round: u32) -> Step<'_> {
        self.sums.fill(0.0);
        self.examples.fill(0);
        Step { server: self, round, last: None }
    }
}

impl Step<'_> {
    /// The rules of the run.
    pub fn rules(&self) -> &Rules {
        &self.server.rules
    }

    /// The weights of the groups of `share`, which exist, before this round.
    pub fn part(&self, share: Share) -> Vec<f32> {
        self.server.part(share)
    }

    /// Adds the update of device `number`, behind which are `examples` examples. Devices come in ascending order.
    ///
    /// # Errors
    /// [`LearnError::Update`] if it cannot be an answer to this round's task, or leads to numbers that are not finite;
    /// the round goes on without it.
    pub fn add(
        &mut self,
        number: u32,
        share: Share,
        examples: u32,
        body: Body<'_>,
    ) -> Result<(), LearnError> {
        if let Some(last) = self.last.filter(|&last| number <= last) {
            let problem =
                format!("came after device {last}; updates are added in ascending order, once each");
            return Err(LearnError::Update { number, problem });
        }
        self.fits(number, share, examples, body)?;
        let part = self.server.layout.part(share);
        let Server { rules, values, sums, path, .. } = &mut *self.server;
        let change = path.find(rules, (&part, values), (self.round, number), body);
        add(sums, &part, examples as f32, checked(change, number, examples)?);
        self.count(share, u64::from(examples));
        self.last = Some(number);
        Ok(())
    }

    /// What the update of device `number`, behind which are `examples` examples, changes the weights of its share by; per
    /// iteration the gradient that it says.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub(super) fn change(
        &mut self,
        number: u32,
        share: Share,
        examples: u32,
        body: Body<'_>,
    ) -> Result<Vec<f32>, LearnError> {
        self.fits(number, share, examples, body)?;
        let Server { layout, rules, values, path, .. } = &mut *self.server;
        let change = path.find(rules, (&layout.part(share), values), (self.round, number), body);
        Ok(checked(change, number, examples)?.to_vec())
    }

    /// Adds a `change` of the weights of `share`, behind which are `examples` examples.
    pub(super) fn put(&mut self, share: Share, examples: u64, change: &[f32]) {
        let part = self.server.layout.part(share);
        add(&mut self.server.sums, &part, examples as f32, change);
        self.count(share, examples);
    }

    /// Whether an update has the numbers that it should.
    fn fits(&self, number: u32, share: Share, examples: u32, body: Body<'_>) -> Result<(), LearnError> {
        let Server { layout, rules, .. } = &*self.server;
        let refuse = |problem: String| Err(LearnError::Update { number, problem });
        if !layout.holds(share) {
            return refuse(format!("{share:?} is not within the {} groups", layout.groups().len()));
        }
        if examples == 0 || examples > rules.examples() {
            return refuse(format!("{examples} examples, instead of 1 to {}", rules.examples()));
        }
        let (found, wanted) = match body {
            Body::Scalars(scalars) => (scalars.len(), rules.scalar_count(examples)),
            Body::Dense(weights) => (weights.len(), layout.weights(share)),
        };
        if found == wanted { Ok(()) } else { refuse(format!("{found} numbers, instead of {wanted}")) }
    }

    fn count(&mut self, share: Share, examples: u64) {
        share.iter().for_each(|group| self.server.examples[group] += examples);
    }

    /// Steps every group that a device returned; the others keep their weights and state.
    pub fn finish(self) {
        let Server { layout, rules, values, moments, sums, examples, .. } = self.server;
        let rule = rules.server_at(self.round);
        let half = moments.len() / 2;
        let (first, second) = moments.split_at_mut(half);
        // Per iteration the mean is a gradient, and the change a step against it.
        let scale = if rules.exchange == Exchange::PerIteration { -rules.lr } else { 1.0 };
        for (group, &n) in layout.groups().iter().zip(examples.iter()).filter(|(_, n)| **n > 0) {
            let own = group.weights.clone();
            let delta = sums[own.clone()].iter().map(|sum| scale * (sum / n as f32));
            let state = if first.is_empty() { 0..0 } else { own.clone() };
            rule.step(&mut values[own], &mut first[state.clone()], &mut second[state], delta);
        }
    }
}

/// A change that is finite, with the weight of its examples too.
fn checked<'c>(
    change: Result<&'c [f32], &'static str>,
    number: u32,
    examples: u32,
) -> Result<&'c [f32], LearnError> {
    let refuse = |problem: &str| LearnError::Update { number, problem: problem.to_owned() };
    let change = change.map_err(refuse)?;
    let n = examples as f32;
    if change.iter().all(|c| (c * n).is_finite()) {
        Ok(change)
    } else {
        Err(refuse("leads to weights that are not finite"))
    }
}

/// Adds `n` times the `change` of `part` to `sums`.
fn add(sums: &mut [f32], part: &Part, n: f32, change: &[f32]) {
    for (tensor, place) in part.tensors.iter().zip(&part.places) {
        let change = &change[tensor.range.clone()];
        sums[place.clone()].iter_mut().zip(change).for_each(|(sum, c)| *sum += c * n);
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
