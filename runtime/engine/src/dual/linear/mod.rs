//! A frozen linear layer with an optional low-rank adapter, value and tangents.
//!
//! y = W·x + s·U·C·D·x, where D (r × in) leads down, U (out × r) leads up and C (r × r) is a core that only LoRA-XS has.
//! Plain LoRA is D = A, U = B. Any of the three may be perturbed in direction (Ḋ, Ċ, U̇):
//!
//! h = D·x,  ḣ = D·ẋ + Ḋ·x;  c = C·h,  ċ = C·ḣ + Ċ·h;  ẏ = W·ẋ + s·(U·ċ + U̇·c).
//!
//! Where inputs are dropped, the adapter has m ⊙ x for x. Two adapters of one layer are blended by a share of each
//! position ([`blend`]); what leads back is in [`adjoint`].

mod adjoint;
mod blend;

pub use adjoint::{Contribution, linear_adjoint, linear_gradient};
pub use blend::Blend;

use super::batch::DualBatch;
use super::dropout::masked;
use super::keeper::Keeper;
use super::parallel::{examples_in_turn, for_each};
use super::rows::{DualRows, DualRowsMut, Stack};
use super::site::{Factor, Site};
use crate::kernels::{Ctx, Matrix, RowsMut, Write, matmul, matmul_serial, matvec};
use blend::Half;
use std::ops::Range;

/// A linear layer: y = W·x, and what its adapter adds.
#[derive(Clone, Copy)]
pub struct Layer<'a> {
    /// W, outputs × inputs.
    pub weight: &'a Matrix<'a>,
    /// Its adapter, if it has one.
    pub site: Option<Site<'a>>,
    /// A second adapter beside that one.
    pub blend: Option<Blend<'a>>,
}

/// What all linear layers of a pass share.
pub struct LinearEnv<'a> {
    /// Pool and instruction set.
    pub ctx: &'a Ctx,
    /// The rows and their directions.
    pub batch: DualBatch<'a>,
    /// Keeps the weights.
    pub keeper: &'a dyn Keeper,
    /// Quantise activations and use integer products when there are few rows (decoding).
    pub integer: bool,
}

/// Working memory of [`linear`]; lengths in f32 elements.
pub struct LinearScratch<'a> {
    /// Weight panels of the large product.
    pub panels: &'a mut [f32],
    /// R·(1+K)·rank.
    pub low: &'a mut [f32],
    /// R·(1+K)·rank, used with a core.
    pub core: &'a mut [f32],
    /// R·(1+K)·rank, used where adapters are blended.
    pub shared: &'a mut [f32],
    /// threads × (largest factor + panels of one serial product).
    pub directions: &'a mut [f32],
    /// 2·R·rank, used for adjoints.
    pub adjoints: &'a mut [f32],
    /// R·(1+K)·inputs, used where inputs of adapters are dropped.
    pub masked: &'a mut [f32],
}

/// Most rows that take the integer path.
pub const FEW: usize = 4;

impl<'a> Layer<'a> {
    /// Its adapters.
    pub fn sites(&self) -> impl Iterator<Item = &Site<'a>> {
        self.site.iter().chain(self.blend.as_ref().map(|blend| &blend.other))
    }

    /// Whether any factor is perturbed.
    pub fn trains(&self) -> bool {
        self.sites().any(Site::trains)
    }

    /// Whether it makes live rows of plain ones: a factor is perturbed, or how its adapters are blended has tangents.
    pub fn moves(&self) -> bool {
        self.trains() || self.blend.is_some_and(|blend| blend.moves())
    }
}

/// y (=|+=) layer(x), with x: \[positions × (1+K)\] × inputs and y: \[positions × (1+K)\] × outputs. Either may be plain
/// where [`DualBatch::behind`] says so; y may be live all the same (the residual stream).
///
/// # Panics
/// If y is plain where the layer makes live rows.
pub fn linear(
    env: &LinearEnv<'_>,
    layer: Layer<'_>,
    x: DualRows<'_>,
    mut y: DualRowsMut<'_>,
    write: Write,
    scratch: &mut LinearScratch<'_>,
) {
    let Layer { weight, site, blend } = layer;
    let (made, stack) = (env.batch.behind(x.stack(), layer.moves()), y.stack());
    assert!(made == stack || stack == env.batch.live(), "{made:?} into {stack:?}");
    env.keeper.about_to_use(weight, None);
    // Rows that go through the product: all of them, or values only, which then land at the head of each group.
    let rows = x.all();
    if env.integer && rows.rows() <= FEW {
        matvec(env.ctx, rows, weight, y.like(x.stack()), write, scratch.panels);
    } else {
        matmul(env.ctx, rows, weight, y.like(x.stack()), write, scratch.panels);
    }
    env.keeper.done_with(weight);
    if x.stack() != stack && write == Write::Set {
        y.clear_tangents();
    }
    let Some(site) = site else { return };
    let LinearScratch { panels, low, core, shared, directions, masked: room, .. } = scratch;
    let x = masked(env.ctx, &env.batch, site.layer, x, room);
    let scale = match write {
        Write::Set | Write::Continue => 1.0,
        Write::Add { scale } => scale,
    };
    let mut room = Room { panels, low, core, shared, directions };
    match blend {
        None => {
            let low = room.down(env, &site, x, stack);
            room.up(env, &site, low, y, scale);
        }
        Some(blend) => blend::add(env, (&site, blend), x, y, scale, &mut room),
    }
}

