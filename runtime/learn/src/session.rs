//! Runs batches through a model inside one arena: losses, hits and directional derivatives, example by example.

use crate::data::{DataSet, Target};
use crate::directions::Directions;
use crate::error::LearnError;
use crate::objective::{Dual, causal_lm, classification};
use crate::planner::Tuning;
use crate::prefix::PrefixCache;
use sprig_budget::{Arena, Bytes};
use sprig_engine::adapter::Adapter;
use sprig_engine::dual::{Batch, Rope};
use sprig_engine::kernels::Ctx;
use sprig_engine::model::{Llama, Pass, PassInput, PassLayout};

/// A model, its working memory and the buffers of one batch.
pub struct Session<'m> {
    model: &'m Llama<'m>,
    ctx: &'m Ctx,
    rope: Rope,
    layout: PassLayout,
    arena: Arena,
    prefix: Option<PrefixCache>,
    rows: BatchRows,
}

/// What one example gave.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Mean loss over its target rows, nats.
    pub loss: f64,
    /// Target rows: tokens for a language model, 1 for a classification.
    pub rows: u32,
    /// Rows whose best choice was the target.
    pub hits: u32,
}

/// Tokens, offsets and wanted rows of the batch under way; capacity is reserved once.
#[derive(Default)]
struct BatchRows {
    tokens: Vec<u32>,
    starts: Vec<usize>,
    wanted: Vec<usize>,
    targets: Vec<u32>,
}

/// Directions of a pass: the whole iteration's, of which `count` tangents from `first_tangent` on are carried.
pub struct Probe<'a> {
    /// The iteration's directions.
    pub directions: Directions<'a>,
    /// Tangents carried by this pass.
    pub count: usize,
}

impl<'m> Session<'m> {
    /// Allocates the arena of `layout` and the rotary table for `length` positions.
    pub fn new(
        model: &'m Llama<'m>,
        ctx: &'m Ctx,
        layout: PassLayout,
        length: usize,
        examples: usize,
        mut prefix: Option<PrefixCache>,
    ) -> Result<Self, LearnError> {
        let positions = layout.size().positions;
        if let Some(cache) = &mut prefix {
            cache.reserve(positions, examples);
        }
        let rows = BatchRows {
            tokens: Vec::with_capacity(positions),
            starts: Vec::with_capacity(examples + 1),
            wanted: Vec::with_capacity(positions),
            targets: Vec::with_capacity(positions),
        };
        Ok(Self {
            model,
            ctx,
            rope: model.rope(length),
            arena: Arena::new(layout.bytes())?,
            layout,
            prefix,
            rows,
        })
    }

