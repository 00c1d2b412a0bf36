//! A pass backwards, by checkpoints: on the way forward inputs of blocks from the lowest adapted one on are kept; then, from the
//! top, each block is computed anew and its adjoint rules run, last operation first. At no time is more than one
//! block's working held, no weight is held in another form, and nothing is computed below the lowest layer that trains.
//!
//! Weights are needed twice more per block, going down: a streamed model reads block b − 1 ahead.

use super::checkpoints::Keeping;
use super::forward::{Net, Pass};
use super::layout::Kept;
use super::routes::Routes;
use super::{Checkpoints, Module, PassError};
use crate::adapter::Sees;
use crate::dual::{
    Attended, Contribution, DualRows, DualRowsMut, Gradient, Held, LinearScratch, Qkv, RouteAdjoint, Router,
    Stack, attend_adjoint, attend_batch, gate_adjoint, linear_adjoint, linear_gradient,
};
use sprig_budget::{BudgetError, Bytes};

/// How far down a block's adjoints are wanted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    /// Down to the inputs of its gate and up layers.
    FeedForward,
    /// Down to the output of its attention.
    Output,
    /// Down to the inputs of its query, key and value layers.
    Projections,
    /// Down to its own input.
    Below,
}

impl<'a> Pass<'a> {
    /// A pass that will go [`backward`](Self::backward): it keeps the inputs of the blocks from `lowest` on.
    ///
    /// # Errors
    /// [`BudgetError`] where fewer blocks were laid out.
    pub fn keeping(mut self, lowest: usize) -> Result<Self, BudgetError> {
        let (g, size) = (self.net.model.geometry(), self.layout.size());
        let asked = Checkpoints { blocks: g.blocks - lowest.min(g.blocks), ..size.kept };
        if asked.inputs() > size.kept.inputs() {
            let of = |kept: Checkpoints| Bytes::of::<f32>(kept.inputs() * size.positions * g.width);
            return Err(BudgetError::ArenaExhausted {
                planned: of(size.kept),
                used: Bytes::ZERO,
                asked: of(asked),
            });
        }
        self.keeping = Some(Keeping::new(lowest, asked));
        Ok(self)
    }

    /// Keeps the residual stream as the input of block `b`, if it is one of those to be kept now.
    pub(super) fn keep_input(&mut self, b: usize) {
        let Some(place) = self.keeping.and_then(|keeping| keeping.place(b)) else { return };
        let x = self.buffers.residual.rows().data();
        self.buffers.kept.inputs[place * x.len()..][..x.len()].copy_from_slice(x);
    }

    /// Where the input of block `b` is kept; it and those of its run are computed anew if they are not.
    fn input(&mut self, b: usize) -> Result<usize, BudgetError> {
        let keeping = self.keeping.as_mut().expect("only a pass that keeps inputs goes backwards");
        if let Some(place) = keeping.place(b) {
            return Ok(place);
        }
        let (first, missing) = keeping.enter(b);
        let place = keeping.place(b).expect("the run that was entered has all its places");
        let (x, inputs) = (self.buffers.residual.data(), &self.buffers.kept.inputs);
        x.copy_from_slice(&inputs[first * x.len()..][..x.len()]);
        self.blocks(missing)?;
        self.keep_input(b);
        Ok(place)
    }

    /// Adds to `gradient` the gradient of a loss with the derivatives that were left in the
    /// [`slopes`](super::Read::slopes) of [`read`](Self::read), with the same `rows`, `targets` and `lists`. Positions
    /// contribute in their order. Routers that train are `held` to the global adapter. The pass is used up: its residual stream is no longer that of its end.
    ///
    /// # Errors
    /// [`PassError::Budget`] unless the pass is [`keeping`](Self::keeping) what it needs.
    pub fn backward<'c>(
        &mut self,
        rows: &[usize],
        targets: &[u32],
        lists: impl Iterator<Item = (usize, &'c [u32])> + Clone,
        held: Option<Held<'_>>,
        gradient: &mut dyn Gradient,
    ) -> Result<(), PassError> {
        let blocks = self.net.model.geometry().blocks;
        let first = self.keeping.map_or(blocks, |keeping| keeping.first);
        self.head_adjoint(rows, targets, lists)?;
        let Some((lowest, module)) = (first..blocks).find_map(|b| Some((b, self.net.lowest(b)?))) else {
            return Ok(());
        };
        for b in (lowest..blocks).rev() {
            let place = self.input(b)?;
            self.net.model.foresee((b > lowest).then(|| b - 1));
            let reach = if b > lowest { Reach::Below } else { Reach::of(module) };
            self.block_adjoint((b, place), reach, held, gradient)?;
        }
        Ok(())
    }