/// Working memory of one update.
struct Room<'s> {
    panels: &'s mut [f32],
    low: &'s mut [f32],
    core: &'s mut [f32],
    shared: &'s mut [f32],
    directions: &'s mut [f32],
}

/// Which of the buffers holds what leads up again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Low,
    Core,
    Shared,
}

impl Room<'_> {
    /// C·D·x, live if `stack` is.
    fn down(&mut self, env: &LinearEnv<'_>, site: &Site<'_>, x: DualRows<'_>, stack: Stack) -> Last {
        let mut low = DualRowsMut::new(self.low, site.rank, stack);
        project(env, &site.down, x, low.reborrow(), self.panels, self.directions);
        let Some(factor) = &site.core else { return Last::Low };
        let core = DualRowsMut::new(self.core, site.rank, stack);
        project(env, factor, low.rows(), core, self.panels, self.directions);
        Last::Core
    }

    /// Brings the rows in `last`, with the shares of one half of a blend multiplied in, to [`Last::Shared`].
    fn share(
        &mut self,
        blend: &Blend<'_>,
        (half, run): (Half, Range<usize>),
        rank: usize,
        last: Last,
        stack: Stack,
    ) {
        let rows = if last == Last::Core { &*self.core } else { &*self.low };
        let to = DualRowsMut::new(self.shared, rank, stack);
        blend.weigh(half, run, DualRows::new(rows, rank, stack), to);
    }

    /// What is in `last`.
    fn held(&self, last: Last, rank: usize, stack: Stack) -> DualRows<'_> {
        let rows = match last {
            Last::Low => &*self.low,
            Last::Core => &*self.core,
            Last::Shared => &*self.shared,
        };
        DualRows::new(rows, rank, stack)
    }

    /// The same, to be changed.
    fn held_mut(&mut self, last: Last, rank: usize, stack: Stack) -> DualRowsMut<'_> {
        let rows = match last {
            Last::Low => &mut *self.low,
            Last::Core => &mut *self.core,
            Last::Shared => &mut *self.shared,
        };
        DualRowsMut::new(rows, rank, stack)
    }

    /// y += scale · s · U · what is in `last`.
    fn up(&mut self, env: &LinearEnv<'_>, site: &Site<'_>, last: Last, mut y: DualRowsMut<'_>, scale: f32) {
        let last = match last {
            Last::Low => &*self.low,
            Last::Core => &*self.core,
            Last::Shared => &*self.shared,
        };
        let (last, scale) = (DualRows::new(last, site.rank, y.stack()), scale * site.scale);
        let up = factor_matrix(y.width(), site.rank, site.up.values);
        matmul(env.ctx, last.all(), &up, y.all(), Write::Add { scale }, self.panels);
        perturb(env, &site.up, last, y, scale, self.directions);
    }
}

/// out = F·x for values and tangents, plus Ḟ·x for each tangent. x: \[positions × (1+K)\] × inputs, or plain; out:
/// \[positions × (1+K)\] × outputs.
fn project(
    env: &LinearEnv<'_>,
    factor: &Factor<'_>,
    x: DualRows<'_>,
    mut out: DualRowsMut<'_>,
    panels: &mut [f32],
    directions: &mut [f32],
) {
    let f = factor_matrix(out.width(), x.width(), factor.values);
    matmul(env.ctx, x.all(), &f, out.like(x.stack()), Write::Set, panels);
    if x.stack() != out.stack() {
        out.clear_tangents();
    }
    perturb(env, factor, x, out, 1.0, directions);
}

/// out's tangent k += scale · Ḟₖ·x, with x the values and Ḟₖ the direction of each row's own example.
fn perturb(
    env: &LinearEnv<'_>,
    factor: &Factor<'_>,
    x: DualRows<'_>,
    mut out: DualRowsMut<'_>,
    scale: f32,
    scratch: &mut [f32],
) {
    let (Some(tensor), Some(probe), stack) = (factor.tensor, env.batch.probe, out.stack()) else { return };
    if stack.tangents == 0 {
        return;
    }
    let (inputs, outputs, group) = (x.width(), out.width(), out.group());
    let pool = &env.ctx.pool;
    let share = scratch.len() / pool.threads();
    let runs = examples_in_turn(pool, &env.batch.rows, out.data(), group);
    let pieces = runs.zip(scratch.chunks_mut(share));
    for_each(pool, pieces, |((examples, first_position, out), scratch)| {
        let (direction, panels) = scratch.split_at_mut(outputs * inputs);
        for example in examples {
            let span = env.batch.rows.span(example);
            let x = x.from(span.start).values(span.len());
            for k in 0..stack.tangents {
                probe.directions.fill(k, probe.first_example + example, tensor, direction);
                let at = (span.start - first_position) * group + (k + 1) * outputs;
                let y = RowsMut::strided(&mut out[at..], span.len(), outputs, group);
                let f = factor_matrix(outputs, inputs, direction);
                matmul_serial(env.ctx.isa, x, &f, y, Write::Add { scale }, panels);
            }
        }
    });
}

fn factor_matrix(rows: usize, cols: usize, values: &[f32]) -> Matrix<'_> {
    Matrix::from_f32(rows, cols, values).expect("an adapter's factors have the shapes of its layer")
}
