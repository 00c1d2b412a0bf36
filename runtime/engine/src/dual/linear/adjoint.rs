//! What leads back through a linear layer and its adapters, without tangents.
//!
//! From ȳ, the adjoint of y: c̄ = s·ȳ·U, h̄ = c̄·C;  x̄ += ȳ·W + h̄·D;  Ū += s·ȳᵀ·c, C̄ += c̄ᵀ·h, D̄ += h̄ᵀ·x. W is read as it
//! lies in the file, some rows at a time: x̄ += ȳ[rows]·W[rows]. Every sum is one chain in the order of outputs or
//! positions, so that no bit depends on how it is cut. Where inputs are dropped, the adapter has m ⊙ x for x.
//!
//! Of two adapters with shares q and 1 − q, each has its share of c̄, and of c in Ū; and q̄ = ⟨c̄₀, c₀⟩ − ⟨c̄₁, c₁⟩ of each
//! position, c̄ᵢ before its share.

use super::super::dropout::{apply, masked};
use super::super::head::unpack;
use super::super::parallel::{for_each, piece_len};
use super::super::rows::{DualRows, DualRowsMut};
use super::super::site::{Factor, Gradient, Site};
use super::blend::{Blend, Half};
use super::{Last, Layer, LinearEnv, LinearScratch, Room};
use crate::kernels::elementwise::{axpy, axpy4};
use crate::kernels::{Arch, Ctx, Kernel, Rows, Write, dispatch, matmul_nn};

/// Most weight rows dequantised at a time for adjoints: 288 KiB at 576 columns, which all threads read.
const ADJOINT_ROWS: usize = 128;

/// x̄ += ȳ·W + m ⊙ (s·ȳ·U·C·D), without tangents. y_adjoint: positions × outputs; x_adjoint: positions × inputs.
pub fn linear_adjoint(
    env: &LinearEnv<'_>,
    layer: Layer<'_>,
    y_adjoint: DualRows<'_>,
    mut x_adjoint: DualRowsMut<'_>,
    scratch: &mut LinearScratch<'_>,
) {
    let Layer { weight, site, blend } = layer;
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
    let Some(first) = site else { return };
    for (half, site) in halves(&first, blend.as_ref()) {
        let mut adjoints = LowAdjoints::of(env, site, y_adjoint, scratch.adjoints);
        if let Some(blend) = &blend {
            adjoints.share(blend, half);
        }
        let h = adjoints.through_core(env, site);
        let down = Rows::new(site.down.values, site.rank, inputs);
        let Some(mask) = env.batch.mask else {
            matmul_nn(ctx, h.rows().all(), down, x_adjoint.all(), Write::Continue);
            continue;
        };
        let mut pull = DualRowsMut::new(scratch.masked, inputs, x_adjoint.stack());
        matmul_nn(ctx, h.rows().all(), down, pull.all(), Write::Set);
        apply(ctx, &env.batch, (mask, site.layer), &mut pull);
        x_adjoint.data().iter_mut().zip(pull.data()).for_each(|(x, pull)| *x += *pull);
    }
}

/// Where what a layer contributes to gradients goes.
pub struct Contribution<'g> {
    /// Of its trainable factors.
    pub gradient: &'g mut dyn Gradient,
    /// q̄ of each position is added, where adapters are blended and it is wanted.
    pub shares: Option<&'g mut [f32]>,
}

impl Contribution<'_> {
    /// The same under a shorter borrow.
    pub fn reborrow(&mut self) -> Contribution<'_> {
        Contribution { gradient: &mut *self.gradient, shares: self.shares.as_deref_mut() }
    }
}