    /// The adjoint of the residual stream at the end of the pass.
    fn head_adjoint<'c>(
        &mut self,
        rows: &[usize],
        targets: &[u32],
        lists: impl Iterator<Item = (usize, &'c [u32])> + Clone,
    ) -> Result<(), BudgetError> {
        let (net, kept, d) = (&self.net, &mut self.buffers.kept, self.net.model.geometry().width);
        let (x, n) = (self.buffers.residual.rows(), rows.len());
        let candidates: usize = lists.clone().map(|(_, list)| list.len()).sum();
        let (stats, rest) = self.buffers.stats.split_at(4 * n + candidates);
        let (of_rows, mut of_candidates) = rest[..3 * n + candidates].split_at(3 * n);
        kept.adjoint[..x.data().len()].fill(0.0);
        let mut add = |position: usize, y: &mut [f32]| {
            let at = position * d..position * d + y.len();
            let stack = Stack::plain(y.len() / d);
            let x = DualRows::new(&x.data()[at.clone()], d, stack);
            let y = DualRowsMut::new(y, d, stack);
            let out = DualRowsMut::new(&mut kept.adjoint[at], d, stack);
            net.norm_adjoint(net.model.final_norm(), x, y, out);
        };
        let mut shared = self.shared.scope();
        let scratch = self.layout.head_rows(&mut shared)?;
        if n > 0 {
            let pull = &mut kept.work[..n * d];
            net.head().statistics_adjoint(targets, &stats[3 * n..4 * n], of_rows, pull, scratch);
            // Neighbours in the text go through the norm together.
            let mut from = 0;
            for to in 1..=n {
                if to == n || rows[to] != rows[to - 1] + 1 {
                    add(rows[from], &mut pull[from * d..to * d]);
                    from = to;
                }
            }
        }
        let (hidden, row) = scratch.split_at_mut(d);
        for (position, list) in lists {
            let (slopes, rest) = of_candidates.split_at(list.len());
            of_candidates = rest;
            hidden.fill(0.0);
            net.head().candidates_adjoint(list, slopes, hidden, &mut row[..d]);
            add(position, hidden);
        }
        Ok(())
    }

    /// From the adjoint of block `b`'s output, in place, that of its input, and its share of the gradient. Its input is the
    /// one in `place` of those kept.
    fn block_adjoint(
        &mut self,
        (b, place): (usize, usize),
        reach: Reach,
        held: Option<Held<'_>>,
        gradient: &mut dyn Gradient,
    ) -> Result<(), BudgetError> {
        let Self { net, layout, buffers, shared, .. } = self;
        let (n, positions) = (buffers.residual.rows().data().len(), buffers.residual.stack().positions);
        let Kept { inputs, adjoint, work, projected, attended, lse, unturned, joined } = &mut buffers.kept;
        let input = &inputs[place * n..(place + 1) * n];
        let x = DualRows::new(input, net.model.geometry().width, Stack::plain(positions));
        buffers.routes.decide(net, (b, x), false, None);
        let Routes { shares, decided, pull, scratch: route_scratch, .. } = &mut buffers.routes;
        let shares = decided.then(|| shares.rows());
        let embed = |token, row: &mut [f32]| net.embed(token, row);
        let router = shares.and_then(|_| net.router(b, x, true, &embed));
        let below = |router: &Router<'_>| reach == Reach::Below && router.goes_through();
        let router = router.filter(|router| router.route.weights.tensor.is_some() || below(router));
        let mut pull = router.map(|_| &mut pull[..positions]);
        // One router of all blocks gets what they all lead back, in the end: so its sums are in the order of the examples.
        let ends = route_ends(net, b);
        pull.iter_mut().filter(|_| ends.first).for_each(|pull| pull.fill(0.0));
        let mut block = BlockAdjoint {
            net,
            b,
            input,
            shares,
            residual: buffers.residual.reborrow(),
            normed: &mut *buffers.normed,
            adjoint: &mut adjoint[..n],
            work,
            projected,
            attended,
            lse,
            unturned,
            joined,
            scratch: &mut buffers.scratch,
            to: Contribution { gradient: &mut *gradient, shares: pull.as_deref_mut() },
        };
        block.attention();
        let mut shared = shared.scope();
        let projections = layout.projections(&mut shared)?;
        block.feed_forward_adjoint(projections, reach);
        block.attention_adjoint(projections, reach);
        let held = held.map(|held| Held { weight: held.weight * ends.blocks, ..held });
        if let (Some(router), Some(pull), Some(shares)) = (router.filter(|_| ends.last), pull, shares) {
            let through = below(&router).then(|| DualRowsMut::new(&mut adjoint[..n], x.width(), x.stack()));
            let to = RouteAdjoint { shares, pull, held, gradient, input: through, work };
            router.adjoint(to, route_scratch);
        }
        Ok(())
    }
}

