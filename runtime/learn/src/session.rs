//! Runs batches through a model inside one arena: losses, hits and directional derivatives, example by example.

use crate::data::Example;
use crate::error::LearnError;
use crate::minibatch::Minibatch;
use crate::objective::{Dual, Found, Lists, Objective, Verdict};
use crate::outcome::Outcome;
use crate::prefix::PrefixCache;
use crate::workload::{Room, Tuning};
use sprig_budget::{Arena, Bytes, held_zeros};
use sprig_engine::adapter::Adapter;
use sprig_engine::dual::{DualBatch, Gradient, Probe, Rope};
use sprig_engine::kernels::Ctx;
use sprig_engine::model::{Geometry, Llama, Pass, PassInput, PassLayout, Read, Tap};
use std::sync::Arc;

/// A model, its working memory and the buffers of one batch.
pub struct Session<'m> {
    model: &'m Llama<'m>,
    ctx: &'m Ctx,
    rope: Rope,
    layout: PassLayout,
    arena: Arena,
    prefix: Option<PrefixCache>,
    objective: Arc<dyn Objective>,
    lists: Lists,
    parts: Parts,
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

/// Parts of the losses of the last pass.
struct Parts {
    /// \[examples × max(K, 1) × parts\]; a lone part is the loss itself and is not kept.
    values: Vec<Dual>,
    each: usize,
}

impl<'m> Session<'m> {
    /// Allocates the arena, the rotary table and the lists of `room`, for losses of `objective`.
    pub fn new(
        model: &'m Llama<'m>,
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
        let parts = Parts::new(objective.weights().len(), examples * layout.size().tangents.max(1));
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
        })
    }

    /// Heap bytes of a session's tables and buffers, the arena excepted, on a model whose heads rotate `rope_dims`.
    pub fn table_bytes(rope_dims: usize, room: &Room, objective: &dyn Objective) -> Bytes {
        let Room { layout, extent, examples } = *room;
        let lists = Lists::bytes(layout.size().positions, examples, objective.wants(extent));
        let parts = Parts::bytes(objective.weights().len(), examples * layout.size().tangents.max(1));
        Bytes((Rope::table_bytes(extent.tokens, rope_dims) + lists + parts) as u64)
    }

    /// The model.
    pub fn model(&self) -> &'m Llama<'m> {
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

    /// What it learns or judges by.
    pub fn objective(&self) -> &dyn Objective {
        &*self.objective
    }

    /// Parts of the losses of the last pass, \[examples × max(K, 1) × parts\], each with its derivative along the
    /// example's direction k; nothing while the loss is of one part.
    pub fn parts(&self) -> &[Dual] {
        if self.parts.each > 1 { &self.parts.values } else { &[] }
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
        let Self { objective, lists, parts, .. } = self;
        lists.gather(&**objective, batch)?;
        let (g, probe) = (self.model.geometry(), way.probe());
        let rows = lists.batch(g.vocabulary)?;
        let input = PassInput { batch: DualBatch { rows, probe }, adapter, integer: false };
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
        let read = lists.read(&mut pass)?;
        parts.clear();
        let mut losses = Losses { objective: &**objective, lists, parts, batch, outcomes };
        match way {
            Way::Along(probe, derivatives) => {
                losses.along(&read, probe.map_or(0, |p| p.tangents), derivatives)
            }
            Way::Judging => losses.along(&read, 0, &mut []),
            Way::Back(gradient) => {
                losses.slopes(read);
                lists.backward(&mut pass, gradient)?;
            }
        }
        Ok(())
    }

    /// Runs the examples of `batch` without an adapter as far as the final norm, and leaves in `rows` what stands there
    /// after the last token of each.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn last_rows(&mut self, batch: Minibatch<'_>, rows: &mut LastRows) -> Result<(), LearnError> {
        let Self { objective, lists, model, .. } = self;
        lists.gather(&**objective, batch)?;
        let g = model.geometry();
        let input = PassInput { batch: lists.batch(g.vocabulary)?.plain(), adapter: None, integer: false };
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
        Ok(())
    }
}

