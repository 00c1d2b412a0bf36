//! The adapter of a model: trainable numbers in one flat vector, frozen factors in another.

use crate::adapter::principal_factors;
use crate::dual::{Factor, Site, TensorId};
use crate::kernels::Ctx;
use crate::model::{Geometry, Llama, Module};
use std::ops::Range;
use thiserror::Error;

/// What of the low-rank update trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Both factors A and B of LoRA.
    Lora,
    /// Only B; A is frozen as drawn (spec 6.8): no noise into A while B is 0, and averages of B are exact.
    BOnly,
    /// LoRA-XS: a core R (r × r) between frozen factors P = U·Σ and Q = Vᵀ of the base weight (spec 6.8).
    Xs,
}

impl Kind {
    /// Name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lora => "lora",
            Self::BOnly => "b-only",
            Self::Xs => "lora-xs",
        }
    }
}

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
        if self.targets.is_empty() {
            return Err(SpecError::NoTargets);
        }
        if !(self.alpha.is_finite() && self.alpha > 0.0) {
            return Err(SpecError::Alpha(self.alpha));
        }
        if self.layers.is_empty() || self.layers.end > g.blocks {
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

    /// (trainable, frozen) numbers of one module.
    fn numbers(&self, g: &Geometry, module: Module) -> (usize, usize) {
        let ((out, inp), r) = (module.shape(g), self.rank);
        match self.kind {
            Kind::Lora => (r * (inp + out), 0),
            Kind::BOnly => (r * out, r * inp),
            Kind::Xs => (r * r, r * (inp + out)),
        }
    }

    /// (trainable, frozen) numbers in all.
    pub fn sizes(&self, g: &Geometry) -> (usize, usize) {
        let per_block =
            self.targets.iter().map(|&m| self.numbers(g, m)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
        (per_block.0 * self.layers.len(), per_block.1 * self.layers.len())
    }

    /// Elements of the largest trainable tensor.
    pub fn largest_tensor(&self, g: &Geometry) -> usize {
        let of = |m: &Module| {
            let (out, inp) = m.shape(g);
            match self.kind {
                Kind::Lora => self.rank * out.max(inp),
                Kind::BOnly => self.rank * out,
                Kind::Xs => self.rank * self.rank,
            }
        };
        self.targets.iter().map(of).max().unwrap_or(0)
    }
}

/// One trainable tensor: its name and its place in the flat vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Canonical name.
    pub id: TensorId,
    /// Place in [`Adapter::values`].
    pub range: Range<usize>,
}

#[derive(Clone, Debug)]
struct Entry {
    block: usize,
    module: Module,
    rank: usize,
    scale: f32,
    down: Part,
    core: Option<Part>,
    up: Part,
}

#[derive(Clone, Debug)]
enum Part {
    Trained(Tensor),
    Frozen(Range<usize>),
}

/// An adapter in memory.
#[derive(Clone, Debug)]
pub struct Adapter {
    kind: Kind,
    alpha: f32,
    entries: Vec<Entry>,
    /// block × 7 + module → entry + 1; 0 for none.
    index: Vec<u16>,
    values: Vec<f32>,
    frozen: Vec<f32>,
}

/// A plain LoRA pair of one base tensor, as adapter files hold it.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// Block.
    pub block: usize,
    /// Module.
    pub module: Module,
    /// r.
    pub rank: usize,
    /// A, rank × in.
    pub a: Vec<f32>,
    /// B, out × rank.
    pub b: Vec<f32>,
}

impl Adapter {
    /// A new adapter that changes nothing yet (B = 0, or R = 0). `normal` fills a tensor with standard normal numbers
    /// that depend on nothing but its id.
    pub fn new(
        spec: &AdapterSpec,
        model: &Llama<'_>,
        ctx: &Ctx,
        normal: impl Fn(TensorId, &mut [f32]),
    ) -> Result<Self, SpecError> {
        let g = model.geometry();
        spec.check(g)?;
        let (trainable, frozen) = spec.sizes(g);
        let mut adapter = Self::empty(spec.kind, spec.alpha, g.blocks);
        adapter.values.reserve_exact(trainable);
        adapter.frozen.reserve_exact(frozen);
        let r = spec.rank;
        for block in spec.layers.clone() {
            for &module in &spec.targets {
                let (out, inp) = module.shape(g);
                let id = |slot: u32| TensorId(((block * 7 + module as usize) * 2) as u32 + slot);
                // The usual start of A: variance 1 / (3·in), as Kaiming-uniform with slope √5 has it.
                let random_a = |a: &mut [f32]| {
                    normal(id(0), a);
                    let deviation = 1.0 / (3.0 * inp as f32).sqrt();
                    a.iter_mut().for_each(|v| *v *= deviation);
                };
                let (down, core, up) = match spec.kind {
                    Kind::Lora => {
                        let a = adapter.train(id(0), r * inp);
                        random_a(&mut adapter.values[a.range.clone()]);
                        (Part::Trained(a), None, Part::Trained(adapter.train(id(1), out * r)))
                    }
                    Kind::BOnly => {
                        let a = adapter.freeze(r * inp);
                        random_a(&mut adapter.frozen[a.clone()]);
                        (Part::Frozen(a), None, Part::Trained(adapter.train(id(1), out * r)))
                    }
                    Kind::Xs => {
                        let (q, p) = (adapter.freeze(r * inp), adapter.freeze(out * r));
                        let (head, tail) = adapter.frozen.split_at_mut(p.start);
                        principal_factors(
                            ctx,
                            model.block(block).linear(module),
                            r,
                            &mut tail[..out * r],
                            &mut head[q.clone()],
                            |v| normal(id(0), v),
                        );
                        (Part::Frozen(q), Some(Part::Trained(adapter.train(id(0), r * r))), Part::Frozen(p))
                    }
                };
                adapter.push(Entry { block, module, rank: r, scale: spec.alpha / r as f32, down, core, up });
            }
            model.leave(block);
        }
        Ok(adapter)
    }

