//! Two adapters in one (Flow, arXiv 2211.15281): a global and a local one of the same layers, and routers that say, block by
//! block, which answers a text. docs/algorithm.md, 10.

use super::Adapter;
use super::spec::Tensor;
use crate::dual::{Factor, Pool, Route, Site, TensorId};
use crate::model::{Geometry, Module};
use sprig_ground::names;
use std::ops::Range;

/// What routers look at, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Routing {
    /// What they look at.
    pub sees: Sees,
    /// Of which tokens.
    pub pool: Pool,
    /// Whether derivatives go through what they look at, where that depends on adapters below.
    pub follows: bool,
}

/// What routers look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sees {
    /// Each adapted block has a router, which looks at the input of its block.
    Block,
    /// One router for all blocks, which looks at the tokens' embeddings.
    Text,
    /// Each adapted block has a share of its own, whatever the text.
    Nothing,
}

names!(Sees, "sight of a router", [Block = "block", Text = "text", Nothing = "nothing"]);

/// Which of two adapters answers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Policy {
    /// The global one; an adapter that is one alone has no other policy.
    #[default]
    Global,
    /// The local one.
    Local,
    /// Both, the global one with this share whatever the text.
    Fixed(f32),
    /// Both, with the shares that routers give them.
    Soft,
    /// In each block the one with the larger share, the global one if neither has.
    Hard,
}

/// What of two adapters trains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Group {
    /// The global adapter; all of an adapter that is one alone.
    #[default]
    Global,
    /// The local one.
    Local,
    /// The routers' weights.
    Router,
    /// The routers' logits, one a routed block: they are perturbed, and have no values.
    Logits,
}

/// Names of the local adapter's tensors lie beside those of the global one.
const LOCAL: u32 = 1 << 20;
/// Names of the routers' weights, by block.
const ROUTER: u32 = 1 << 21;
/// Names of their logits, by block.
const LOGIT: u32 = 1 << 22;

/// The routers of an adapter.
#[derive(Clone, Debug)]
pub(super) struct Routers {
    pub routing: Routing,
    /// Adapted blocks, ascending, each with the weights of its router.
    pub weights: Vec<(usize, Tensor)>,
}

impl Routing {
    /// Numbers that a router looks at, on a model of shape `g`.
    pub fn width(self, g: &Geometry) -> usize {
        match self.sees {
            Sees::Block | Sees::Text => g.width,
            Sees::Nothing => 0,
        }
    }

    /// Routers of an adapter of `blocks` blocks.
    pub fn routers(self, blocks: usize) -> usize {
        if self.sees == Sees::Text { blocks.min(1) } else { blocks }
    }
}

impl Routers {
    /// Of an adapter of `blocks`, with weights from `at` on.
    pub(super) fn new(
        routing: Routing,
        blocks: impl Iterator<Item = usize>,
        g: &Geometry,
        mut at: usize,
    ) -> Self {
        let len = routing.width(g) + 1;
        let mut weights: Vec<(usize, Tensor)> = Vec::new();
        for block in blocks {
            let shared = weights.first().filter(|_| routing.sees == Sees::Text);
            let tensor = shared.map(|(_, tensor)| tensor.clone()).unwrap_or_else(|| {
                at += len;
                Tensor { id: TensorId(ROUTER + block as u32), range: at - len..at }
            });
            weights.push((block, tensor));
        }
        Self { routing, weights }
    }

    /// The routers' tensors, each once.
    pub(super) fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        let once = if self.routing.sees == Sees::Text { 1 } else { usize::MAX };
        self.weights.iter().map(|(_, tensor)| tensor).take(once)
    }
}

/// The name of the local adapter's tensor beside `id`.
pub(super) fn local(id: TensorId) -> TensorId {
    TensorId(id.0 + LOCAL)
}

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
}

fn logit(block: usize) -> TensorId {
    TensorId(LOGIT + block as u32)
}
