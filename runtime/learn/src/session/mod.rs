//! Runs batches through a model inside one arena: losses, hits and directional derivatives, example by example.

mod losses;
mod routes;

use crate::error::LearnError;
use crate::minibatch::Minibatch;
use crate::objective::{Dual, Lists, Objective};
use crate::outcome::Outcome;
use crate::prefix::PrefixCache;
use crate::workload::{Room, Tuning};
use losses::{Losses, Parts};
use routes::Routes;
use sprig_budget::{Arena, Bytes, held_zeros};
use sprig_engine::adapter::Adapter;
use sprig_engine::dual::{DualBatch, Gradient, Mask, Probe, Rope};
use sprig_engine::kernels::Ctx;
use sprig_engine::model::{Geometry, Pass, PassInput, PassLayout, Ropes, Tap, Transformer};
use std::sync::Arc;

/// A model, its working memory and the buffers of one batch.
pub struct Session<'m> {
    model: &'m Transformer<'m>,
    ctx: &'m Ctx,
    rope: Ropes,
    layout: PassLayout,
    arena: Arena,
    prefix: Option<PrefixCache>,
    objective: Arc<dyn Objective>,
    lists: Lists,
    parts: Parts,
    /// Most losses of a pass: one a tangent and example.
    losses: usize,
    routes: Routes,
}

/// What the last block makes of the last row of each example of a batch, on the model as it is.
#[derive(Debug)]
pub struct LastRows {
    /// What its down projection multiplies, examples × its inputs.
    pub gated: Vec<f32>,
    /// The stream that the final norm sees, examples × width.
    pub stream: Vec<f32>,
    positions: Vec<usize>,
}

impl<'m> Session<'m> {
    /// Allocates the arena, the rotary table and the lists of `room`, for losses of `objective`.
    pub fn new(
        model: &'m Transformer<'m>,
        ctx: &'m Ctx,
        room: Room,
        objective: Arc<dyn Objective>,
        mut prefix: Option<PrefixCache>,
    ) -> Result<Self, LearnError> {
        let Room { layout, extent, examples } = room;
        let positions = layout.size().positions;
        let wants = objective.wants(extent);
        if let Some(cache) = &mut prefix {
            cache.reserve(positions, examples, wants.sequences);
        }
        let mut lists = Lists::default();
        lists.reserve(positions, examples, wants);
        let losses = examples * layout.size().tangents.max(1);
        let parts = Parts::new(objective.weights().len(), losses);
        Ok(Self {
            model,
            ctx,
            rope: model.rope(extent.tokens),
            arena: Arena::new(layout.bytes())?,
            layout,
            prefix,
            objective,
            lists,
            parts,
            losses,
            routes: Routes::of(&layout),
        })
    }

    /// Heap bytes of a session's tables and buffers, the arena excepted, on a model with so many
    /// rotary numbers of a position.
    pub fn table_bytes(rope_numbers: usize, room: &Room, objective: &dyn Objective) -> Bytes {
        let Room { layout, extent, examples } = *room;
        let lists = Lists::bytes(layout.size().positions, examples, objective.wants(extent));
        let parts = Parts::bytes(objective.weights().len(), examples * layout.size().tangents.max(1));
        let [shares, features, weights] = Routes::numbers(&layout);
        let routes = 4 * (shares + features + weights);
        Bytes((Rope::table_bytes(extent.tokens, rope_numbers) + lists + parts + routes) as u64)
    }

    /// Holds routers that train to the global adapter, in passes backwards, with weight γ: the loss of an example gets γ times
    /// the mean of −ln q over its blocks (Flow, 3.4).
    pub fn hold(&mut self, gamma: f32, blocks: usize) {
        self.routes.held = (gamma > 0.0).then(|| gamma / blocks.max(1) as f32);
    }

    /// Mean share of the global one of two adapters in each example of the last pass, routed block after routed block.
    pub fn shares(&self) -> &[f32] {
        &self.routes.shares
    }

    /// Mean share by routed block over all examples since it was last [forgotten](Self::forget_shares); empty where no router
    /// was asked.
    pub fn mean_shares(&self) -> Vec<f64> {
        self.routes.sums.iter().map(|sum| sum / self.routes.examples.max(1) as f64).collect()
    }

    /// Begins the mean of shares anew.
    pub fn forget_shares(&mut self) {
        (self.routes.sums, self.routes.examples) = (Vec::new(), 0);
    }

    /// What routers looked at in each example of the last pass, routed block after routed block, where the layout keeps it.
    pub fn features(&self) -> &[f32] {
        &self.routes.features
    }

    /// The model.
    pub fn model(&self) -> &'m Transformer<'m> {
        self.model
    }