impl Reach {
    /// Where the lowest layer that trains is `module`.
    fn of(module: Module) -> Self {
        match module {
            Module::Down | Module::Gate | Module::Up => Self::FeedForward,
            Module::O => Self::Output,
            Module::Q | Module::K | Module::V => Self::Projections,
        }
    }
}

/// One block on the way back. Rows of R positions.
struct BlockAdjoint<'p, 'a> {
    net: &'p Net<'a>,
    b: usize,
    /// The block's input, R × d.
    input: &'p [f32],
    /// Shares of the global one of two adapters.
    shares: Option<DualRows<'p>>,
    /// What its attention makes of that, R × d.
    residual: DualRowsMut<'p>,
    normed: &'p mut [f32],
    /// The adjoint of its output, then of the middle, then of its input; R × d.
    adjoint: &'p mut [f32],
    work: &'p mut [f32],
    projected: &'p mut [f32],
    attended: &'p mut [f32],
    lse: &'p mut [f32],
    /// Queries and keys before their norms, where there are any.
    unturned: &'p mut [f32],
    /// What a branch's last layer gave, or the adjoint of that, where a norm follows.
    joined: &'p mut [f32],
    scratch: &'p mut LinearScratch<'a>,
    to: Contribution<'p>,
}

impl BlockAdjoint<'_, '_> {
    /// The attention anew: queries, keys, values, its output and log-sum-exp are kept, the residual stream is what enters the
    /// feed-forward part.
    fn attention(&mut self) {
        let (net, b, stack, shares) = (self.net, self.b, self.residual.stack(), self.shares);
        let g = net.model.geometry();
        self.residual.data().copy_from_slice(self.input);
        let x = net.norm(&net.model.block(b).attention_norm, self.residual.rows(), self.normed);
        let layers = [Module::Q, Module::K, Module::V].map(|module| net.layer(b, module, shares));
        let [mut q, mut k, mut v] = net.project(layers, x, self.projected, self.scratch);
        net.add_biases(b, [&mut q, &mut k, &mut v]);
        if !self.unturned.is_empty() {
            let rows = [q.rows().data(), k.rows().data()];
            let (to_q, to_k) = self.unturned.split_at_mut(rows[0].len());
            to_q.copy_from_slice(rows[0]);
            to_k[..rows[1].len()].copy_from_slice(rows[1]);
        }
        net.turn(b, [&mut q, &mut k], |i| net.place(i));
        let qkv = Qkv { q: q.rows(), k: k.rows(), v: v.rows() };
        let mut out = DualRowsMut::new(self.attended, g.q_width(), stack);
        let lse = &mut self.lse[..stack.positions * g.heads];
        attend_batch(net.env.ctx, g.attention(b), &net.env.batch.rows, qkv, out.reborrow(), Some(lse));
        let layer = (b, Module::O, net.layer(b, Module::O, shares));
        net.join(layer, out.rows(), &mut self.residual, self.joined, self.scratch);
    }

    /// ȳ of the block to that of the middle: h̄ = ȳ·Down, then gate and up, then the norm. `projections` holds gate and up.
    fn feed_forward_adjoint(&mut self, projections: &mut [f32], reach: Reach) {
        let (net, b, stack) = (self.net, self.b, self.residual.stack());
        let (g, gain) = (net.model.geometry(), &net.model.block(b).ffn_norm);
        let y = DualRows::new(self.adjoint, g.width, stack);
        let x = net.norm(gain, self.residual.rows(), self.normed);
        let [gate, up, down] =
            [Module::Gate, Module::Up, Module::Down].map(|module| net.trained_layer(b, module, self.shares));
        let [mut a, mut u] = net.project([gate, up], x, projections, self.scratch);
        let room = (&mut *self.joined, &mut *self.work, &mut *self.normed);
        let y = net.down_adjoint((b, down), [a.rows(), u.rows()], y, room, self.scratch);
        let mut h = zeros(self.work, g.ffn, stack);
        linear_adjoint(&net.env, down, y, h.reborrow(), self.scratch);
        gate_adjoint(net.env.ctx, g.family.curve, a.reborrow(), u.reborrow(), h.reborrow());
        linear_gradient(&net.env, down, h.rows(), y, self.to.reborrow(), self.scratch);
        let x = net.norm(gain, self.residual.rows(), self.normed);
        for (layer, y) in [(gate, a.rows()), (up, u.rows())] {
            linear_gradient(&net.env, layer, x, y, self.to.reborrow(), self.scratch);
        }
        if reach == Reach::FeedForward {
            return;
        }
        let mut x = zeros(self.work, g.width, stack);
        for (layer, y) in [(gate, a.rows()), (up, u.rows())] {
            linear_adjoint(&net.env, layer, y, x.reborrow(), self.scratch);
        }
        let middle = DualRowsMut::new(self.adjoint, g.width, stack);
        net.norm_adjoint(gain, self.residual.rows(), x, middle);
    }

