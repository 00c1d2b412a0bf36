//! Two adapters in one: a global and a local one of the same layers, and routers that say, block by block, which answers a
//! text. docs/algorithm.md, 8.

use super::routers::{Routers, local, logit};
use super::routing::{Group, Policy, Routing};
use super::sites::{Adapter, Part, Parts};
use super::spec::Tensor;
use crate::dual::{Factor, Route, Site, TensorId};
use crate::model::{Geometry, Module};
use std::ops::Range;

impl Adapter {
    /// How its routers decide; `None` for an adapter that is one alone.
    pub fn routing(&self) -> Option<Routing> {
        self.routers.as_ref().map(|routers| routers.routing)
    }

    /// Which adapter answers.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Has another answer.
    ///
    /// # Panics
    /// If there is no other.
    pub fn follow(&mut self, policy: Policy) {
        assert!(policy == Policy::Global || self.routers.is_some(), "{policy:?} of one adapter");
        self.policy = policy;
    }

    /// Has `group` train, and nothing else.
    ///
    /// # Panics
    /// If there is none.
    pub fn train(&mut self, group: Group) {
        assert!(group == Group::Global || self.routers.is_some(), "{group:?} of one adapter");
        self.group = group;
    }

    /// What trains.
    pub fn group(&self) -> Group {
        self.group
    }

    /// Where the numbers of `group` lie in [`values`](Self::values).
    pub fn range(&self, group: Group) -> Range<usize> {
        let routers = self.routers.as_ref().map(|routers| {
            let mut tensors = routers.tensors();
            let first = tensors.next().map_or(self.values.len(), |tensor| tensor.range.start);
            (first / 2, first)
        });
        let all = self.values.len();
        match (group, routers) {
            (Group::Global, None) => 0..all,
            (Group::Global, Some((half, _))) => 0..half,
            (Group::Local, Some((half, first))) => half..first,
            (Group::Router, Some((_, first))) => first..all,
            (Group::Local | Group::Router, None) | (Group::Logits, _) => all..all,
        }
    }

    /// The tensors of `group` in canonical order. Their ranges follow one another from 0 on: places in a vector of the group's
    /// own numbers.
    pub fn group_tensors(&self, group: Group) -> Vec<Tensor> {
        let from = self.range(group).start;
        let own = |tensor: &Tensor| Tensor {
            id: tensor.id,
            range: tensor.range.start - from..tensor.range.end - from,
        };
        match (group, &self.routers) {
            (Group::Global, _) => self.tensors().map(own).collect(),
            (Group::Local, _) => self.local_tensors().map(own).collect(),
            (Group::Router, Some(routers)) => routers.tensors().map(own).collect(),
            (Group::Logits, Some(routers)) => {
                let logit = |(i, (block, _)): (usize, &(usize, Tensor))| Tensor {
                    id: logit(*block),
                    range: i..i + 1,
                };
                routers.weights.iter().enumerate().map(logit).collect()
            }
            (Group::Router | Group::Logits, None) => Vec::new(),
        }
    }

    /// Places of the numbers that a fleet shares: the global adapter's, and behind them the routers'.
    fn shared_ranges(&self) -> [Range<usize>; 2] {
        [self.range(Group::Global), self.range(Group::Router)]
    }

    /// The numbers that a fleet shares: the global adapter's, and behind them the routers'.
    pub fn shared(&self) -> Vec<f32> {
        self.shared_ranges().into_iter().flat_map(|range| &self.values[range]).copied().collect()
    }

    /// Takes over what a fleet shares.
    ///
    /// # Panics
    /// If those are not as many numbers as [`shared`](Self::shared) has.
    pub fn set_shared(&mut self, mut values: &[f32]) {
        for range in self.shared_ranges() {
            let (own, rest) = values.split_at(range.len());
            self.values[range].copy_from_slice(own);
            values = rest;
        }
        assert!(values.is_empty(), "{} numbers too many", values.len());
    }

    /// Has the local adapter begin where the global one is.
    pub fn begin_local(&mut self) {
        let (global, local) = (self.range(Group::Global), self.range(Group::Local));
        if !local.is_empty() {
            self.values.copy_within(global, local.start);
        }
    }

