//! How much working memory a pass takes, region by region. The same numbers make the plan and cut the arena, so the
//! plan is not an estimate: it is what is allocated.

use super::routes::{RouteSize, Routes};
use super::{Checkpoints, Geometry, Module};
use crate::dual::{
    DualRowsMut, FEW, HeadScratch, LinearScratch, RowStats, Stack as Shape, route_scratch_len,
};
use crate::kernels::{matmul_scratch_len, matvec_scratch_len};
use sprig_budget::{BudgetError, Bytes, Stack, bytes_for};

/// The largest pass an arena must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassSize {
    /// R, most positions of a pass.
    pub positions: usize,
    /// K, most tangents of a pass.
    pub tangents: usize,
    /// Most rows whose logits are wanted.
    pub wanted: usize,
    /// Most candidate logits in all (label objectives).
    pub candidates: usize,
    /// Largest adapter rank; 0 without an adapter.
    pub rank: usize,
    /// Elements of the largest trainable tensor; 0 when nothing trains.
    pub largest_tensor: usize,
    /// Elements of the widest input of an adapter of which some are dropped; 0 where none are.
    pub masked: usize,
    /// Block inputs that are kept for a pass backwards; none where there is none.
    pub kept: Checkpoints,
    /// Threads of the pool.
    pub threads: usize,
    /// Weight rows dequantised at a time by each thread.
    pub panel_rows: usize,
    /// Vocabulary rows of a head tile.
    pub head_tile: usize,
    /// Routers of its adapter.
    pub routes: Option<RouteSize>,
}

/// Weight rows a serial product packs at a time: adapters have few.
const SERIAL_PANEL: usize = 16;

/// Lengths, in f32 elements, of every region of a pass.
#[derive(Clone, Copy, Debug)]
pub struct PassLayout {
    size: PassSize,
    residual: usize,
    normed: usize,
    projections: usize,
    low: usize,
    directions: usize,
    low_adjoints: usize,
    masked: usize,
    panels: usize,
    stats: usize,
    head: HeadLayout,
    back: BackLayout,
    shared: usize,
    routes: RouteLayout,
}

/// The regions of routers, as [`Routes`] names them.
#[derive(Clone, Copy, Debug, Default)]
struct RouteLayout {
    shares: usize,
    pull: usize,
    scratch: usize,
    means: usize,
    features: usize,
}

/// The regions of a pass backwards, as [`Kept`] names them.
#[derive(Clone, Copy, Debug, Default)]
struct BackLayout {
    inputs: usize,
    adjoint: usize,
    work: usize,
    attended: [usize; 4],
    joined: usize,
}

/// The head's regions, as [`HeadScratch`] names them.
#[derive(Clone, Copy, Debug)]
struct HeadLayout {
    logits: usize,
    weights: usize,
    pull: usize,
    z: usize,
    rows: usize,
}

impl PassLayout {
    /// Lays out a pass of `size` through a model of `geometry`.
    pub fn new(geometry: &Geometry, size: PassSize) -> Self {
        let rows = size.positions * (1 + size.tangents);
        let widest = Module::ALL.iter().map(|m| m.shape(geometry).1).max().unwrap_or(0);
        let attention = geometry.q_width() + 2 * geometry.kv_width();
        let (trains, back) = (size.tangents > 0, size.kept.blocks > 0);
        let tile = size.head_tile.min(geometry.vocabulary);
        // Rows that want their statistics walk the whole vocabulary; candidates look up their own rows alone.
        let walks_vocabulary = size.wanted > 0;
        Self {
            size,
            residual: rows * geometry.width,
            normed: rows * geometry.width.max(geometry.q_width()),
            projections: rows * attention.max(2 * geometry.ffn).max(geometry.family.joined(geometry.width)),
            low: rows * size.rank,
            masked: rows * size.masked,
            low_adjoints: if back { 2 * rows * size.rank } else { 0 },
            directions: if trains {
                size.threads * (size.largest_tensor + matmul_scratch_len(1, SERIAL_PANEL, widest))
            } else {
                0
            },
            panels: matmul_scratch_len(size.threads, size.panel_rows, widest)
                .max(matvec_scratch_len(FEW, widest)),
            stats: 4 * size.wanted
                + 3 * size.wanted * size.tangents
                + size.candidates * (1 + size.tangents)
                + if back { 3 * size.wanted + size.candidates } else { 0 },
            head: HeadLayout {
                logits: size.wanted * tile,
                weights: if (trains || back) && walks_vocabulary { tile * geometry.width } else { 0 },
                pull: if trains { size.wanted * geometry.width } else { 0 },
                z: size.wanted,
                rows: 4 * size.threads * geometry.width,
            },
            back: if back { BackLayout::new(geometry, &size) } else { BackLayout::default() },
            shared: if size.routes.is_some() { rows * size.rank } else { 0 },
            routes: size.routes.map_or_else(RouteLayout::default, |routes| RouteLayout::new(&size, routes)),
        }
    }

