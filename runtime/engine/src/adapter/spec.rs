//! Which linear layers carry an adapter, of what kind, and where its trainable numbers lie: known from the model's shape
//! alone, before a weight is read.

use super::basis::factor_bytes;
use super::routing::Routing;
use crate::dual::TensorId;
use crate::model::{Geometry, Module};
use sprig_budget::Bytes;
use sprig_ground::names;
use std::ops::Range;
use thiserror::Error;

/// What of the low-rank update trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Both factors A and B of LoRA.
    Lora,
    /// Only B; A is frozen as drawn (algorithm.md 6.8): no noise into A while B is 0, and averages of B are exact.
    BOnly,
    /// LoRA-XS: a core R (r × r) between frozen factors P = U·Σ and Q = Vᵀ of the base weight (algorithm.md 6.8).
    Xs,
    /// The same between orthonormal factors drawn from the seed, which know nothing of the weight (algorithm.md 6.8): to
    /// compare with.
    XsSeeded,
}

names!(
    Kind,
    "kind of adapter",
    [Xs = "lora-xs", Lora = "lora", BOnly = "b-only", XsSeeded = "lora-xs-seeded"]
);

/// Which layers get an adapter, and of what kind.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterSpec {
    /// What trains.
    pub kind: Kind,
    /// r.
    pub rank: usize,
    /// alpha; the update is scaled by alpha / r.
    pub alpha: f32,
    /// Modules, in canonical order, without repeats.
    pub targets: Vec<Module>,
    /// Blocks.
    pub layers: Range<usize>,
    /// Layers whose first factors come from elsewhere, and of what rank: those of an adapter that is gone on from. They
    /// are adapted beside the others, wherever they are.
    pub kept: Vec<Place>,
    /// How a local adapter beside it is chosen; without one it is one alone.
    pub routing: Option<Routing>,
}

/// An adapted linear layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Block.
    pub block: usize,
    /// Module.
    pub module: Module,
    /// r.
    pub rank: usize,
}

/// A specification that does not fit the model.
#[derive(Debug, Error, PartialEq)]
pub enum SpecError {
    /// Rank out of range.
    #[error("rank {rank} is not between 1 and {limit}, the smaller side of {module} in this model")]
    Rank {
        /// Asked for.
        rank: usize,
        /// Largest that makes sense.
        limit: usize,
        /// The module that limits it.
        module: &'static str,
    },
    /// Blocks out of range.
    #[error("layers {from}..{to} are not within this model's 0..{blocks}")]
    Layers {
        /// First asked for.
        from: usize,
        /// One past the last.
        to: usize,
        /// Blocks of the model.
        blocks: usize,
    },
    /// Nothing to adapt.
    #[error("no target modules; name some of q,k,v,o,gate,up,down or `all`")]
    NoTargets,
    /// alpha is zero, negative or not a number.
    #[error("alpha {0} is not a positive number")]
    Alpha(f32),
}

impl AdapterSpec {
    /// Checks it against a model.
    pub fn check(&self, g: &Geometry) -> Result<(), SpecError> {
        if self.targets.is_empty() && self.kept.is_empty() {
            return Err(SpecError::NoTargets);
        }
        if !(self.alpha.is_finite() && self.alpha > 0.0) {
            return Err(SpecError::Alpha(self.alpha));
        }
        let none = self.targets.is_empty();
        if self.layers.is_empty() && !none || self.layers.end > g.blocks {
            let (from, to) = (self.layers.start, self.layers.end);
            return Err(SpecError::Layers { from, to, blocks: g.blocks });
        }
        for module in &self.targets {
            let (rows, cols) = module.shape(g);
            let limit = rows.min(cols);
            if self.rank == 0 || self.rank > limit {
                return Err(SpecError::Rank { rank: self.rank, limit, module: module.name() });
            }
        }
        Ok(())
    }

    /// All adapted layers, in canonical order.
    pub fn places(&self) -> Vec<Place> {
        let made = self.layers.clone().flat_map(|block| {
            self.targets.iter().map(move |&module| Place { block, module, rank: self.rank })
        });
        let at = |place: &Place| (place.block, place.module);
        let new = made.filter(|place| !self.kept.iter().any(|kept| at(kept) == at(place)));
        let mut places: Vec<Place> = self.kept.iter().copied().chain(new).collect();
        places.sort_by_key(at);
        places
    }

    /// The lowest adapted block.
    pub fn lowest_block(&self) -> usize {
        let own = (!self.targets.is_empty()).then_some(self.layers.start);
        self.kept.iter().map(|place| place.block).chain(own).min().unwrap_or(0)
    }

    /// The largest rank.
    pub fn largest_rank(&self) -> usize {
        self.kept.iter().map(|place| place.rank).fold(self.rank, usize::max)
    }

    /// Elements of the widest input of an adapted layer.
    pub fn widest_input(&self, g: &Geometry) -> usize {
        self.places().into_iter().map(|place| place.module.shape(g).1).max().unwrap_or(0)
    }

