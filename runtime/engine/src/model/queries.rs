//! What lies between a block's query, key and value layers and its attention: biases, norms of heads, rotation; and the way
//! back.

use super::Family;
use super::forward::Net;
use crate::dual::{DualRows, DualRowsMut, add_bias, norm_heads, norm_heads_adjoint};

impl Net<'_> {
    /// Adds the biases of queries, keys and values, where the family has them.
    pub(super) fn add_biases(&self, b: usize, rows: [&mut DualRowsMut<'_>; 3]) {
        for (bias, rows) in self.model.block(b).biases.iter().zip(rows) {
            add_bias(self.env.ctx, bias, rows.reborrow());
        }
    }

    /// Normalises and rotates queries and keys; `place` is the place of a position in its text.
    pub(super) fn turn(
        &self,
        b: usize,
        rows: [&mut DualRowsMut<'_>; 2],
        place: impl Fn(usize) -> usize + Sync,
    ) {
        let g = self.model.geometry();
        let mut gains = self.model.block(b).head_norms.iter();
        for rows in rows {
            if let Some(gain) = gains.next() {
                norm_heads(self.env.ctx, gain, g.norm_epsilon, rows.reborrow());
            }
            self.rope.of(g, b).apply(self.env.ctx, g.head_dim, rows.reborrow(), &place);
        }
    }

    /// From the adjoints of queries and keys, in place, those of what their layers gave; which was `unturned`, if there are
    /// norms.
    pub(super) fn turn_adjoint(
        &self,
        b: usize,
        unturned: Option<[DualRows<'_>; 2]>,
        adjoints: [&mut DualRowsMut<'_>; 2],
    ) {
        let g = self.model.geometry();
        let norms = &self.model.block(b).head_norms;
        let mut norms = norms.iter().zip(unturned.into_iter().flatten());
        for rows in adjoints {
            self.rope.of(g, b).apply_adjoint(self.env.ctx, g.head_dim, rows.reborrow(), |i| self.place(i));
            if let Some((gain, x)) = norms.next() {
                norm_heads_adjoint(self.env.ctx, gain, g.norm_epsilon, x, rows.reborrow());
            }
        }
    }
}

impl Family {
    /// Numbers of each position that [`turn_adjoint`](Net::turn_adjoint) needs of queries and keys, of so many together.
    pub(super) fn unturned(&self, width: usize) -> usize {
        if self.head_norms { width } else { 0 }
    }

    /// Numbers of each position that joining the stream needs, which is so wide, on either way.
    pub(super) fn joined(&self, width: usize) -> usize {
        if self.post_norms { width } else { 0 }
    }
}
