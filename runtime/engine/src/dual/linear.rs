//! A frozen linear layer with an optional low-rank adapter, value and tangents.
//!
//! y = W·x + s·U·C·D·x, where D (r × in) leads down, U (out × r) leads up and C (r × r) is a core that only LoRA-XS has.
//! Plain LoRA is D = A, U = B. Any of the three may be perturbed in direction (Ḋ, Ċ, U̇):
//!
//! h = D·x,  ḣ = D·ẋ + Ḋ·x;  c = C·h,  ċ = C·ḣ + Ċ·h;  ẏ = W·ẋ + s·(U·ċ + U̇·c).

use super::keeper::Keeper;
use super::parallel::{MAX_PIECES, for_each};
use super::rows::{Batch, Stack};
use crate::kernels::{Ctx, Matrix, Rows, RowsMut, Write, matmul, matmul_serial, matvec};

/// Names one trainable tensor: its place in the canonical order (block, module, A then B).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TensorId(pub u32);

/// Where directions come from. They are a function, never stored.
pub trait Directions: Sync {
    /// Writes the direction of `tensor` for `tangent` k and `example` (its index in the whole batch), row-major.
    fn fill(&self, tangent: usize, example: usize, tensor: TensorId, out: &mut [f32]);
}

/// One low-rank factor; frozen when `tensor` is `None`.
#[derive(Clone, Copy)]
pub struct Factor<'a> {
    /// Row-major values.
    pub values: &'a [f32],
    /// Its name, when it is perturbed.
    pub tensor: Option<TensorId>,
}

/// The adapter of one linear layer.
#[derive(Clone, Copy)]
pub struct Site<'a> {
    /// r.
    pub rank: usize,
    /// s = alpha / r.
    pub scale: f32,
    /// D, rank × in.
    pub down: Factor<'a>,
    /// C, rank × rank.
    pub core: Option<Factor<'a>>,
    /// U, out × rank.
    pub up: Factor<'a>,
}

impl Site<'_> {
    /// Whether any factor is perturbed.
    pub fn trains(&self) -> bool {
        self.down.tensor.is_some()
            || self.up.tensor.is_some()
            || self.core.is_some_and(|c| c.tensor.is_some())
    }
}

/// What all linear layers of a pass share.
pub struct LinearEnv<'a> {
    /// Pool and instruction set.
    pub ctx: &'a Ctx,
    /// Rows by example.
    pub batch: Batch<'a>,
    /// K of the pass.
    pub tangents: usize,
    /// Directions, when K > 0.
    pub directions: Option<&'a dyn Directions>,
    /// Index of the batch's first example in the whole (un-split) batch.
    pub first_example: usize,
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

/// y (=|+=) layer(x). `x_live`/`y_live`: whether those buffers carry tangent rows; `y_live` must hold if `x_live` does
/// or the site trains. `add`: accumulate into `y` (the residual stream) instead of replacing it.
pub fn linear(
    env: &LinearEnv<'_>,
    weight: &Matrix<'_>,
    site: Option<&Site<'_>>,
    x: &[f32],
    x_live: bool,
    y: &mut [f32],
    y_live: bool,
    add: bool,
    scratch: &mut LinearScratch<'_>,
) {
    let (inputs, outputs, positions) = (weight.cols(), weight.rows(), env.batch.positions());
    let group = if y_live { 1 + env.tangents } else { 1 };
    let write = if add { Write::Add { scale: 1.0 } } else { Write::Set };
    // Rows that go through the product: all of them, or values only, which then land at the head of each group.
    let rows = if x_live { positions * group } else { positions };
    let y_stride = if x_live { outputs } else { group * outputs };
    let (xs, y) = (Rows::new(&x[..rows * inputs], rows, inputs), &mut y[..positions * group * outputs]);
    env.keeper.about_to_use(weight, None);
    if env.integer && rows <= FEW {
        matvec(env.ctx, xs, weight, RowsMut::strided(y, rows, outputs, y_stride), write, scratch.panels);
    } else {
        matmul(env.ctx, xs, weight, RowsMut::strided(y, rows, outputs, y_stride), write, scratch.panels);
    }
    env.keeper.done_with(weight);
    if y_live && !x_live && !add {
        clear_tangents(y, group, outputs);
    }
    let Some(site) = site else { return };
    let stack = Stack { positions, tangents: group - 1 };

    let low = &mut scratch.low[..stack.rows() * site.rank];
    project(
        env,
        &Factor { ..site.down },
        x,
        x_live,
        inputs,
        low,
        stack,
        site.rank,
        scratch.panels,
        scratch.directions,
    );
    let last: &mut [f32] = match &site.core {
        None => low,
        Some(core) => {
            let out = &mut scratch.core[..stack.rows() * site.rank];
            project(
                env,
                core,
                low,
                y_live,
                site.rank,
                out,
                stack,
                site.rank,
                scratch.panels,
                scratch.directions,
            );
            out
        }
    };
    let up = factor_matrix(outputs, site.rank, site.up.values);
    matmul(
        env.ctx,
        Rows::new(last, stack.rows(), site.rank),
        &up,
        RowsMut::new(y, stack.rows(), outputs),
        Write::Add { scale: site.scale },
        scratch.panels,
    );
    perturb(
        env,
        &site.up,
        last,
        stack.group() * site.rank,
        site.rank,
        y,
        stack,
        outputs,
        site.scale,
        scratch.directions,
    );
}

