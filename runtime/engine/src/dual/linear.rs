//! A frozen linear layer with an optional low-rank adapter, value and tangents.
//!
//! y = W·x + s·U·C·D·x, where D (r × in) leads down, U (out × r) leads up and C (r × r) is a core that only LoRA-XS has.
//! Plain LoRA is D = A, U = B. Any of the three may be perturbed in direction (Ḋ, Ċ, U̇):
//!
//! h = D·x,  ḣ = D·ẋ + Ḋ·x;  c = C·h,  ċ = C·ḣ + Ċ·h;  ẏ = W·ẋ + s·(U·ċ + U̇·c).

use super::batch::DualBatch;
use super::keeper::Keeper;
use super::parallel::{MAX_PIECES, for_each};
use super::rows::{DualRows, DualRowsMut};
use super::site::{Factor, Site};
use crate::kernels::{Ctx, Matrix, RowsMut, Write, matmul, matmul_serial, matvec};

/// A linear layer: y = W·x, and what its adapter adds.
#[derive(Clone, Copy)]
pub struct Layer<'a> {
    /// W, outputs × inputs.
    pub weight: &'a Matrix<'a>,
    /// Its adapter, if it has one.
    pub site: Option<Site<'a>>,
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
    /// threads × (largest factor + panels of one serial product).
    pub directions: &'a mut [f32],
}

/// Most rows that take the integer path.
pub const FEW: usize = 4;

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
    let Layer { weight, site } = layer;
    let (made, stack) = (env.batch.behind(x.stack(), [site.as_ref()]), y.stack());
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
    let LinearScratch { panels, low, core, directions } = scratch;

    let mut low = DualRowsMut::new(low, site.rank, stack);
    project(env, &site.down, x, low.reborrow(), panels, directions);
    let last = match &site.core {
        None => low,
        Some(factor) => {
            let mut core = DualRowsMut::new(core, site.rank, stack);
            project(env, factor, low.rows(), core.reborrow(), panels, directions);
            core
        }
    };
    let scale = match write {
        Write::Set => site.scale,
        Write::Add { scale } => scale * site.scale,
    };
    let up = factor_matrix(weight.rows(), site.rank, site.up.values);
    matmul(env.ctx, last.rows().all(), &up, y.all(), Write::Add { scale }, panels);
    perturb(env, &site.up, last.rows(), y, scale, directions);
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
    let pieces = examples_in_turn(env, out.data(), group).zip(scratch.chunks_mut(share));
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

/// Cuts `out` into one run of whole examples a thread, of about equal numbers of positions.
fn examples_in_turn<'o>(
    env: &LinearEnv<'_>,
    mut out: &'o mut [f32],
    group: usize,
) -> impl Iterator<Item = (std::ops::Range<usize>, usize, &'o mut [f32])> {
    let (batch, threads) = (env.batch.rows, env.ctx.pool.threads().min(MAX_PIECES));
    let mut example = 0;
    (0..threads).filter_map(move |t| {
        let until = batch.positions() * (t + 1) / threads;
        let (from, start) = (example, if example < batch.examples() { batch.span(example).start } else { 0 });
        let mut end = start;
        while example < batch.examples() && (batch.span(example).end <= until || t + 1 == threads) {
            end = batch.span(example).end;
            example += 1;
        }
        let (mine, rest) = std::mem::take(&mut out).split_at_mut((end - start) * group);
        out = rest;
        (from < example).then_some((from..example, start, mine))
    })
}

fn factor_matrix(rows: usize, cols: usize, values: &[f32]) -> Matrix<'_> {
    Matrix::from_f32(rows, cols, values).expect("an adapter's factors have the shapes of its layer")
}