    /// A frozen adapter from plain LoRA pairs, for evaluation and generation.
    pub fn from_pairs(alpha: f32, blocks: usize, pairs: Vec<Pair>) -> Self {
        let mut adapter = Self::empty(Kind::Lora, alpha, blocks);
        // To the number, and each pair is dropped once it is copied: nearly one adapter in memory, never two.
        adapter.frozen.reserve_exact(pairs.iter().map(|p| p.a.len() + p.b.len()).sum());
        for Pair { block, module, rank, a, b } in pairs {
            let (down, up) = (adapter.freeze(a.len()), adapter.freeze(b.len()));
            adapter.frozen[down.clone()].copy_from_slice(&a);
            adapter.frozen[up.clone()].copy_from_slice(&b);
            let (down, up) = (Part::Frozen(down), Part::Frozen(up));
            adapter.push(Entry { block, module, rank, scale: alpha / rank as f32, down, core: None, up });
        }
        adapter
    }

    /// The adapter as plain LoRA pairs; LoRA-XS becomes A = R·Q, B = P. A copy: [`write`](Self::write) makes none.
    pub fn to_pairs(&self) -> Vec<Pair> {
        let pair = |e: &Entry| {
            let (down, b) = (self.part(&e.down), self.part(&e.up).to_vec());
            let mut a = down.to_vec();
            if let Some(core) = &e.core {
                for (i, row) in a.chunks_exact_mut(down.len() / e.rank).enumerate() {
                    merged_row(self.part(core), down, e.rank, i, row);
                }
            }
            Pair { block: e.block, module: e.module, rank: e.rank, a, b }
        };
        self.entries.iter().map(pair).collect()
    }

    /// The adapted layers, in canonical order.
    pub fn places(&self) -> impl Iterator<Item = (usize, Module)> {
        self.entries.iter().map(|e| (e.block, e.module))
    }

    /// What trains.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Numbers it holds, trainable and frozen.
    pub fn numbers(&self) -> usize {
        self.values.len() + self.frozen.len()
    }

    /// alpha.
    pub fn alpha(&self) -> f32 {
        self.alpha
    }

    /// Largest rank.
    pub fn rank(&self) -> usize {
        self.entries.iter().map(|e| e.rank).max().unwrap_or(0)
    }

    /// Lowest adapted block: below it a pass needs no tangents, and its input never changes.
    pub fn lowest_block(&self) -> usize {
        self.entries.iter().map(|e| e.block).min().unwrap_or(0)
    }

    /// All trainable numbers.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// All trainable numbers, to be stepped.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// Trainable tensors in canonical order; their ranges follow one another.
    pub fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        self.entries.iter().flat_map(|e| [Some(&e.down), e.core.as_ref(), Some(&e.up)]).flatten().filter_map(
            |p| match p {
                Part::Trained(tensor) => Some(tensor),
                Part::Frozen(_) => None,
            },
        )
    }

    /// Factors of one layer; `train` names the trainable ones, so that they are perturbed.
    pub fn site(&self, block: usize, module: Module, train: bool) -> Option<Site<'_>> {
        let slot = *self.index.get(block * 7 + module as usize)?;
        let e = self.entries.get(usize::from(slot).checked_sub(1)?)?;
        let factor = |part: &Part| Factor {
            values: self.part(part),
            tensor: match part {
                Part::Trained(tensor) if train => Some(tensor.id),
                _ => None,
            },
        };
        let core = e.core.as_ref().map(factor);
        Some(Site { rank: e.rank, scale: e.scale, down: factor(&e.down), core, up: factor(&e.up) })
    }

    fn empty(kind: Kind, alpha: f32, blocks: usize) -> Self {
        Self {
            kind,
            alpha,
            entries: Vec::new(),
            index: vec![0; blocks * 7],
            values: Vec::new(),
            frozen: Vec::new(),
        }
    }

    fn push(&mut self, entry: Entry) {
        let slot = entry.block * 7 + entry.module as usize;
        self.entries.push(entry);
        self.index[slot] = self.entries.len() as u16;
    }

    fn train(&mut self, id: TensorId, len: usize) -> Tensor {
        let range = self.values.len()..self.values.len() + len;
        self.values.resize(range.end, 0.0);
        Tensor { id, range }
    }

    fn freeze(&mut self, len: usize) -> Range<usize> {
        let range = self.frozen.len()..self.frozen.len() + len;
        self.frozen.resize(range.end, 0.0);
        range
    }

    fn part(&self, part: &Part) -> &[f32] {
        match part {
            Part::Trained(tensor) => &self.values[tensor.range.clone()],
            Part::Frozen(range) => &self.frozen[range.clone()],
        }
    }
}

/// Row i of A = R·Q, where `core` is R and `down` is Q.
pub(super) fn merged_row(core: &[f32], down: &[f32], rank: usize, i: usize, row: &mut [f32]) {
    row.fill(0.0);
    for (c, q) in core[i * rank..][..rank].iter().zip(down.chunks_exact(row.len())) {
        row.iter_mut().zip(q).for_each(|(a, q)| *a += c * q);
    }
}