/// out = F·x for values and tangents, plus Ḟ·x for each tangent; `out` has the liveness of `stack`.
fn project(
    env: &LinearEnv<'_>,
    factor: &Factor<'_>,
    x: &[f32],
    x_live: bool,
    inputs: usize,
    out: &mut [f32],
    stack: Stack,
    outputs: usize,
    panels: &mut [f32],
    directions: &mut [f32],
) {
    let f = factor_matrix(outputs, inputs, factor.values);
    let rows = if x_live { stack.rows() } else { stack.positions };
    let stride = if x_live { outputs } else { stack.group() * outputs };
    matmul(
        env.ctx,
        Rows::new(&x[..rows * inputs], rows, inputs),
        &f,
        RowsMut::strided(out, rows, outputs, stride),
        Write::Set,
        panels,
    );
    if !x_live {
        clear_tangents(out, stack.group(), outputs);
    }
    let x_group = if x_live { stack.group() * inputs } else { inputs };
    perturb(env, factor, x, x_group, inputs, out, stack, outputs, 1.0, directions);
}

/// out's tangent k += scale · Ḟₖ·x, with Ḟₖ the direction of each row's own example.
fn perturb(
    env: &LinearEnv<'_>,
    factor: &Factor<'_>,
    x: &[f32],
    x_group: usize,
    inputs: usize,
    out: &mut [f32],
    stack: Stack,
    outputs: usize,
    scale: f32,
    scratch: &mut [f32],
) {
    let (Some(tensor), Some(directions)) = (factor.tensor, env.directions) else { return };
    if stack.tangents == 0 {
        return;
    }
    let pool = &env.ctx.pool;
    let share = scratch.len() / pool.threads();
    let pieces = examples_in_turn(env, out, stack.group() * outputs).zip(scratch.chunks_mut(share));
    for_each(pool, pieces, |((examples, first_position, out), scratch)| {
        let (direction, panels) = scratch.split_at_mut(outputs * inputs);
        for example in examples {
            let span = env.batch.span(example);
            let rows = span.len();
            let x = Rows::strided(&x[span.start * x_group..], rows, inputs, x_group);
            for k in 0..stack.tangents {
                directions.fill(k, env.first_example + example, tensor, direction);
                let at = (span.start - first_position) * stack.group() * outputs + (k + 1) * outputs;
                let y = RowsMut::strided(&mut out[at..], rows, outputs, stack.group() * outputs);
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
    let (batch, threads) = (env.batch, env.ctx.pool.threads().min(MAX_PIECES));
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

fn clear_tangents(data: &mut [f32], group: usize, width: usize) {
    for rows in data.chunks_exact_mut(group * width) {
        rows[width..].fill(0.0);
    }
}

fn factor_matrix(rows: usize, cols: usize, values: &[f32]) -> Matrix<'_> {
    Matrix::from_f32(rows, cols, values).expect("an adapter's factors have the shapes of its layer")
}
