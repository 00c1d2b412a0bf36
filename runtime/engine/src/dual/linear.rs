//! A frozen linear layer with an optional low-rank adapter, value and tangents.
//!
//! y = W·x + s·U·C·D·x, where D (r × in) leads down, U (out × r) leads up and C (r × r) is a core that only LoRA-XS has.
//! Plain LoRA is D = A, U = B. Any of the three may be perturbed in direction (Ḋ, Ċ, U̇):
//!
//! h = D·x,  ḣ = D·ẋ + Ḋ·x;  c = C·h,  ċ = C·ḣ + Ċ·h;  ẏ = W·ẋ + s·(U·ċ + U̇·c).
//!
//! From ȳ, the adjoint of y: c̄ = s·ȳ·U, h̄ = c̄·C;  x̄ += ȳ·W + h̄·D;  Ū += s·ȳᵀ·c, C̄ += c̄ᵀ·h, D̄ += h̄ᵀ·x. W is read as it
//! lies in the file, some rows at a time: x̄ += ȳ[rows]·W[rows]. Every sum is one chain in the order of outputs or
//! positions, so that no bit depends on how it is cut. Where inputs are dropped, the adapter has m ⊙ x for x.

use super::batch::DualBatch;
use super::dropout::{apply, masked};
use super::head::unpack;
use super::keeper::Keeper;
use super::parallel::{examples_in_turn, for_each, piece_len};
use super::rows::{DualRows, DualRowsMut};
use super::site::{Factor, Gradient, Site};
use crate::kernels::elementwise::{axpy, axpy4};
use crate::kernels::{
    Arch, Ctx, Kernel, Matrix, Rows, RowsMut, Write, dispatch, matmul, matmul_nn, matmul_serial, matvec,
};

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
    /// 2·R·rank, used for adjoints.
    pub adjoints: &'a mut [f32],
    /// R·(1+K)·inputs, used where inputs of adapters are dropped.
    pub masked: &'a mut [f32],
}

/// Most rows that take the integer path.
pub const FEW: usize = 4;

/// Most weight rows dequantised at a time for adjoints: 288 KiB at 576 columns, which all threads read.
const ADJOINT_ROWS: usize = 128;

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
    let LinearScratch { panels, low, core, directions, masked: room, .. } = scratch;
    let x = masked(env.ctx, &env.batch, site.layer, x, room);
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
        Write::Set | Write::Continue => site.scale,
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

/// x̄ += ȳ·W + m ⊙ (s·ȳ·U·C·D), without tangents. y_adjoint: positions × outputs; x_adjoint: positions × inputs.
pub fn linear_adjoint(
    env: &LinearEnv<'_>,
    layer: Layer<'_>,
    y_adjoint: DualRows<'_>,
    mut x_adjoint: DualRowsMut<'_>,
    scratch: &mut LinearScratch<'_>,
) {
    let Layer { weight, site } = layer;
    let (ctx, inputs) = (env.ctx, weight.cols());
    env.keeper.about_to_use(weight, None);
    let each = (scratch.panels.len() / inputs).clamp(1, ADJOINT_ROWS);
    for from in (0..weight.rows()).step_by(each) {
        let rows = weight.row_slice(from..weight.rows().min(from + each));
        let panel = &mut scratch.panels[..rows.rows() * inputs];
        unpack(ctx, &rows, panel);
        let y =
            Rows::strided(&y_adjoint.data()[from..], y_adjoint.stack().rows(), rows.rows(), weight.rows());
        matmul_nn(ctx, y, Rows::new(panel, rows.rows(), inputs), x_adjoint.all(), Write::Continue);
    }
    env.keeper.done_with(weight);
    let Some(site) = site else { return };
    let (_, h) = low_adjoints(env, &site, y_adjoint, scratch.adjoints);
    let down = Rows::new(site.down.values, site.rank, inputs);
    let Some(mask) = env.batch.mask else {
        return matmul_nn(ctx, h.rows().all(), down, x_adjoint.all(), Write::Continue);
    };
    let mut pull = DualRowsMut::new(scratch.masked, inputs, x_adjoint.stack());
    matmul_nn(ctx, h.rows().all(), down, pull.all(), Write::Set);
    apply(ctx, &env.batch, (mask, site.layer), &mut pull);
    x_adjoint.data().iter_mut().zip(pull.data()).for_each(|(x, pull)| *x += *pull);
}

