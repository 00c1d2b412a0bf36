//! One forward pass: values and K tangents through the blocks, then the head. Training, evaluation and generation all
//! run this; inference is the same code with K = 0.

use super::cache::KvCache;
use super::checkpoints::Keeping;
use super::layout::{Buffers, PassLayout};
use super::{Module, PassError, Ropes, Transformer};
use crate::adapter::Adapter;
use crate::dual::{
    Batch, Blend, Cached, DualBatch, DualRows, DualRowsMut, Head, Layer, LinearEnv, LinearScratch, Qkv, Site,
    attend_batch, attend_cache, gate, linear, rms_norm, rms_norm_adjoint,
};
use crate::kernels::{Ctx, Write};
use sprig_budget::BudgetError;

/// What a pass is about.
pub struct PassInput<'a> {
    /// Token rows, and the directions they carry.
    pub batch: DualBatch<'a>,
    /// Adapter, if any.
    pub adapter: Option<&'a Adapter>,
    /// Integer products for few rows: faster decoding, logits differ from f32's by the activations' quantisation.
    pub integer: bool,
}

/// A pass under way.
pub struct Pass<'a> {
    pub(super) net: Net<'a>,
    pub(super) layout: PassLayout,
    pub(super) buffers: Buffers<'a>,
    pub(super) shared: sprig_budget::Stack<'a>,
    /// Whose inputs are kept for a pass backwards.
    pub(super) keeping: Option<Keeping>,
    cache: Option<&'a mut KvCache>,
}

/// What the rows of a pass go through; nothing of it changes on the way.
pub(super) struct Net<'a> {
    pub model: &'a Transformer<'a>,
    pub env: LinearEnv<'a>,
    pub rope: &'a Ropes,
    pub adapter: Option<&'a Adapter>,
}

/// What the down projection of a block multiplies, copied out on the way.
pub struct Tap<'t> {
    /// The positions it is wanted of.
    pub positions: &'t [usize],
    /// Where it goes, positions × the block's inner width; the values alone, without tangents.
    pub rows: &'t mut [f32],
}

impl<'a> Pass<'a> {
    /// Takes its memory from `stack`, which must hold `layout.bytes()`.
    ///
    /// # Errors
    /// [`PassError::Batch`] for more tangents than a pass can carry, [`PassError::Budget`] for more rows than were laid
    /// out.
    pub fn new(
        model: &'a Transformer<'a>,
        rope: &'a Ropes,
        ctx: &'a Ctx,
        layout: PassLayout,
        mut stack: sprig_budget::Stack<'a>,
        input: PassInput<'a>,
    ) -> Result<Self, PassError> {
        let PassInput { batch, adapter, integer } = input;
        batch.check()?;
        let buffers = layout.cut(&mut stack, batch.rows.positions(), model.geometry().width)?;
        let env = LinearEnv { ctx, batch, keeper: model, integer };
        let net = Net { model, env, rope, adapter };
        Ok(Self { net, layout, buffers, shared: stack, keeping: None, cache: None })
    }

    /// Continues the text held in `cache` instead of starting one: the batch is one example, without tangents.
    pub(super) fn with_cache(mut self, cache: &'a mut KvCache) -> Self {
        self.cache = Some(cache);
        self
    }

    /// Looks up the embeddings: the input of block 0.
    pub fn embed(&mut self) {
        let d = self.net.model.geometry().width;
        let rows = self.buffers.residual.data().chunks_exact_mut(d);
        for (&token, row) in self.net.env.batch.rows.tokens().iter().zip(rows) {
            self.net.embed(token, row);
        }
    }

    /// The residual stream, positions × width. Plain until the first perturbed layer: what a prefix cache stores.
    pub fn hidden(&mut self) -> &mut [f32] {
        self.buffers.residual.data()
    }

    /// Goes on with `batch`, which must fit the layout, while the residual stream is plain. Its rows stay as they are:
    /// they are the caller's to arrange.
    pub fn change_batch(&mut self, batch: Batch<'a>) {
        self.net.env.batch.rows = batch;
        self.buffers.residual.restart(batch.positions());
    }

    /// Runs blocks `range`.
    ///
    /// # Errors
    /// [`BudgetError`] where they need more than was laid out.
    pub fn blocks(&mut self, range: std::ops::Range<usize>) -> Result<(), BudgetError> {
        range.into_iter().try_for_each(|b| self.block(b, None))
    }