    /// Threads and instruction set.
    pub fn ctx(&self) -> &'m Ctx {
        self.ctx
    }

    /// Changes the largest pass. The old arena is given back before the new one is taken.
    ///
    /// # Errors
    /// [`LearnError::Budget`] if the system has no memory for the new one; the session cannot run then.
    pub fn resize(&mut self, layout: PassLayout) -> Result<(), LearnError> {
        self.arena = Arena::new(Bytes::ZERO)?;
        self.arena = Arena::new(layout.bytes())?;
        self.layout = layout;
        Ok(())
    }

    /// Goes on with other passes, panels and residency of the weights; results stay the same, bit for bit.
    ///
    /// # Errors
    /// As [`resize`](Self::resize).
    pub fn retune(&mut self, tuning: &Tuning, layout: PassLayout) -> Result<(), LearnError> {
        // What gives memory back goes first: streamed weights leave room for wider passes, which must not be held beside
        // those that were mapped.
        let stream = self.model.stream().filter(|stream| stream.is_on() != tuning.streamed);
        if let Some(stream) = stream.filter(|_| tuning.streamed) {
            stream.set(true);
        }
        self.resize(layout)?;
        self.ctx.set_panel_rows(tuning.panel_rows).map_err(|e| LearnError::Settings(e.to_string()))?;
        if let Some(stream) = stream.filter(|_| !tuning.streamed) {
            stream.set(false);
        }
        Ok(())
    }

    /// The most the arena has held: equals its size when the plan is exact.
    pub fn arena_high_water(&self) -> (Bytes, Bytes) {
        (self.arena.high_water(), self.arena.size())
    }

    /// The cache of the frozen prefix, if there is one.
    pub fn prefix(&self) -> Option<&PrefixCache> {
        self.prefix.as_ref()
    }

    /// The same, to remove it in the end.
    pub fn prefix_mut(&mut self) -> Option<&mut PrefixCache> {
        self.prefix.as_mut()
    }

    /// Most positions of one pass.
    pub fn positions(&self) -> usize {
        self.layout.size().positions
    }

    /// Share of a plain forward pass that a pass backwards computes once more because it keeps few block inputs.
    pub fn anew(&self) -> f64 {
        self.layout.size().kept.anew() as f64 / self.model.geometry().blocks as f64
    }

    /// What it learns or judges by.
    pub fn objective(&self) -> &dyn Objective {
        &*self.objective
    }

    /// Learns or judges by `objective` from now on, and returns what it did so by. It may want no more of an example than what
    /// the session was made for.
    pub fn learn_by(&mut self, objective: Arc<dyn Objective>) -> Arc<dyn Objective> {
        self.parts = Parts::new(objective.weights().len(), self.losses);
        std::mem::replace(&mut self.objective, objective)
    }

    /// Parts of the losses of the last pass, \[examples × max(K, 1) × parts\], each with its derivative along the
    /// example's direction k; nothing while the loss is of one part.
    pub fn parts(&self) -> &[Dual] {
        self.parts.values()
    }

    /// Runs the examples of `batch`. `outcomes` gets one entry an example and, with a `probe` of K tangents,
    /// `derivatives` \[examples × K\] the derivatives of each example's loss along its directions. The adapter's frozen
    /// prefix is served from the cache when there are tangents and a cache exists.
    ///
    /// # Errors
    /// [`LearnError::Settings`] for records that the objective cannot learn from, [`LearnError::Batch`] for tokens that the
    /// model does not have.
    pub fn run(
        &mut self,
        adapter: Option<&Adapter>,
        probe: Option<Probe<'_>>,
        batch: Minibatch<'_>,
        outcomes: &mut [Outcome],
        derivatives: &mut [f32],
    ) -> Result<(), LearnError> {
        self.pass(adapter, batch, Way::Along(probe, derivatives), outcomes)
    }

    /// Losses and hits of `batch` as a step of `adapter` sees them: the frozen prefix is rounded, and served from the cache, if
    /// there is one.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn judge(
        &mut self,
        adapter: &Adapter,
        batch: Minibatch<'_>,
        outcomes: &mut [Outcome],
    ) -> Result<(), LearnError> {
        self.pass(Some(adapter), batch, Way::Judging, outcomes)
    }

    /// Runs the examples of `batch` and adds to `gradient` what each contributes, in their order: the gradient of its loss by
    /// the factors of `adapter` that are perturbed, times its [weight](Outcome::weight). The session was laid out for passes
    /// backwards; the frozen prefix is served as in [`run`](Self::run).
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn differentiate(
        &mut self,
        adapter: &Adapter,
        batch: Minibatch<'_>,
        outcomes: &mut [Outcome],
        gradient: &mut dyn Gradient,
    ) -> Result<(), LearnError> {
        self.pass(Some(adapter), batch, Way::Back(gradient), outcomes)
    }

    fn pass(
        &mut self,
        adapter: Option<&Adapter>,
        batch: Minibatch<'_>,
        way: Way<'_>,
        outcomes: &mut [Outcome],
    ) -> Result<(), LearnError> {
        let Self { objective, lists, parts, routes, .. } = self;
        lists.gather(&**objective, batch)?;
        let (g, probe) = (self.model.geometry(), way.probe());
        let rows = lists.batch(g.vocabulary)?;
        let mask = batch.masks.as_ref().map(|masks| masks as &dyn Mask);
        let input = PassInput { batch: DualBatch { rows, probe, mask }, adapter, integer: false };
        let mut pass = Pass::new(self.model, &self.rope, self.ctx, self.layout, self.arena.stack(), input)?;
        let lowest = if way.starts_late() { adapter.map_or(0, Adapter::lowest_block) } else { 0 };
        if matches!(way, Way::Back(_)) {
            pass = pass.keeping(lowest)?;
        }
        match &mut self.prefix {
            Some(cache) if lowest > 0 => cache.advance(&mut pass, g, rows, batch, lowest)?,
            _ => {
                pass.embed();
                pass.blocks(0..lowest)?;
            }
        }
        pass.blocks(lowest..g.blocks)?;
        routes.take(&pass);
        let read = lists.read(&mut pass)?;
        parts.clear();
        let mut losses = Losses { objective: &**objective, lists, parts, batch, outcomes: &mut *outcomes };
        match way {
            Way::Along(probe, derivatives) => {
                losses.along(&read, probe.map_or(0, |p| p.tangents), derivatives)
            }
            Way::Judging => losses.along(&read, 0, &mut []),
            Way::Back(gradient) => {
                losses.slopes(read);
                let held = routes.held(outcomes);
                lists.backward(&mut pass, held, gradient)?;
            }
        }
        Ok(())
    }

    /// Runs the examples of `batch` as far as the final norm, and leaves in `rows` what stands there after the last token of
    /// each. Without an adapter, or with one that adds nothing and whose routers are asked what they look at.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn last_rows(
        &mut self,
        batch: Minibatch<'_>,
        adapter: Option<&Adapter>,
        rows: &mut LastRows,
    ) -> Result<(), LearnError> {
        let Self { objective, lists, model, routes, .. } = self;
        lists.gather(&**objective, batch)?;
        let g = model.geometry();
        let input = PassInput { batch: lists.batch(g.vocabulary)?.plain(), adapter, integer: false };
        let mut pass = Pass::new(model, &self.rope, self.ctx, self.layout, self.arena.stack(), input)?;
        rows.positions.clear();
        rows.positions.extend((0..batch.len()).map(|e| lists.last(e)));
        pass.embed();
        pass.blocks(0..g.blocks - 1)?;
        let gated = &mut rows.gated[..batch.len() * g.ffn];
        pass.tapped_block(g.blocks - 1, Tap { positions: &rows.positions, rows: gated })?;
        for (&position, row) in rows.positions.iter().zip(rows.stream.chunks_exact_mut(g.width)) {
            row.copy_from_slice(&pass.hidden()[position * g.width..][..g.width]);
        }
        routes.take(&pass);
        Ok(())
    }
}

