//! How a branch joins the residual stream: its last layer's output as it is, or behind a norm of its own; and the way back.

use super::Module;
use super::forward::Net;
use crate::dual::{
    DualRows, DualRowsMut, Layer, LinearScratch, add_rows, gate, linear, norm_heads, norm_heads_adjoint,
};
use crate::kernels::Write;

/// Adds a branch's output to the residual stream.
const ADD: Write = Write::Add { scale: 1.0 };

impl Net<'_> {
    /// Adds what `layer`, the last of a branch of block `b`, makes of `x` to the residual stream, which comes to life if that
    /// is live. `room`: as much as the stream holds, where the family has a norm there.
    pub(super) fn join(
        &self,
        (b, module, layer): (usize, Module, Layer<'_>),
        x: DualRows<'_>,
        residual: &mut DualRowsMut<'_>,
        room: &mut [f32],
        scratch: &mut LinearScratch<'_>,
    ) {
        let stack = self.env.batch.behind(x.stack(), layer.moves());
        if stack == self.env.batch.live() {
            residual.enliven(stack);
        }
        let Some(gain) = self.post_norm(b, module) else {
            return linear(&self.env, layer, x, residual.reborrow(), ADD, scratch);
        };
        let mut branch = DualRowsMut::new(room, residual.width(), stack);
        linear(&self.env, layer, x, branch.reborrow(), Write::Set, scratch);
        norm_heads(self.env.ctx, gain, self.model.geometry().norm_epsilon, branch.reborrow());
        add_rows(self.env.ctx, branch.rows(), residual.reborrow());
    }

    /// Of the adjoint `y` of the stream that `layer` joined with `x`, the adjoint of what `layer` gave: itself, or, behind a
    /// norm, in `joined`, which then holds as much. `work` is room for as much again there.
    pub(super) fn join_adjoint<'r>(
        &self,
        (b, module, layer): (usize, Module, Layer<'_>),
        x: DualRows<'_>,
        y: DualRows<'r>,
        (joined, work): (&'r mut [f32], &mut [f32]),
        scratch: &mut LinearScratch<'_>,
    ) -> DualRows<'r> {
        let Some(gain) = self.post_norm(b, module) else { return y };
        let mut branch = DualRowsMut::new(work, y.width(), y.stack());
        linear(&self.env, layer, x, branch.reborrow(), Write::Set, scratch);
        let mut adjoint = DualRowsMut::new(joined, y.width(), y.stack());
        adjoint.data().copy_from_slice(y.data());
        let epsilon = self.model.geometry().norm_epsilon;
        norm_heads_adjoint(self.env.ctx, gain, epsilon, branch.rows(), adjoint.reborrow());
        adjoint.into_rows()
    }

    /// The same of a block's down projection, whose input is made of gate and up, `a` and `u`, in `h` on the way.
    pub(super) fn down_adjoint<'r>(
        &self,
        (b, layer): (usize, Layer<'_>),
        [a, u]: [DualRows<'_>; 2],
        y: DualRows<'r>,
        (joined, h, work): (&'r mut [f32], &mut [f32], &mut [f32]),
        scratch: &mut LinearScratch<'_>,
    ) -> DualRows<'r> {
        if self.post_norm(b, Module::Down).is_none() {
            return y;
        }
        let mut h = DualRowsMut::new(h, a.width(), a.stack());
        h.data().copy_from_slice(a.data());
        gate(self.env.ctx, self.model.geometry().family.curve, h.reborrow(), u);
        self.join_adjoint((b, Module::Down, layer), h.rows(), y, (joined, work), scratch)
    }

    /// The gain of the norm behind a branch that ends in `module`.
    fn post_norm(&self, b: usize, module: Module) -> Option<&[f32]> {
        let norms = &self.model.block(b).post_norms;
        norms.get(if module == Module::O { 0 } else { 1 }).map(Vec::as_slice)
    }
}