    /// Adapted blocks that have a router, ascending.
    pub fn routed(&self) -> impl ExactSizeIterator<Item = usize> {
        self.routers.as_ref().map_or(&[][..], |routers| &routers.weights).iter().map(|(block, _)| *block)
    }

    /// The adapters of one layer that answer, as [`site`](Self::site) has them.
    pub fn sites(&self, block: usize, module: Module, train: bool) -> Option<(Site<'_>, Option<Site<'_>>)> {
        match self.policy {
            Policy::Global => Some((self.site(block, module, train)?, None)),
            Policy::Local => Some((self.local_site(block, module, train)?, None)),
            Policy::Fixed(_) | Policy::Soft | Policy::Hard => {
                Some((self.site(block, module, train)?, Some(self.local_site(block, module, train)?)))
            }
        }
    }

    /// The router of `block`, whose weights or logit are named if it is to `train` and they are what trains.
    pub fn route(&self, block: usize, train: bool) -> Option<Route<'_>> {
        let routers = self.routers.as_ref().filter(|_| matches!(self.policy, Policy::Soft | Policy::Hard))?;
        let at = routers.weights.binary_search_by_key(&block, |(block, _)| *block).ok()?;
        let tensor = &routers.weights[at].1;
        let named = |group: Group, id: TensorId| (train && self.group == group).then_some(id);
        Some(Route {
            weights: Factor {
                values: &self.values[tensor.range.clone()],
                tensor: named(Group::Router, tensor.id),
            },
            logit: named(Group::Logits, logit(block)),
            pool: routers.routing.pool,
            follows: routers.routing.follows,
            hard: self.policy == Policy::Hard,
        })
    }

    /// Puts a local adapter beside it that begins as it does, and routers that give both the same share. What does not train is
    /// there once.
    pub(super) fn split(&mut self, routing: Routing, g: &Geometry) {
        let from = self.values.len();
        self.values.extend_from_within(..);
        let beside = |part: &Part| match part {
            Part::Trained(Tensor { id, range }) => {
                Part::Trained(Tensor { id: local(*id), range: from + range.start..from + range.end })
            }
            Part::Frozen(range) => Part::Frozen(range.clone()),
        };
        for entry in &mut self.entries {
            let Parts { down, core, up } = &entry.own;
            let core = core.as_ref().map(beside);
            entry.local = Some(Parts { down: beside(down), core, up: beside(up) });
        }
        let mut blocks: Vec<usize> = self.entries.iter().map(|entry| entry.block).collect();
        blocks.dedup();
        let routers = Routers::new(routing, blocks.into_iter(), g, self.values.len());
        let end = routers.tensors().last().map_or(self.values.len(), |tensor| tensor.range.end);
        self.values.resize(end, 0.0);
        self.routers = Some(routers);
    }

    /// The trainable tensors of the local adapter, in canonical order.
    fn local_tensors(&self) -> impl Iterator<Item = &Tensor> {
        self.entries.iter().filter_map(|e| e.local.as_ref()).flat_map(Parts::trained)
    }

    /// Factors of one layer of the local adapter.
    pub(super) fn local_site(&self, block: usize, module: Module, train: bool) -> Option<Site<'_>> {
        let entry = self.entry(block, module)?;
        Some(self.factors(entry, entry.local.as_ref()?, train && self.group == Group::Local))
    }

    /// Where the trained factors of the local adapter of one layer lie: A, if that trains, and B.
    ///
    /// # Panics
    /// If the layer has none.
    pub(super) fn local_parts(
        &self,
        (block, module): (usize, Module),
    ) -> (Option<Range<usize>>, Range<usize>) {
        let local =
            self.entry(block, module).and_then(|entry| entry.local.as_ref()).expect("a local adapter");
        let trained = |part: &Part| match part {
            Part::Trained(tensor) => Some(tensor.range.clone()),
            Part::Frozen(_) => None,
        };
        (trained(&local.down), local.up.range())
    }
}
