//! The adapter of a model: trainable numbers in one flat vector, frozen factors in another.

use super::basis::{principal_factors, seeded_factors};
use super::routers::Routers;
use super::routing::{Group, Policy};
use super::spec::{AdapterSpec, Kind, Place, SpecError, Tensor, start_a, tensor_id};
use crate::dual::{Factor, Keeper, Site, TensorId};
use crate::kernels::Ctx;
use crate::model::{Module, Transformer};
use sprig_budget::Bytes;
use std::ops::Range;

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) block: usize,
    module: Module,
    rank: usize,
    scale: f32,
    pub(super) own: Parts,
    /// Those of the local adapter beside it.
    pub(super) local: Option<Parts>,
    perturbed: bool,
}

/// The factors of one layer's adapter.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    pub(super) down: Part,
    pub(super) core: Option<Part>,
    pub(super) up: Part,
}

#[derive(Clone, Debug)]
pub(super) enum Part {
    Trained(Tensor),
    Frozen(Range<usize>),
}

/// An adapter in memory.
#[derive(Clone, Debug)]
pub struct Adapter {
    kind: Kind,
    alpha: f32,
    pub(super) entries: Vec<Entry>,
    /// block × 7 + module → entry + 1; 0 for none.
    index: Vec<u16>,
    pub(super) values: Vec<f32>,
    frozen: Vec<f32>,
    pub(super) routers: Option<Routers>,
    pub(super) policy: Policy,
    pub(super) group: Group,
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
    /// that depend on nothing but its id. What `spec` keeps is all 0 until [`go_on_from`](Self::go_on_from).
    pub fn new(
        spec: &AdapterSpec,
        model: &Transformer<'_>,
        ctx: &Ctx,
        normal: impl Fn(TensorId, &mut [f32]),
    ) -> Result<Self, SpecError> {
        let g = model.geometry();
        spec.check(g)?;
        let (trainable, frozen) = spec.sizes(g);
        let mut adapter = Self::empty(spec.kind, spec.alpha, g.blocks);
        adapter.values.reserve_exact(trainable);
        adapter.frozen.reserve_exact(frozen);
        for place in spec.places() {
            let own = !spec.kept.contains(&place);
            let Place { block, module, rank: r } = place;
            let (out, inp) = module.shape(g);
            let id = |slot: u32| tensor_id(block, module, slot);
            let random_a = |a: &mut [f32]| {
                if own {
                    start_a(id(0), inp, &normal, a);
                }
            };
            let (down, core, up) = match spec.kind {
                Kind::Lora => {
                    let a = adapter.place(id(0), r * inp);
                    random_a(&mut adapter.values[a.range.clone()]);
                    (Part::Trained(a), None, Part::Trained(adapter.place(id(1), out * r)))
                }
                Kind::BOnly => {
                    let a = adapter.freeze(r * inp);
                    random_a(&mut adapter.frozen[a.clone()]);
                    (Part::Frozen(a), None, Part::Trained(adapter.place(id(1), out * r)))
                }
                Kind::Xs | Kind::XsSeeded => {
                    let (q, p) = (adapter.freeze(r * inp), adapter.freeze(out * r));
                    let (head, tail) = adapter.frozen.split_at_mut(p.start);
                    let (up, down) = (&mut tail[..out * r], &mut head[q.clone()]);
                    match spec.kind {
                        _ if !own => {}
                        Kind::Xs => {
                            let weights = model.block(block).linear(module);
                            model.about_to_use(weights, None);
                            principal_factors(ctx, weights, r, up, down, |v| normal(id(0), v));
                            model.done_with(weights);
                        }
                        _ => seeded_factors(r, up, down, |slot, v| normal(id(slot), v)),
                    }
                    (Part::Frozen(q), Some(Part::Trained(adapter.place(id(0), r * r))), Part::Frozen(p))
                }
            };
            let (scale, own) = (spec.alpha / r as f32, Parts { down, core, up });
            adapter.push(Entry { block, module, rank: r, scale, own, local: None, perturbed: true });
        }
        if let Some(routing) = spec.routing {
            adapter.split(routing, g);
        }
        Ok(adapter)
    }

