//! One forward pass: values and K tangents through the blocks, then the head. Training, evaluation and generation all
//! run this; inference is the same code with K = 0.

use super::cache::KvCache;
use super::layout::{Buffers, PassLayout, row_stats};
use super::{Llama, Module, Stream};
use crate::adapter::Adapter;
use crate::dual::{
    Batch, Directions, Keeper, LinearEnv, Rope, RowStats, Site, Stack, attend_batch, attend_cache,
    candidate_logits, grow, linear, rms_norm, row_statistics, swiglu,
};
use crate::kernels::{Ctx, dequantize};
use sprig_budget::BudgetError;

/// Head rows of a tile when the weights are streamed and all logits are wanted.
pub const STREAMED_TILE: usize = 256;

/// What a pass is about.
pub struct PassInput<'a> {
    /// Token rows.
    pub batch: Batch<'a>,
    /// K; 0 for evaluation and generation.
    pub tangents: usize,
    /// Directions, needed when K > 0.
    pub directions: Option<&'a dyn Directions>,
    /// Index of the batch's first example in the whole batch, when that was split.
    pub first_example: usize,
    /// Adapter, if any.
    pub adapter: Option<&'a Adapter>,
    /// Integer products for few rows: faster decoding, logits differ from f32's by the activations' quantisation.
    pub integer: bool,
}

/// A pass under way.
pub struct Pass<'a> {
    model: &'a Llama<'a>,
    rope: &'a Rope,
    env: LinearEnv<'a>,
    adapter: Option<&'a Adapter>,
    layout: PassLayout,
    buffers: Buffers<'a>,
    shared: sprig_budget::Stack<'a>,
    cache: Option<&'a mut KvCache>,
    live: bool,
}

impl<'a> Pass<'a> {
    /// Takes its memory from `stack`, which must hold `layout.bytes()`.
    pub fn new(
        model: &'a Llama<'a>,
        rope: &'a Rope,
        ctx: &'a Ctx,
        layout: PassLayout,
        mut stack: sprig_budget::Stack<'a>,
        input: PassInput<'a>,
    ) -> Result<Self, BudgetError> {
        let buffers = layout.cut(&mut stack)?;
        let env = LinearEnv {
            ctx,
            batch: input.batch,
            tangents: input.tangents,
            directions: input.directions,
            first_example: input.first_example,
            keeper: model,
            integer: input.integer,
        };
        Ok(Self {
            model,
            rope,
            env,
            adapter: input.adapter,
            layout,
            buffers,
            shared: stack,
            cache: None,
            live: false,
        })
    }

    /// Continues the text held in `cache` instead of starting one: the batch is one example, without tangents.
    pub(super) fn with_cache(mut self, cache: &'a mut KvCache) -> Self {
        self.cache = Some(cache);
        self
    }

    /// Looks up the embeddings: the input of block 0.
    pub fn embed(&mut self) {
        let (embedding, d) = (self.model.embedding(), self.model.geometry().width);
        for (&token, row) in self.env.batch.tokens().iter().zip(self.buffers.residual.chunks_exact_mut(d)) {
            let at = token as usize;
            dequantize(self.env.ctx.isa, embedding, at..at + 1, row);
            self.model.done_with(&embedding.row_slice(at..at + 1));
        }
    }

    /// The residual stream, positions × width. Plain until the first perturbed layer: what a prefix cache stores.
    pub fn hidden(&mut self) -> &mut [f32] {
        let n = self.stack(self.live).rows() * self.model.geometry().width;
        &mut self.buffers.residual[..n]
    }

    /// The residual stream while it is plain, and as much room behind it, which nothing uses until the stream gets its
    /// tangents: for rows that are already known while others are computed. There is room only if K > 0.
    pub fn hidden_and_spare(&mut self) -> (&mut [f32], &mut [f32]) {
        let n = self.env.batch.positions() * self.model.geometry().width;
        let (hidden, rest) = self.buffers.residual.split_at_mut(n);
        (hidden, &mut rest[..n])
    }

    /// Goes on with `batch`, which must fit the layout, while the residual stream is plain. Its rows stay as they are:
    /// they are the caller's to arrange.
    pub fn change_batch(&mut self, batch: Batch<'a>) {
        self.env.batch = batch;
    }