/// Adds to gradients what the positions of a layer contribute, in their order and without tangents. x: positions × inputs;
/// y_adjoint: positions × outputs.
pub fn linear_gradient(
    env: &LinearEnv<'_>,
    layer: Layer<'_>,
    x: DualRows<'_>,
    y_adjoint: DualRows<'_>,
    to: Contribution<'_>,
    scratch: &mut LinearScratch<'_>,
) {
    let Contribution { gradient, mut shares } = to;
    let (Some(first), blend) = (layer.site, layer.blend) else { return };
    if !layer.trains() && shares.is_none() {
        return;
    }
    let LinearScratch { panels, low, core, shared, directions, adjoints, masked: room } = scratch;
    let x = masked(env.ctx, &env.batch, first.layer, x, room);
    let mut room = Room { panels, low, core, shared, directions };
    for (half, site) in halves(&first, blend.as_ref()) {
        let mut c_adjoint = LowAdjoints::of(env, site, y_adjoint, adjoints);
        let wants_low = site.up.tensor.is_some() || site.core.is_some() || shares.is_some();
        let last = wants_low.then(|| room.down(env, site, x, x.stack()));
        if let (Some(last), Some(shares)) = (last, shares.as_deref_mut()) {
            let rows = room.held(last, site.rank, x.stack());
            add_dots(half, c_adjoint.c.rows(), rows, shares);
        }
        if let Some(blend) = &blend {
            c_adjoint.share(blend, half);
        }
        let (c, h) = c_adjoint.both(env, site);
        let mut add = |factor: &Factor<'_>, a: DualRows<'_>, b: DualRows<'_>| {
            if let Some(sums) = factor.tensor.and_then(|tensor| gradient.of(tensor)) {
                add_outer(env.ctx, a, b, sums);
            }
        };
        add(&site.down, h, x);
        let Some(last) = last else { continue };
        if let Some(factor) = &site.core {
            add(factor, c, room.held(Last::Low, site.rank, x.stack()));
        }
        let last = match &blend {
            None => last,
            Some(blend) => {
                room.share(blend, (half, 0..x.stack().positions), site.rank, last, x.stack());
                Last::Shared
            }
        };
        let mut last = room.held_mut(last, site.rank, x.stack());
        last.data().iter_mut().for_each(|c| *c *= site.scale);
        add(&site.up, y_adjoint, last.rows());
    }
}

/// A layer's adapters; one alone is the first half of nothing.
fn halves<'s>(
    first: &'s Site<'s>,
    blend: Option<&'s Blend<'s>>,
) -> impl Iterator<Item = (Half, &'s Site<'s>)> {
    let second = blend.map(|blend| (Half::Second, &blend.other));
    std::iter::once((Half::First, first)).chain(second)
}

/// c̄ = s·ȳ·U, and room for h̄.
struct LowAdjoints<'s> {
    c: DualRowsMut<'s>,
    h: DualRowsMut<'s>,
}

impl<'s> LowAdjoints<'s> {
    fn of(env: &LinearEnv<'_>, site: &Site<'_>, y_adjoint: DualRows<'_>, scratch: &'s mut [f32]) -> Self {
        let (rank, stack) = (site.rank, y_adjoint.stack());
        let [mut c, h] = DualRowsMut::split(scratch, stack, [rank; 2]);
        let up = Rows::new(site.up.values, y_adjoint.width(), rank);
        matmul_nn(env.ctx, y_adjoint.all(), up, c.all(), Write::Set);
        c.data().iter_mut().for_each(|c| *c *= site.scale);
        Self { c, h }
    }

    /// Each position's share of it.
    fn share(&mut self, blend: &Blend<'_>, half: Half) {
        let rank = self.c.width();
        for (c, q) in self.c.data().chunks_exact_mut(rank).zip(blend.shares.data()) {
            let q = half.share(*q);
            c.iter_mut().for_each(|c| *c *= q);
        }
    }

    /// h̄ = c̄·C, which without a core is c̄ itself.
    fn through_core(mut self, env: &LinearEnv<'_>, site: &Site<'_>) -> DualRowsMut<'s> {
        self.fill(env, site);
        self.h
    }

    /// c̄ and h̄.
    fn both(&mut self, env: &LinearEnv<'_>, site: &Site<'_>) -> (DualRows<'_>, DualRows<'_>) {
        self.fill(env, site);
        (self.c.rows(), self.h.rows())
    }

    fn fill(&mut self, env: &LinearEnv<'_>, site: &Site<'_>) {
        match &site.core {
            None => self.h.data().copy_from_slice(self.c.data()),
            Some(core) => {
                let core = Rows::new(core.values, site.rank, site.rank);
                matmul_nn(env.ctx, self.c.rows().all(), core, self.h.all(), Write::Set);
            }
        }
    }
}

/// Adds ±⟨c̄, c⟩ of each position to its sum.
fn add_dots(half: Half, c_adjoint: DualRows<'_>, c: DualRows<'_>, sums: &mut [f32]) {
    let rank = c.width();
    let rows = c_adjoint.data().chunks_exact(rank).zip(c.data().chunks_exact(rank));
    for (sum, (a, b)) in sums.iter_mut().zip(rows) {
        let dot: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
        *sum += half.sign() * dot;
    }
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