    /// (trainable, frozen) numbers of one layer.
    fn numbers(&self, g: &Geometry, place: Place) -> (usize, usize) {
        let ((out, inp), r) = (place.module.shape(g), place.rank);
        match self.kind {
            Kind::Lora => (r * (inp + out), 0),
            Kind::BOnly => (r * out, r * inp),
            Kind::Xs | Kind::XsSeeded => (r * r, r * (inp + out)),
        }
    }

    /// (trainable, frozen) numbers in all.
    pub fn sizes(&self, g: &Geometry) -> (usize, usize) {
        let numbers = self.places().into_iter().map(|place| self.numbers(g, place));
        let (trainable, frozen) = numbers.fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
        let Some(routing) = self.routing else { return (trainable, frozen) };
        let routers = routing.routers(self.blocks().len()) * (routing.width(g) + 1);
        (2 * trainable + routers, frozen)
    }

    /// The adapted blocks, ascending.
    pub fn blocks(&self) -> Vec<usize> {
        let mut blocks: Vec<usize> = self.places().into_iter().map(|place| place.block).collect();
        blocks.dedup();
        blocks
    }

    /// Heap bytes that making one of it takes beside its own numbers, and gives back: the working memory of LoRA-XS's
    /// principal factors, or its seeded ones before they are turned.
    pub fn making_bytes(&self, g: &Geometry, threads: usize, panel_rows: usize) -> Bytes {
        let of = |m: &Module| {
            let (out, inp) = m.shape(g);
            factor_bytes(out, inp, self.rank, threads, panel_rows)
        };
        match self.kind {
            Kind::Xs => self.targets.iter().map(of).max().unwrap_or(Bytes::ZERO),
            Kind::XsSeeded => {
                let longest = self.targets.iter().map(|m| m.shape(g).0).max().unwrap_or(0);
                Bytes::of::<f32>(self.rank * longest)
            }
            Kind::Lora | Kind::BOnly => Bytes::ZERO,
        }
    }

    /// The adapted layers in canonical order, each with its trainable tensors, whose ranges follow one another.
    pub fn trained(&self, g: &Geometry) -> Vec<(usize, Module, Vec<Tensor>)> {
        let mut at = 0;
        let layer = |Place { block, module, rank: r }| {
            let (out, inp) = module.shape(g);
            let lengths: &[(u32, usize)] = match self.kind {
                Kind::Lora => &[(0, r * inp), (1, out * r)],
                Kind::BOnly => &[(1, out * r)],
                Kind::Xs | Kind::XsSeeded => &[(0, r * r)],
            };
            let tensors = lengths.iter().map(|&(slot, len)| {
                at += len;
                Tensor { id: tensor_id(block, module, slot), range: at - len..at }
            });
            (block, module, tensors.collect())
        };
        self.places().into_iter().map(layer).collect()
    }

    /// The trainable numbers of a new adapter: what [`Adapter::new`](super::Adapter::new) starts from, without the
    /// model. Only LoRA's A is not 0.
    pub fn start(&self, g: &Geometry, normal: impl Fn(TensorId, &mut [f32])) -> Vec<f32> {
        let mut values = vec![0.0; self.sizes(g).0];
        if self.kind == Kind::Lora {
            for (_, module, tensors) in self.trained(g) {
                start_a(tensors[0].id, module.shape(g).1, &normal, &mut values[tensors[0].range.clone()]);
            }
        }
        if self.routing.is_some() {
            let one = Self { routing: None, ..self.clone() }.sizes(g).0;
            values.copy_within(..one, one);
        }
        values
    }

    /// Elements of the largest trainable tensor.
    pub fn largest_tensor(&self, g: &Geometry) -> usize {
        let of = |Place { module, rank, .. }: Place| {
            let (out, inp) = module.shape(g);
            match self.kind {
                Kind::Lora => rank * out.max(inp),
                Kind::BOnly => rank * out,
                Kind::Xs | Kind::XsSeeded => rank * rank,
            }
        };
        self.places().into_iter().map(of).max().unwrap_or(0)
    }
}

/// One trainable tensor: its name and its place in the flat vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Canonical name.
    pub id: TensorId,
    /// Place in [`Adapter::values`](super::Adapter::values).
    pub range: Range<usize>,
}

/// Name of a tensor: slot 0 is A or the core, slot 1 is B.
pub(super) fn tensor_id(block: usize, module: Module, slot: u32) -> TensorId {
    TensorId(((block * 7 + module as usize) * 2) as u32 + slot)
}

/// The usual start of A: variance 1 / (3·in), as Kaiming-uniform with slope √5 has it.
pub(super) fn start_a(id: TensorId, inputs: usize, normal: &impl Fn(TensorId, &mut [f32]), a: &mut [f32]) {
    normal(id, a);
    let deviation = 1.0 / (3.0 * inputs as f32).sqrt();
    a.iter_mut().for_each(|v| *v *= deviation);
}