    /// A frozen adapter with room for `pairs` pairs of `numbers` numbers in all, to be filled by
    /// [`add_frozen`](Self::add_frozen): for evaluation and generation.
    pub(super) fn frozen(alpha: f32, blocks: usize, pairs: usize, numbers: usize) -> Self {
        let mut adapter = Self::empty(Kind::Lora, alpha, blocks);
        adapter.entries.reserve_exact(pairs);
        adapter.frozen.reserve_exact(numbers);
        adapter
    }

    /// Heap bytes of such an adapter.
    pub(super) fn frozen_bytes(blocks: usize, pairs: usize, numbers: usize) -> Bytes {
        Bytes((4 * numbers + pairs * size_of::<Entry>() + blocks * 7 * size_of::<u16>()) as u64)
    }

    /// Adds a pair and returns the places of its A (`a_len` numbers, rank × in) and B (`b_len`, out × rank).
    pub(super) fn add_frozen(
        &mut self,
        block: usize,
        module: Module,
        rank: usize,
        a_len: usize,
        b_len: usize,
    ) -> (&mut [f32], &mut [f32]) {
        let (a, b) = (self.freeze(a_len), self.freeze(b_len));
        let (from, scale) = (a.start, self.alpha / rank as f32);
        let own = Parts { down: Part::Frozen(a), core: None, up: Part::Frozen(b) };
        self.push(Entry { block, module, rank, scale, own, local: None, perturbed: true });
        self.frozen[from..].split_at_mut(a_len)
    }

    /// Takes over the pair that `read` fills into A and B for one of the layers it was made to keep. The core between them,
    /// if there is one, becomes the identity. `alpha` is the pair's, whose update stays what it was.
    pub(super) fn go_on_from<E>(
        &mut self,
        (block, module): (usize, Module),
        alpha: f32,
        read: impl FnOnce(&mut [f32], &mut [f32]) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(entry) = self.entries.iter().find(|e| (e.block, e.module) == (block, module)) else {
            return Ok(());
        };
        let (Parts { down, core, up }, r) = (&entry.own, entry.rank);
        let (a, b) = (down.range(), up.range());
        if let Some(core) = core {
            let core = &mut self.values[core.range()];
            core.iter_mut().enumerate().for_each(|(i, v)| *v = f32::from(u8::from(i % (r + 1) == 0)));
        }
        let trains = |part: &Part| matches!(part, Part::Trained(_));
        let (a, b) = match (trains(down), trains(up)) {
            (true, true) => two(&mut self.values, a, b),
            (false, false) => two(&mut self.frozen, a, b),
            (false, true) => (&mut self.frozen[a], &mut self.values[b]),
            (true, false) => (&mut self.values[a], &mut self.frozen[b]),
        };
        read(a, b)?;
        if alpha != self.alpha {
            b.iter_mut().for_each(|v| *v *= alpha / self.alpha);
        }
        Ok(())
    }

