//! Generation: a generator that feeds tokens to the model and keeps their keys and values.

use super::cache::KvCache;
use super::checkpoints::Checkpoints;
use super::forward::{Pass, PassInput};
use super::layout::{PassLayout, PassSize};
use super::routes::RouteSize;
use super::{Geometry, PassError, Ropes, Transformer};
use crate::adapter::Adapter;
use crate::dual::{Batch, BatchError};
use crate::kernels::Ctx;
use sprig_budget::{Arena, BudgetError};
use thiserror::Error;

/// Why a text cannot be continued.
#[derive(Debug, Error)]
pub enum GenerateError {
    /// Too long for the cache that was planned.
    #[error(
        "{have} tokens held and {more} more exceed the {capacity} that were planned; shorten the prompt or ask for fewer tokens"
    )]
    Full {
        /// Tokens held.
        have: usize,
        /// Tokens asked for.
        more: usize,
        /// Planned capacity.
        capacity: usize,
    },
    /// Bad tokens.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// Our bug.
    #[error(transparent)]
    Budget(#[from] BudgetError),
}

impl From<PassError> for GenerateError {
    fn from(error: PassError) -> Self {
        match error {
            PassError::Batch(error) => error.into(),
            PassError::Budget(error) => error.into(),
        }
    }
}

/// Continues texts token by token.
pub struct Generator<'m> {
    model: &'m Transformer<'m>,
    /// What may be worn, and which of it is.
    adapters: Vec<&'m Adapter>,
    worn: Option<usize>,
    ctx: &'m Ctx,
    rope: Ropes,
    cache: KvCache,
    layout: PassLayout,
    arena: Arena,
    logits: Vec<f32>,
    shares: Vec<f32>,
    integer: bool,
}

/// Prompt tokens read in one pass.
pub const PREFILL: usize = 512;

impl<'m> Generator<'m> {
    /// A generator for texts of up to `capacity` tokens. `integer`: see [`PassInput::integer`].
    pub fn new(
        model: &'m Transformer<'m>,
        adapter: Option<&'m Adapter>,
        ctx: &'m Ctx,
        capacity: usize,
        integer: bool,
    ) -> Result<Self, BudgetError> {
        let adapters: Vec<_> = adapter.into_iter().collect();
        let worn = adapters.first().map(|_| 0);
        Self::with_adapters(model, adapters, ctx, capacity, integer).map(|made| Self { worn, ..made })
    }

    /// A generator that may [`wear`](Self::wear) any of `adapters`, and wears none yet. Where one has routers, it is the only one.
    pub fn with_adapters(
        model: &'m Transformer<'m>,
        adapters: Vec<&'m Adapter>,
        ctx: &'m Ctx,
        capacity: usize,
        integer: bool,
    ) -> Result<Self, BudgetError> {
        let rank = adapters.iter().map(|adapter| adapter.rank()).max().unwrap_or(0);
        let routes = adapters.iter().find_map(|adapter| RouteSize::of(adapter, model.geometry(), 1));
        let (threads, panel_rows) = (ctx.pool.threads(), ctx.panel_rows());
        let layout = Self::layout_of_rank(model.geometry(), (rank, routes), threads, panel_rows, capacity);
        Ok(Self {
            model,
            adapters,
            worn: None,
            ctx,
            rope: model.rope(capacity),
            cache: KvCache::new(model.geometry(), capacity).with_routes(layout.size().routes),
            shares: Vec::with_capacity(layout.size().routes.map_or(0, |routes| routes.blocks)),
            arena: Arena::new(layout.bytes())?,
            layout,
            logits: vec![0.0; model.geometry().vocabulary],
            integer,
        })
    }

    /// The layout of its largest pass, for plans, with adapters of up to that rank and those routers.
    pub fn layout_of_rank(
        geometry: &Geometry,
        (rank, routes): (usize, Option<RouteSize>),
        threads: usize,
        panel_rows: usize,
        capacity: usize,
    ) -> PassLayout {
        let size = PassSize {
            positions: capacity.min(PREFILL),
            tangents: 0,
            wanted: 0,
            candidates: 0,
            rank,
            largest_tensor: 0,
            masked: 0,
            kept: Checkpoints::NONE,
            threads,
            panel_rows,
            head_tile: 0,
            routes,
        };
        PassLayout::new(geometry, size)
    }

    /// Appends `tokens` and returns the logits after the last of them.
    pub fn feed(&mut self, tokens: &[u32]) -> Result<&[f32], GenerateError> {
        let (have, more) = (self.cache.len(), tokens.len());
        if have + more > self.cache.capacity() {
            return Err(GenerateError::Full { have, more, capacity: self.cache.capacity() });
        }
        let mut left = more;
        for chunk in tokens.chunks(PREFILL) {
            left -= chunk.len();
            let starts = [0, chunk.len()];
            let batch = Batch::new(chunk, &starts, self.model.geometry().vocabulary)?.plain();
            let input = PassInput { batch, adapter: self.worn(), integer: self.integer };
            let pass = Pass::new(self.model, &self.rope, self.ctx, self.layout, self.arena.stack(), input)?;
            let mut pass = pass.with_cache(&mut self.cache);
            pass.embed();
            pass.blocks(0..self.model.geometry().blocks)?;
            if left == 0 {
                pass.logits(chunk.len() - 1, &mut self.logits);
            }
            self.shares.clear();
            self.shares.extend_from_slice(pass.shares());
            self.cache.advance(chunk.len());
        }
        Ok(&self.logits)
    }

    /// Wears the adapter at that place, or none, and forgets the text: it was read by another.
    pub fn wear(&mut self, adapter: Option<usize>) {
        self.worn = adapter.filter(|&place| place < self.adapters.len());
        self.restart();
    }

    /// What is worn.
    pub fn worn(&self) -> Option<&'m Adapter> {
        self.worn.and_then(|worn| self.adapters.get(worn).copied())
    }

    /// Forgets the text, for another one.
    pub fn restart(&mut self) {
        self.cache.restart();
        self.shares.clear();
    }

    /// Forgets all but the first `tokens` tokens of the text, for another end of it. The logits stay those of the last token
    /// fed.
    ///
    /// # Panics
    /// There are routers, which remember the whole text.
    pub fn rewind(&mut self, tokens: usize) {
        self.cache.rewind(tokens);
    }

    /// The logits after the last token fed.
    pub fn logits(&self) -> &[f32] {
        &self.logits
    }

    /// Share of the global one of two adapters in each routed block, a mean over the tokens fed last; empty where there is one.
    pub fn shares(&self) -> &[f32] {
        &self.shares
    }

    /// Tokens held.
    pub fn len(&self) -> usize {
        self.cache.len()
    }

    /// Whether none are held.
    pub fn is_empty(&self) -> bool {
        self.cache.is_empty()
    }
}