    /// Runs block `b` and copies what its down projection multiplies.
    ///
    /// # Errors
    /// As [`blocks`](Self::blocks).
    pub fn tapped_block(&mut self, b: usize, tap: Tap<'_>) -> Result<(), BudgetError> {
        self.block(b, Some(tap))
    }

    fn block(&mut self, b: usize, tap: Option<Tap<'_>>) -> Result<(), BudgetError> {
        self.net.model.foresee(Some(b + 1));
        self.keep_input(b);
        self.route(b);
        self.attention(b)?;
        self.feed_forward(b, tap)
    }

    /// Decides which adapter answers in block `b`.
    fn route(&mut self, b: usize) {
        let Self { net, buffers: Buffers { residual, routes, .. }, cache, .. } = self;
        let memory = cache.as_mut().and_then(|cache| cache.routes.as_mut());
        routes.decide(net, (b, residual.rows()), net.env.batch.tangents() > 0, memory);
    }

    /// Examples of the pass.
    pub fn examples(&self) -> usize {
        self.net.env.batch.rows.examples()
    }

    /// Mean share of the global adapter in each example, routed block after routed block; nothing where no router was asked.
    pub fn shares(&self) -> &[f32] {
        let blocks = self.net.adapter.filter(|_| self.buffers.routes.asked).map_or(0, |a| a.routed().len());
        let n = blocks * self.net.env.batch.rows.examples();
        self.buffers.routes.means.get(..n).unwrap_or(&[])
    }

    /// What the routers looked at in each example, routed block after routed block, where that was laid out.
    pub fn features(&self) -> &[f32] {
        self.buffers.routes.features
    }

    fn attention(&mut self, b: usize) -> Result<(), BudgetError> {
        let Self { net, layout, buffers, shared, cache, .. } = self;
        let Buffers { residual, normed, scratch, routes, .. } = buffers;
        let shares = routes.shares();
        let (g, ctx, batch) = (net.model.geometry(), net.env.ctx, net.env.batch.rows);
        let mut shared = shared.scope();
        let projections = layout.projections(&mut shared)?;
        let x = net.norm(&net.model.block(b).attention_norm, residual.rows(), normed);
        let layers = [Module::Q, Module::K, Module::V].map(|module| net.layer(b, module, shares));
        let [mut q, mut k, mut v] = net.project(layers, x, projections, scratch);
        let past = cache.as_ref().map_or(0, |c| c.len());
        net.add_biases(b, [&mut q, &mut k, &mut v]);
        net.turn(b, [&mut q, &mut k], |i| past + net.place(i));
        let qkv = Qkv { q: q.rows(), k: k.rows(), v: v.rows() };
        let mut out = DualRowsMut::new(normed, g.q_width(), qkv.q.stack());
        if let Some(cache) = cache {
            cache.store(ctx.isa, b, qkv.k.data(), qkv.v.data());
        }
        match cache {
            Some(cache) if past > 0 => {
                let (keys, values) = cache.block(b, past + batch.positions());
                attend_cache(ctx, g.attention(b), Cached { past, keys, values }, qkv.q.data(), out.data());
            }
            _ => attend_batch(ctx, g.attention(b), &batch, qkv, out.reborrow(), None),
        }
        let layer = (b, Module::O, net.layer(b, Module::O, shares));
        net.join(layer, out.rows(), residual, projections, scratch);
        Ok(())
    }

    fn feed_forward(&mut self, b: usize, tap: Option<Tap<'_>>) -> Result<(), BudgetError> {
        let Self { net, layout, buffers, shared, .. } = self;
        let Buffers { residual, normed, scratch, routes, .. } = buffers;
        let shares = routes.shares();
        let mut shared = shared.scope();
        let projections = layout.projections(&mut shared)?;
        let x = net.norm(&net.model.block(b).ffn_norm, residual.rows(), normed);
        let layers = [Module::Gate, Module::Up].map(|module| net.layer(b, module, shares));
        let [mut gated, up] = net.project(layers, x, projections, scratch);
        gate(net.env.ctx, net.model.geometry().family.curve, gated.reborrow(), up.rows());
        if let Some(Tap { positions, rows }) = tap {
            let (gated, width) = (gated.rows(), gated.width());
            for (&position, row) in positions.iter().zip(rows.chunks_exact_mut(width)) {
                row.copy_from_slice(&gated.from(position).data()[..width]);
            }
        }
        let layer = (b, Module::Down, net.layer(b, Module::Down, shares));
        net.join(layer, gated.rows(), residual, normed, scratch);
        Ok(())
    }
}