/// Adds to `gradient` what the positions of a layer contribute for its trainable factors, in their order and without
/// tangents. x: positions × inputs; y_adjoint: positions × outputs.
pub fn linear_gradient(
    env: &LinearEnv<'_>,
    layer: Layer<'_>,
    x: DualRows<'_>,
    y_adjoint: DualRows<'_>,
    gradient: &mut dyn Gradient,
    scratch: &mut LinearScratch<'_>,
) {
    let Some(site) = layer.site.filter(Site::trains) else { return };
    let LinearScratch { panels, low, core, directions, adjoints, masked: room } = scratch;
    let x = masked(env.ctx, &env.batch, site.layer, x, room);
    let (c_adjoint, h_adjoint) = low_adjoints(env, &site, y_adjoint, adjoints);
    let mut add = |factor: &Factor<'_>, a: DualRows<'_>, b: DualRows<'_>| {
        if let Some(sums) = factor.tensor.and_then(|tensor| gradient.of(tensor)) {
            add_outer(env.ctx, a, b, sums);
        }
    };
    add(&site.down, h_adjoint.rows(), x);
    if site.up.tensor.is_none() && site.core.is_none() {
        return;
    }
    let mut low = DualRowsMut::new(low, site.rank, x.stack());
    project(env, &site.down, x, low.reborrow(), panels, directions);
    let mut last = match &site.core {
        None => low,
        Some(factor) => {
            add(factor, c_adjoint.rows(), low.rows());
            let mut core = DualRowsMut::new(core, site.rank, x.stack());
            project(env, factor, low.rows(), core.reborrow(), panels, directions);
            core
        }
    };
    last.data().iter_mut().for_each(|c| *c *= site.scale);
    add(&site.up, y_adjoint, last.rows());
}

/// c̄ = s·ȳ·U and h̄ = c̄·C, which without a core is c̄ itself.
fn low_adjoints<'s>(
    env: &LinearEnv<'_>,
    site: &Site<'_>,
    y_adjoint: DualRows<'_>,
    scratch: &'s mut [f32],
) -> (DualRowsMut<'s>, DualRowsMut<'s>) {
    let (rank, stack) = (site.rank, y_adjoint.stack());
    let [mut c, mut h] = DualRowsMut::split(scratch, stack, [rank; 2]);
    let up = Rows::new(site.up.values, y_adjoint.width(), rank);
    matmul_nn(env.ctx, y_adjoint.all(), up, c.all(), Write::Set);
    c.data().iter_mut().for_each(|c| *c *= site.scale);
    match &site.core {
        None => h.data().copy_from_slice(c.data()),
        Some(core) => {
            let core = Rows::new(core.values, rank, rank);
            matmul_nn(env.ctx, c.rows().all(), core, h.all(), Write::Set);
        }
    }
    (c, h)
}

/// sums += aᵀ·b, position by position: a: positions × m, b: positions × n, sums: m × n.
fn add_outer(ctx: &Ctx, a: DualRows<'_>, b: DualRows<'_>, sums: &mut [f32]) {
    let (m, n) = (a.width(), b.width());
    assert_eq!((sums.len(), a.stack()), (m * n, b.stack()), "shape of a gradient");
    let each = piece_len(&ctx.pool, m);
    for_each(&ctx.pool, sums.chunks_mut(each * n).enumerate(), |(piece, sums)| {
        dispatch(ctx.isa, AddOuter { a: a.all(), b: b.all(), from: piece * each, sums });
    });
}

/// The rows of aᵀ·b from `from` on, as many as `sums` holds.
struct AddOuter<'a> {
    a: Rows<'a>,
    b: Rows<'a>,
    from: usize,
    sums: &'a mut [f32],
}

impl Kernel for AddOuter<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arch>(self, _: A) {
        let Self { a, b, from, sums } = self;
        let fours = a.rows() - a.rows() % 4;
        for i in (0..fours).step_by(4) {
            let ([a0, a1, a2, a3], x) =
                ([0, 1, 2, 3].map(|j| a.row(i + j)), [0, 1, 2, 3].map(|j| b.row(i + j)));
            for (o, sums) in (from..).zip(sums.chunks_exact_mut(b.cols())) {
                axpy4([a0[o], a1[o], a2[o], a3[o]], x, sums);
            }
        }
        for i in fours..a.rows() {
            for (o, sums) in (from..).zip(sums.chunks_exact_mut(b.cols())) {
                axpy(a.row(i)[o], b.row(i), sums);
            }
        }
    }
}

fn factor_matrix(rows: usize, cols: usize, values: &[f32]) -> Matrix<'_> {
    Matrix::from_f32(rows, cols, values).expect("an adapter's factors have the shapes of its layer")
}