    /// Runs blocks `range`.
    pub fn blocks(&mut self, range: std::ops::Range<usize>) -> Result<(), BudgetError> {
        for b in range {
            self.model.enter(b);
            self.attention(b)?;
            self.feed_forward(b)?;
        }
        Ok(())
    }

    /// Row statistics of the logits after each of the `wanted` positions, with tangents.
    pub fn row_statistics(&mut self, wanted: &[usize], targets: &[u32]) -> Result<RowStats<'_>, BudgetError> {
        let (n, k) = (wanted.len(), self.env.tangents);
        self.normalise(wanted);
        let mut shared = self.shared.scope();
        let d = self.model.geometry().width;
        let mut scratch = self.layout.head(&mut shared, self.buffers.scratch.panels, n, d, k)?;
        let mut stats = row_stats(self.buffers.stats, n, k);
        if n > 0 {
            row_statistics(
                self.env.ctx,
                self.model.head(),
                self.buffers.normed,
                k,
                targets,
                &mut stats,
                &mut scratch,
                self.model,
            );
        }
        Ok(stats)
    }

    /// Logits of `candidates` (one list a wanted position) with tangents: (1+K) numbers a candidate, value first.
    pub fn candidates<'c>(
        &mut self,
        wanted: &[usize],
        candidates: impl Fn(usize) -> &'c [u32],
    ) -> Result<&[f32], BudgetError> {
        self.normalise(wanted);
        let (d, group) = (self.model.geometry().width, 1 + self.env.tangents);
        let mut shared = self.shared.scope();
        let row = shared.take(d)?;
        let mut at = 0;
        for (i, hidden) in self.buffers.normed.chunks_exact(group * d).take(wanted.len()).enumerate() {
            let list = candidates(i);
            let out = &mut self.buffers.stats[at..at + list.len() * group];
            candidate_logits(self.env.ctx.isa, self.model.head(), hidden, list, out, row, self.model);
            at += list.len() * group;
        }
        Ok(&self.buffers.stats[..at])
    }

    /// All logits after `position` into `out` (vocabulary long): for sampling and for tests.
    pub fn logits(&mut self, position: usize, out: &mut [f32]) {
        use crate::kernels::{Rows, RowsMut, Write, matmul, matvec};
        self.normalise(&[position]);
        let (head, streamed) = (self.model.head(), self.model.stream().is_some_and(Stream::is_on));
        let x = Rows::new(&self.buffers.normed[..head.cols()], 1, head.cols());
        let tile = if streamed { STREAMED_TILE } else { head.rows() };
        for (t, out) in out.chunks_mut(tile).enumerate() {
            let rows = head.row_slice(t * tile..t * tile + out.len());
            self.model.about_to_use(&rows, None);
            let y = RowsMut::new(out, 1, rows.rows());
            match self.env.integer {
                true => matvec(self.env.ctx, x, &rows, y, Write::Set, self.buffers.scratch.panels),
                false => matmul(self.env.ctx, x, &rows, y, Write::Set, self.buffers.scratch.panels),
            }
            self.model.done_with(&rows);
        }
    }

    fn stack(&self, live: bool) -> Stack {
        Stack { positions: self.env.batch.positions(), tangents: if live { self.env.tangents } else { 0 } }
    }

    fn site(&self, block: usize, module: Module) -> Option<Site<'a>> {
        self.adapter.and_then(|a| a.site(block, module, self.env.tangents > 0))
    }

    /// Gives the residual stream its tangent rows, once.
    fn enliven(&mut self, live: bool) {
        if live && !self.live {
            grow(self.buffers.residual, self.stack(true), self.model.geometry().width);
            self.live = true;
        }
    }

    fn attention(&mut self, b: usize) -> Result<(), BudgetError> {
        let (g, block, ctx) = (self.model.geometry(), self.model.block(b), self.env.ctx);
        let modules = [Module::Q, Module::K, Module::V];
        let sites = modules.map(|m| self.site(b, m));
        let live = self.live || sites.iter().flatten().any(Site::trains);
        let stack = self.stack(live);
        rms_norm(
            ctx,
            self.stack(self.live),
            self.buffers.residual,
            &block.attention_norm,
            g.norm_epsilon,
            self.buffers.normed,
        );
        let mut shared = self.shared.scope();
        let projections = self.layout.projections(&mut shared)?;
        let (q, rest) = projections.split_at_mut(stack.rows() * g.q_width());
        let (k, rest) = rest.split_at_mut(stack.rows() * g.kv_width());
        let v = &mut rest[..stack.rows() * g.kv_width()];
        for ((module, site), out) in modules.iter().zip(&sites).zip([&mut *q, &mut *k, &mut *v]) {
            let x = &*self.buffers.normed;
            linear(
                &self.env,
                block.linear(*module),
                site.as_ref(),
                x,
                self.live,
                out,
                live,
                false,
                &mut self.buffers.scratch,
            );
        }
        let (past, batch) = (self.cache.as_ref().map_or(0, |c| c.len()), self.env.batch);
        let position = |i: usize| past + i - batch.span(batch.example_of(i)).start;
        self.rope.apply(ctx, stack, g.q_width(), g.head_dim, q, position);
        self.rope.apply(ctx, stack, g.kv_width(), g.head_dim, k, position);
        let out = &mut self.buffers.normed[..stack.rows() * g.q_width()];
        match &mut self.cache {
            Some(cache) => {
                cache.store(ctx.isa, b, k, v);
                if past == 0 {
                    attend_batch(ctx, g.attention(), &batch, stack, q, k, v, out);
                } else {
                    let (keys, values) = cache.block(b, past + stack.positions);
                    attend_cache(ctx, g.attention(), past, q, keys, values, out);
                }
            }
            None => attend_batch(ctx, g.attention(), &batch, stack, q, k, v, out),
        }
        let site = self.site(b, Module::O);
        self.enliven(live || site.as_ref().is_some_and(Site::trains));
        linear(
            &self.env,
            block.linear(Module::O),
            site.as_ref(),
            self.buffers.normed,
            live,
            self.buffers.residual,
            self.live,
            true,
            &mut self.buffers.scratch,
        );
        Ok(())
    }

    fn feed_forward(&mut self, b: usize) -> Result<(), BudgetError> {
        let (g, block, ctx) = (self.model.geometry(), self.model.block(b), self.env.ctx);
        let sites = [Module::Gate, Module::Up].map(|m| self.site(b, m));
        let live = self.live || sites.iter().flatten().any(Site::trains);
        let stack = self.stack(live);
        rms_norm(
            ctx,
            self.stack(self.live),
            self.buffers.residual,
            &block.ffn_norm,
            g.norm_epsilon,
            self.buffers.normed,
        );
        let mut shared = self.shared.scope();
        let projections = self.layout.projections(&mut shared)?;
        let (gate, rest) = projections.split_at_mut(stack.rows() * g.ffn);
        let up = &mut rest[..stack.rows() * g.ffn];
        for ((module, site), out) in [Module::Gate, Module::Up].iter().zip(&sites).zip([&mut *gate, &mut *up])
        {
            let x = &*self.buffers.normed;
            linear(
                &self.env,
                block.linear(*module),
                site.as_ref(),
                x,
                self.live,
                out,
                live,
                false,
                &mut self.buffers.scratch,
            );
        }
        swiglu(ctx, stack, g.ffn, gate, up);
        let site = self.adapter.and_then(|a| a.site(b, Module::Down, self.env.tangents > 0));
        let now_live = live || site.as_ref().is_some_and(Site::trains);
        if now_live && !self.live {
            grow(
                self.buffers.residual,
                Stack { positions: stack.positions, tangents: self.env.tangents },
                g.width,
            );
            self.live = true;
        }
        linear(
            &self.env,
            block.linear(Module::Down),
            site.as_ref(),
            gate,
            live,
            self.buffers.residual,
            now_live,
            true,
            &mut self.buffers.scratch,
        );
        Ok(())
    }

    /// Final norm of the `wanted` positions into the first rows of `normed`, with tangent rows whenever K > 0.
    fn normalise(&mut self, wanted: &[usize]) {
        self.enliven(self.env.tangents > 0);
        let g = self.model.geometry();
        let group = (1 + self.env.tangents) * g.width;
        let one = Stack { positions: 1, tangents: self.env.tangents };
        for (out, &position) in self.buffers.normed.chunks_exact_mut(group).zip(wanted) {
            let x = &self.buffers.residual[position * group..(position + 1) * group];
            rms_norm(self.env.ctx, one, x, self.model.final_norm(), g.norm_epsilon, out);
        }
    }
}