impl LastRows {
    /// Room for the rows of `examples` examples on a model of shape `geometry`.
    pub fn new(geometry: &Geometry, examples: usize) -> Self {
        Self::of_sizes(examples, [geometry.ffn, geometry.width])
    }

    /// The same for rows of so many numbers, `gated` and `stream`.
    pub fn of_sizes(examples: usize, [gated, stream]: [usize; 2]) -> Self {
        Self {
            gated: held_zeros(examples * gated),
            stream: held_zeros(examples * stream),
            positions: Vec::with_capacity(examples),
        }
    }

    /// Its heap bytes.
    pub fn bytes(geometry: &Geometry, examples: usize) -> Bytes {
        Bytes((examples * (4 * (geometry.ffn + geometry.width) + size_of::<usize>())) as u64)
    }
}

/// What a pass is run for.
enum Way<'a> {
    /// Losses, and derivatives along directions if there are any.
    Along(Option<Probe<'a>>, &'a mut [f32]),
    /// Losses as training sees them.
    Judging,
    /// Losses and their gradient.
    Back(&'a mut dyn Gradient),
}

impl<'a> Way<'a> {
    fn probe(&self) -> Option<Probe<'a>> {
        if let Self::Along(probe, _) = self { *probe } else { None }
    }

    fn starts_late(&self) -> bool {
        matches!(self, Self::Back(_) | Self::Judging | Self::Along(Some(_), _))
    }
}