    /// The adapter as plain LoRA pairs; LoRA-XS becomes A = R·Q, B = P. A copy: [`write`](Self::write) makes none.
    pub fn to_pairs(&self) -> Vec<Pair> {
        let pair = |e: &Entry| {
            let (down, b) = (self.part(&e.own.down), self.part(&e.own.up).to_vec());
            let mut a = down.to_vec();
            if let Some(core) = &e.own.core {
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

    /// Perturbs those layers alone that `chosen` names by their places in canonical order; a new adapter perturbs all.
    /// A pass has no tangents below the lowest of them.
    pub fn perturb(&mut self, chosen: impl Fn(usize) -> bool) {
        self.entries.iter_mut().enumerate().for_each(|(i, entry)| entry.perturbed = chosen(i));
    }

    /// Lowest adapted block, whether it is perturbed or not: below it the input of a block never changes.
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

    /// Trainable tensors in canonical order; their ranges follow one another. Of two adapters those of the global one.
    pub fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        self.entries.iter().flat_map(|e| e.own.trained())
    }

    /// Calls `with` for each of `tensors`, which are in canonical order, with the numbers it has here. Their own ranges may
    /// be places in another vector.
    pub fn each_mut(&mut self, tensors: &[Tensor], mut with: impl FnMut(&Tensor, &mut [f32])) {
        let mut wanted = tensors.iter().peekable();
        let own = self.entries.iter().flat_map(|e| e.own.trained());
        let local = self.entries.iter().filter_map(|e| e.local.as_ref()).flat_map(Parts::trained);
        let routers = self.routers.iter().flat_map(Routers::tensors);
        for own in own.chain(local).chain(routers) {
            if let Some(tensor) = wanted.next_if(|tensor| tensor.id == own.id) {
                with(tensor, &mut self.values[own.range.clone()]);
            }
        }
    }

    /// Factors of one layer; `train` names the trainable ones of a layer that [`perturb`](Self::perturb) chose, so that
    /// they are perturbed. Of two adapters those of the global one.
    pub fn site(&self, block: usize, module: Module, train: bool) -> Option<Site<'_>> {
        let entry = self.entry(block, module)?;
        Some(self.factors(entry, &entry.own, train && self.group == Group::Global))
    }

    pub(super) fn entry(&self, block: usize, module: Module) -> Option<&Entry> {
        let slot = *self.index.get(block * 7 + module as usize)?;
        self.entries.get(usize::from(slot).checked_sub(1)?)
    }

    pub(super) fn factors(&self, e: &Entry, parts: &Parts, train: bool) -> Site<'_> {
        let factor = |part: &Part| Factor {
            values: self.part(part),
            tensor: match part {
                Part::Trained(tensor) if train && e.perturbed => Some(tensor.id),
                _ => None,
            },
        };
        let core = parts.core.as_ref().map(factor);
        let (down, up) = (factor(&parts.down), factor(&parts.up));
        let layer = (e.block * 7 + e.module as usize) as u32;
        Site { layer, rank: e.rank, scale: e.scale, down, core, up }
    }

    fn empty(kind: Kind, alpha: f32, blocks: usize) -> Self {
        Self {
            kind,
            alpha,
            entries: Vec::new(),
            index: vec![0; blocks * 7],
            values: Vec::new(),
            frozen: Vec::new(),
            routers: None,
            policy: Policy::Global,
            group: Group::Global,
        }
    }

    fn push(&mut self, entry: Entry) {
        let slot = entry.block * 7 + entry.module as usize;
        self.entries.push(entry);
        self.index[slot] = self.entries.len() as u16;
    }

    fn place(&mut self, id: TensorId, len: usize) -> Tensor {
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

impl Parts {
    pub(super) fn trained(&self) -> impl Iterator<Item = &Tensor> {
        let parts = [Some(&self.down), self.core.as_ref(), Some(&self.up)].into_iter().flatten();
        parts.filter_map(|part| match part {
            Part::Trained(tensor) => Some(tensor),
            Part::Frozen(_) => None,
        })
    }
}

impl Part {
    pub(super) fn range(&self) -> Range<usize> {
        match self {
            Self::Trained(tensor) => tensor.range.clone(),
            Self::Frozen(range) => range.clone(),
        }
    }
}

/// Two ranges of `numbers`, the first of which comes first.
fn two(numbers: &mut [f32], a: Range<usize>, b: Range<usize>) -> (&mut [f32], &mut [f32]) {
    let (head, tail) = numbers.split_at_mut(b.start);
    (&mut head[a], &mut tail[..b.len()])
}

/// Row i of A = R·Q, where `core` is R and `down` is Q.
pub(super) fn merged_row(core: &[f32], down: &[f32], rank: usize, i: usize, row: &mut [f32]) {
    row.fill(0.0);
    for (c, q) in core[i * rank..][..rank].iter().zip(down.chunks_exact(row.len())) {
        row.iter_mut().zip(q).for_each(|(a, q)| *a += c * q);
    }
}