    /// The adjoint of the middle to that of the block's input: ō, then those of q, k and v, then the norm.
    fn attention_adjoint(&mut self, projections: &mut [f32], reach: Reach) {
        if reach < Reach::Output {
            return;
        }
        let (net, b, stack) = (self.net, self.b, self.residual.stack());
        let (g, env, gain) = (net.model.geometry(), &net.env, &net.model.block(b).attention_norm);
        let y = DualRows::new(self.adjoint, g.width, stack);
        let out = DualRows::new(self.attended, g.q_width(), stack);
        let layer = net.trained_layer(b, Module::O, self.shares);
        let room = (&mut *self.joined, &mut *self.work);
        let y = net.join_adjoint((b, Module::O, layer), out, y, room, self.scratch);
        linear_gradient(env, layer, out, y, self.to.reborrow(), self.scratch);
        if reach < Reach::Projections {
            return;
        }
        let mut out_adjoint = zeros(self.work, g.q_width(), stack);
        linear_adjoint(env, layer, y, out_adjoint.reborrow(), self.scratch);
        let widths = [g.q_width(), g.kv_width(), g.kv_width()];
        let [q, k, v] = DualRowsMut::split(self.projected, stack, widths);
        let qkv = Qkv { q: q.rows(), k: k.rows(), v: v.rows() };
        let attended = Attended { qkv, out, lse: self.lse, out_adjoint: out_adjoint.rows() };
        let [mut q, mut k, mut v] = DualRowsMut::split(projections, stack, widths);
        let adjoints = [q.reborrow(), k.reborrow(), v.reborrow()];
        attend_adjoint(env.ctx, g.attention(b), &env.batch.rows, attended, adjoints);
        let unturned = (!self.unturned.is_empty()).then(|| {
            let (of_q, of_k) = self.unturned.split_at(stack.positions * g.q_width());
            [DualRows::new(of_q, g.q_width(), stack), DualRows::new(of_k, g.kv_width(), stack)]
        });
        net.turn_adjoint(b, unturned, [&mut q, &mut k]);
        let input = DualRows::new(self.input, g.width, stack);
        let x = net.norm(gain, input, self.normed);
        let layers = [(Module::Q, q.rows()), (Module::K, k.rows()), (Module::V, v.rows())];
        let layers = layers.map(|(module, y)| (net.trained_layer(b, module, self.shares), y));
        for (layer, y) in layers {
            linear_gradient(env, layer, x, y, self.to.reborrow(), self.scratch);
        }
        if reach < Reach::Below {
            return;
        }
        let mut x = zeros(self.work, g.width, stack);
        for (layer, y) in layers {
            linear_adjoint(env, layer, y, x.reborrow(), self.scratch);
        }
        net.norm_adjoint(gain, input, x, DualRowsMut::new(self.adjoint, g.width, stack));
    }
}

/// Where a router's way back begins and ends.
struct Ends {
    /// In this block.
    first: bool,
    last: bool,
    /// How many blocks it decides for.
    blocks: f32,
}

fn route_ends(net: &Net<'_>, b: usize) -> Ends {
    let own = Ends { first: true, last: true, blocks: 1.0 };
    let Some(adapter) = net.adapter else { return own };
    match adapter.routing().map(|routing| routing.sees) {
        Some(Sees::Text) => Ends {
            first: adapter.routed().last() == Some(b),
            last: adapter.routed().next() == Some(b),
            blocks: adapter.routed().len() as f32,
        },
        _ => own,
    }
}

/// Rows to add adjoints to.
fn zeros(data: &mut [f32], width: usize, stack: Stack) -> DualRowsMut<'_> {
    let mut rows = DualRowsMut::new(data, width, stack);
    rows.data().fill(0.0);
    rows
}