    /// What it was laid out for.
    pub fn size(&self) -> &PassSize {
        &self.size
    }

    /// (name, bytes) of each region. Projections and head tiles are never alive together and share one region.
    pub fn regions(&self) -> Vec<(&'static str, Bytes)> {
        let b = bytes_for::<f32>;
        let HeadLayout { logits, weights, pull, z, rows } = self.head;
        let head: Bytes = [logits, weights, pull, z, rows].map(b).into_iter().sum();
        let mut regions = vec![
            ("residual stream", b(self.residual)),
            ("normed rows, attention output", b(self.normed)),
            ("projections or head tiles", b(self.projections).max(head)),
            ("adapter rows", Bytes(2 * b(self.low).0) + b(self.low_adjoints)),
            ("directions scratch", b(self.directions)),
            ("weight panels", b(self.panels)),
            ("row statistics", b(self.stats)),
        ];
        if self.size.masked > 0 {
            regions.push(("adapters' inputs under dropout", b(self.masked)));
        }
        if self.size.routes.is_some() {
            let RouteLayout { shares, pull, scratch, means, features } = self.routes;
            let routes = [self.shared, shares, pull, scratch, means, features];
            regions.push(("routers and their shares", routes.map(b).into_iter().sum()));
        }
        if self.size.kept.blocks > 0 {
            let BackLayout { inputs, adjoint, work, attended, joined } = self.back;
            regions.extend([
                ("block inputs", b(inputs)),
                ("adjoints", b(adjoint) + b(work) + b(joined)),
                ("attention of a block, kept", attended.map(b).into_iter().sum()),
            ]);
        }
        regions
    }

    /// Bytes of an arena that holds the pass.
    pub fn bytes(&self) -> Bytes {
        self.regions().into_iter().map(|(_, bytes)| bytes).sum()
    }

    /// Cuts the regions out of `stack`; the shared region is what remains. The residual stream has `positions` positions
    /// of width `width`.
    pub(super) fn cut<'a>(
        &self,
        stack: &mut Stack<'a>,
        positions: usize,
        width: usize,
    ) -> Result<Buffers<'a>, BudgetError> {
        Ok(Buffers {
            residual: DualRowsMut::new(stack.take(self.residual)?, width, Shape::plain(positions)),
            normed: stack.take(self.normed)?,
            stats: stack.take(self.stats)?,
            scratch: LinearScratch {
                panels: stack.take(self.panels)?,
                low: stack.take(self.low)?,
                core: stack.take(self.low)?,
                shared: stack.take(self.shared)?,
                directions: stack.take(self.directions)?,
                adjoints: stack.take(self.low_adjoints)?,
                masked: stack.take(self.masked)?,
            },
            kept: Kept {
                inputs: stack.take(self.back.inputs)?,
                adjoint: stack.take(self.back.adjoint)?,
                work: stack.take(self.back.work)?,
                projected: stack.take(self.back.attended[0])?,
                attended: stack.take(self.back.attended[1])?,
                lse: stack.take(self.back.attended[2])?,
                unturned: stack.take(self.back.attended[3])?,
                joined: stack.take(self.back.joined)?,
            },
            routes: Routes {
                shares: DualRowsMut::new(stack.take(self.routes.shares)?, 1, Shape::plain(0)),
                decided: false,
                asked: false,
                pull: stack.take(self.routes.pull)?,
                scratch: stack.take(self.routes.scratch)?,
                means: stack.take(self.routes.means)?,
                features: stack.take(self.routes.features)?,
            },
        })
    }

    /// The body's share of the shared region.
    pub(super) fn projections<'a>(&self, stack: &mut Stack<'a>) -> Result<&'a mut [f32], BudgetError> {
        stack.take(self.projections)
    }

    /// Room for 4·threads rows of the head, in the shared region.
    pub(super) fn head_rows<'a>(&self, stack: &mut Stack<'a>) -> Result<&'a mut [f32], BudgetError> {
        stack.take(self.head.rows)
    }

    /// The head's share of the shared region, for `wanted` rows of a model of width `d`, whose sums O are wanted if the rows
    /// are `pulled`.
    pub(super) fn head<'a>(
        &self,
        stack: &mut Stack<'a>,
        panels: &'a mut [f32],
        wanted: usize,
        d: usize,
        pulled: bool,
    ) -> Result<HeadScratch<'a>, BudgetError> {
        let HeadLayout { logits, weights, pull, z, rows } = self.head;
        let tile = logits.checked_div(self.size.wanted).unwrap_or(0);
        let trained = |len: usize| if pulled { len } else { 0 };
        // A pass that goes backwards has them elsewhere.
        let pulls = trained(wanted * d).min(pull);
        Ok(HeadScratch {
            logits: &mut stack.take(logits)?[..wanted * tile],
            weights: &mut stack.take(weights)?[..trained(tile * d)],
            pull: &mut stack.take(pull)?[..pulls],
            z: &mut stack.take(z)?[..wanted],
            rows: stack.take(rows)?,
            panels,
        })
    }
}