impl LastRows {
    /// Room for the rows of `examples` examples on a model of shape `geometry`.
    pub fn new(geometry: &Geometry, examples: usize) -> Self {
        Self {
            gated: held_zeros(examples * geometry.ffn),
            stream: held_zeros(examples * geometry.width),
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

/// The losses of a pass's examples.
struct Losses<'a> {
    objective: &'a dyn Objective,
    lists: &'a Lists,
    parts: &'a mut Parts,
    batch: Minibatch<'a>,
    outcomes: &'a mut [Outcome],
}

impl<'a> Way<'a> {
    fn probe(&self) -> Option<Probe<'a>> {
        if let Self::Along(probe, _) = self { *probe } else { None }
    }

    fn starts_late(&self) -> bool {
        matches!(self, Self::Back(_) | Self::Judging | Self::Along(Some(_), _))
    }
}

impl Losses<'_> {
    /// Outcomes, and derivatives along `tangents` tangents.
    fn along(&mut self, read: &Read<'_>, tangents: usize, derivatives: &mut [f32]) {
        let all = Found::new(&read.stats, read.logits, tangents);
        for (e, ((id, example), outcome)) in self.batch.examples().zip(&mut *self.outcomes).enumerate() {
            let (rows, candidates) = self.lists.of(e);
            let found = all.within(rows, candidates);
            *outcome = judged(self.objective, self.batch, id, &example, &found);
            for k in 0..tangents.max(1) {
                let parts = self.parts.next();
                self.objective.loss(id, &example, &found.along(k), parts);
                let loss = mix(self.objective.weights(), parts);
                outcome.loss = loss.v;
                if tangents > 0 {
                    derivatives[e * tangents + k] = loss.d as f32;
                }
            }
        }
    }

    /// Outcomes, and in the slopes of `read` the derivatives of each loss times its weight, by each number that it was made of:
    /// a loss over dual numbers gives one at a time, exactly.
    fn slopes(&mut self, read: Read<'_>) {
        let Read { stats, logits, slopes } = read;
        let all = Found::new(&stats, logits, 0);
        let (of_rows, of_candidates) = slopes.split_at_mut(3 * stats.lse.len());
        for (e, ((id, example), outcome)) in self.batch.examples().zip(&mut *self.outcomes).enumerate() {
            let (rows, candidates) = self.lists.of(e);
            let found = all.within(rows.clone(), candidates.clone());
            *outcome = judged(self.objective, self.batch, id, &example, &found);
            let parts = self.parts.next();
            let mut loss = |found: &Found<'_>| {
                self.objective.loss(id, &example, found, parts);
                mix(self.objective.weights(), parts)
            };
            outcome.loss = loss(&found).v;
            let weight = f64::from(outcome.weight());
            let mine = of_rows[3 * rows.start..3 * rows.end].iter_mut().chain(&mut of_candidates[candidates]);
            for (i, slope) in mine.enumerate() {
                *slope = (loss(&found.by(i)).d * weight) as f32;
            }
        }
    }
}

/// What the objective says of an example, its loss excepted.
fn judged(
    objective: &dyn Objective,
    batch: Minibatch<'_>,
    id: usize,
    example: &Example<'_>,
    found: &Found<'_>,
) -> Outcome {
    let (Verdict { rows, hits }, record) = (objective.judge(id, example, found), batch.data.weight(id));
    Outcome { loss: 0.0, rows, hits, answered: objective.answered(example, found), record }
}

impl Parts {
    fn new(each: usize, losses: usize) -> Self {
        Self { values: Vec::with_capacity(if each > 1 { losses * each } else { each }), each }
    }

    /// Its heap bytes; those of a lone part are not worth a line.
    fn bytes(each: usize, losses: usize) -> usize {
        if each > 1 { losses * each * size_of::<Dual>() } else { 0 }
    }

    fn clear(&mut self) {
        self.values.clear();
    }

    /// Room for the parts of the next loss.
    fn next(&mut self) -> &mut [Dual] {
        if self.each == 1 {
            self.values.clear();
        }
        let at = self.values.len();
        self.values.resize(at + self.each, Dual::constant(0.0));
        &mut self.values[at..]
    }
}

/// The weighted sum of a loss's parts. A lone part of weight 1 keeps all its bits.
fn mix(weights: &[f64], parts: &[Dual]) -> Dual {
    weights.iter().zip(parts).map(|(weight, part)| part.times(*weight)).sum()
}