impl<'a> Net<'a> {
    /// A linear layer with its adapter, or its two with the global one's `shares`, whose trainable factors are named where
    /// there are tangents.
    pub(super) fn layer<'s>(
        &'s self,
        block: usize,
        module: Module,
        shares: Option<DualRows<'s>>,
    ) -> Layer<'s> {
        self.layer_as(block, module, self.env.batch.tangents() > 0, shares)
    }

    /// The same with its trainable factors named.
    pub(super) fn trained_layer<'s>(
        &'s self,
        block: usize,
        module: Module,
        shares: Option<DualRows<'s>>,
    ) -> Layer<'s> {
        self.layer_as(block, module, true, shares)
    }

    fn layer_as<'s>(
        &'s self,
        block: usize,
        module: Module,
        train: bool,
        shares: Option<DualRows<'s>>,
    ) -> Layer<'s> {
        let weight = self.model.block(block).linear(module);
        let Some((first, second)) = self.adapter.and_then(|adapter| adapter.sites(block, module, train))
        else {
            return Layer { weight, site: None, blend: None };
        };
        let blend = second.zip(shares).map(|(other, shares)| Blend { other, shares });
        Layer { weight, site: Some(first), blend }
    }

    /// The output head.
    pub(super) fn head(&self) -> Head<'_> {
        Head { ctx: self.env.ctx, weight: self.model.head(), keeper: self.env.keeper }
    }

    /// RMSNorm of `x` into the first rows of `out`.
    pub(super) fn norm<'o>(&self, gain: &[f32], x: DualRows<'_>, out: &'o mut [f32]) -> DualRows<'o> {
        let mut out = DualRowsMut::new(out, x.width(), x.stack());
        rms_norm(self.env.ctx, x, gain, self.model.geometry().norm_epsilon, out.reborrow());
        out.into_rows()
    }

    /// The lowest layer of a block whose output a pass backwards has to get to: one that trains, or one that has an adapter
    /// where the block's router trains.
    pub(super) fn lowest(&self, block: usize) -> Option<Module> {
        let route = self.adapter.and_then(|adapter| adapter.route(block, true));
        let routed = route.is_some_and(|route| route.weights.tensor.is_some());
        Module::ALL.into_iter().find(|&module| {
            let sites = self.adapter.and_then(|adapter| adapter.sites(block, module, true));
            let (first, second) = sites.map_or((None, None), |(first, second)| (Some(first), second));
            routed && first.is_some() || first.iter().chain(&second).any(Site::trains)
        })
    }

    /// Place of a position in its text.
    pub(super) fn place(&self, position: usize) -> usize {
        self.env.batch.rows.place(position)
    }

    /// Adds to `x_adjoint` what follows from `y_adjoint`, which is used up, of an RMSNorm of `x`.
    pub(super) fn norm_adjoint(
        &self,
        gain: &[f32],
        x: DualRows<'_>,
        y_adjoint: DualRowsMut<'_>,
        x_adjoint: DualRowsMut<'_>,
    ) {
        let epsilon = self.model.geometry().norm_epsilon;
        rms_norm_adjoint(self.env.ctx, x, gain, epsilon, y_adjoint, x_adjoint);
    }

    /// What `layers` make of `x`, one after another in `out`; all live if one of them trains.
    pub(super) fn project<'o, const N: usize>(
        &self,
        layers: [Layer<'_>; N],
        x: DualRows<'_>,
        out: &'o mut [f32],
        scratch: &mut LinearScratch<'_>,
    ) -> [DualRowsMut<'o>; N] {
        let stack = self.env.batch.behind(x.stack(), layers.iter().any(Layer::moves));
        let mut outs = DualRowsMut::split(out, stack, layers.map(|layer| layer.weight.rows()));
        for (layer, out) in layers.into_iter().zip(&mut outs) {
            linear(&self.env, layer, x, out.reborrow(), Write::Set, scratch);
        }
        outs
    }
}