/// Regions that live as long as the pass.
pub(super) struct Buffers<'a> {
    pub residual: DualRowsMut<'a>,
    pub normed: &'a mut [f32],
    pub stats: &'a mut [f32],
    pub scratch: LinearScratch<'a>,
    pub kept: Kept<'a>,
    pub routes: Routes<'a>,
}

/// What a pass backwards works with; R positions of width d.
pub(super) struct Kept<'a> {
    /// Inputs of blocks from the lowest adapted one on, R × d each, in the places that `Keeping` gives them.
    pub inputs: &'a mut [f32],
    /// R × d: the adjoint of the residual stream.
    pub adjoint: &'a mut [f32],
    /// The adjoint of one more stack of rows at a time: R × the widest of them, or the head's n × d.
    pub work: &'a mut [f32],
    /// Queries, keys and values of one block.
    pub projected: &'a mut [f32],
    /// What its attention gave.
    pub attended: &'a mut [f32],
    /// Log-sum-exp of each position and head.
    pub lse: &'a mut [f32],
    /// Its queries and keys before their norms.
    pub unturned: &'a mut [f32],
    /// R × d, behind whose norms a branch joins: the adjoint of its last layer.
    pub joined: &'a mut [f32],
}

impl RouteLayout {
    fn new(size: &PassSize, routes: RouteSize) -> Self {
        let each = routes.blocks * routes.examples;
        Self {
            shares: size.positions * (1 + size.tangents),
            pull: if size.kept.blocks > 0 { size.positions } else { 0 },
            scratch: route_scratch_len(routes.width, size.tangents),
            means: each,
            features: if routes.features { each * routes.width } else { 0 },
        }
    }
}

impl BackLayout {
    fn new(g: &Geometry, size: &PassSize) -> Self {
        let (rows, widest) = (size.positions, g.ffn.max(g.width).max(g.q_width()));
        Self {
            inputs: size.kept.inputs() * rows * g.width,
            adjoint: rows * g.width,
            work: (rows * widest).max(size.wanted * g.width),
            attended: [
                rows * (g.q_width() + 2 * g.kv_width()),
                rows * g.q_width(),
                rows * g.heads,
                rows * g.family.unturned(g.q_width() + g.kv_width()),
            ],
            joined: rows * g.family.joined(g.width),
        }
    }
}

/// Cuts `stats` into row statistics for `n` rows with K tangents.
pub(super) fn row_stats(stats: &mut [f32], n: usize, tangents: usize) -> RowStats<'_> {
    let (lse, rest) = stats.split_at_mut(n);
    let (target, rest) = rest.split_at_mut(n);
    let (rival, rest) = rest.split_at_mut(n);
    let (rival_id, rest) = rest.split_at_mut(n);
    let (d_lse, rest) = rest.split_at_mut(n * tangents);
    let (d_target, rest) = rest.split_at_mut(n * tangents);
    let (d_rival, _) = rest.split_at_mut(n * tangents);
    RowStats { lse, target, rival, rival_id, d_lse, d_target, d_rival }
}