    /// Heap bytes of a session's tables and buffers, the arena excepted.
    pub fn table_bytes(head_dims: usize, length: usize, positions: usize, examples: usize) -> Bytes {
        Bytes((Rope::table_bytes(length, head_dims) + positions * 16 + (examples + 1) * 8) as u64)
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

    /// Runs examples `ids` of `data`. `outcomes` gets one entry an example and, with a `probe` of `count` tangents,
    /// `derivatives[i·count + k]` the derivative of example i's mean loss along its direction k. `first_example` is
    /// the place of `ids[0]` in the whole batch. The adapter's frozen prefix is served from the cache when `probe` is
    /// given and a cache exists.
    pub fn run(
        &mut self,
        adapter: Option<&Adapter>,
        probe: Option<&Probe<'_>>,
        data: &DataSet,
        ids: &[usize],
        first_example: usize,
        outcomes: &mut [Outcome],
        derivatives: &mut [f32],
    ) -> Result<(), LearnError> {
        self.rows.gather(data, ids);
        let tangents = probe.map_or(0, |p| p.count);
        let g = self.model.geometry();
        let batch = Batch::new(&self.rows.tokens, &self.rows.starts, g.vocabulary)?;
        let input = PassInput {
            batch,
            tangents,
            directions: probe.map(|p| &p.directions as &dyn sprig_engine::dual::Directions),
            first_example,
            adapter,
            integer: false,
        };
        let mut pass = Pass::new(self.model, &self.rope, self.ctx, self.layout, self.arena.stack(), input)?;
        let lowest = if tangents > 0 { adapter.map_or(0, Adapter::lowest_block) } else { 0 };
        match &mut self.prefix {
            Some(cache) if lowest > 0 => cache.advance(&mut pass, g, batch, data, ids, lowest)?,
            _ => {
                pass.embed();
                pass.blocks(0..lowest)?;
            }
        }
        pass.blocks(lowest..g.blocks)?;
        if data.is_lm() {
            read_lm(&mut pass, &self.rows, tangents, outcomes, derivatives)
        } else {
            read_choices(&mut pass, &self.rows, data, ids, tangents, outcomes, derivatives)
        }
    }
}

impl BatchRows {
    fn gather(&mut self, data: &DataSet, ids: &[usize]) {
        self.tokens.clear();
        self.starts.clear();
        self.wanted.clear();
        self.targets.clear();
        for &id in ids {
            let example = data.example(id);
            let start = self.tokens.len();
            self.starts.push(start);
            self.tokens.extend_from_slice(example.tokens);
            match example.target {
                Target::Lm { first } => {
                    for row in first.max(1)..example.tokens.len() {
                        self.wanted.push(start + row - 1);
                        self.targets.push(example.tokens[row]);
                    }
                }
                Target::Label { row, .. } => self.wanted.push(start + row),
            }
        }
        self.starts.push(self.tokens.len());
    }
}

fn read_lm(
    pass: &mut Pass<'_>,
    rows: &BatchRows,
    tangents: usize,
    outcomes: &mut [Outcome],
    derivatives: &mut [f32],
) -> Result<(), LearnError> {
    let stats = pass.row_statistics(&rows.wanted, &rows.targets)?;
    let mut row = 0;
    for (e, outcome) in outcomes.iter_mut().enumerate() {
        let (first, end) = (row, row + rows.wanted[row..].partition_point(|&w| w < rows.starts[e + 1]));
        row = end;
        let n = (end - first) as f64;
        let hits = (first..end).filter(|&i| stats.target[i] > stats.rival[i]).count();
        let loss: f64 =
            (first..end).map(|i| causal_lm(f64::from(stats.lse[i]), f64::from(stats.target[i]))).sum();
        *outcome = Outcome { loss: loss / n, rows: (end - first) as u32, hits: hits as u32 };
        for k in 0..tangents {
            let slope = |i: usize| {
                let at = i * tangents + k;
                causal_lm(
                    Dual::new(stats.lse[i], stats.d_lse[at]),
                    Dual::new(stats.target[i], stats.d_target[at]),
                )
                .d
            };
            derivatives[e * tangents + k] = ((first..end).map(slope).sum::<f64>() / n) as f32;
        }
    }
    Ok(())
}

fn read_choices(
    pass: &mut Pass<'_>,
    rows: &BatchRows,
    data: &DataSet,
    ids: &[usize],
    tangents: usize,
    outcomes: &mut [Outcome],
    derivatives: &mut [f32],
) -> Result<(), LearnError> {
    let candidates = |i: usize| match data.example(ids[i]).target {
        Target::Label { candidates, .. } => candidates,
        Target::Lm { .. } => &[],
    };
    let mut logits = pass.candidates(&rows.wanted, candidates)?;
    for (e, (outcome, &id)) in outcomes.iter_mut().zip(ids).enumerate() {
        let Target::Label { candidates, answer, .. } = data.example(id).target else { continue };
        let group = 1 + tangents;
        let (mine, rest) = logits.split_at(candidates.len() * group);
        logits = rest;
        let values = mine.iter().step_by(group).map(|&l| f64::from(l));
        let best = values
            .clone()
            .enumerate()
            .fold((0, f64::NEG_INFINITY), |b, (i, l)| if l > b.1 { (i, l) } else { b })
            .0;
        let loss = classification(values, f64::from(mine[answer * group]));
        *outcome = Outcome { loss, rows: 1, hits: u32::from(best == answer) };
        for k in 0..tangents {
            let dual = |c: usize| Dual::new(mine[c * group], mine[c * group + 1 + k]);
            derivatives[e * tangents + k] =
                classification((0..candidates.len()).map(dual), dual(answer)).d as f32;
        }
    }
    Ok(())
}
