//! How a pass decides, block by block, which of two adapters answers a text.

use super::forward::Net;
use super::routes::{Memory, Routes};
use crate::adapter::{Policy, Sees};
use crate::dual::{DualRows, Keeper, Left, Pool, Router, Seen};
use crate::kernels::dequantize;

impl Routes<'_> {
    /// Decides about `x`, the input of block `b`. Weights and logits are named where they `train`.
    pub(super) fn decide(
        &mut self,
        net: &Net<'_>,
        (b, x): (usize, DualRows<'_>),
        train: bool,
        mut memory: Option<&mut Memory>,
    ) {
        self.decided = false;
        let Some(adapter) = net.adapter else { return };
        let Some(place) = adapter.routed().position(|routed| routed == b) else { return };
        let fixed = match adapter.policy() {
            Policy::Global | Policy::Local => return,
            Policy::Fixed(share) => Some(share),
            Policy::Soft | Policy::Hard => None,
        };
        self.decided = true;
        self.shares.restart(x.stack().positions);
        let embed = |token, row: &mut [f32]| net.embed(token, row);
        let router = net.router(b, x, train, &embed);
        let known = memory.as_ref().zip(router.as_ref()).and_then(|(m, r)| m.known(place, r.route.pool));
        match (fixed.or(known), router) {
            (Some(share), _) => self.shares.data().fill(share),
            (None, None) => self.decided = false,
            (None, Some(router)) => {
                self.shares.enliven(router.stack());
                let (examples, d) = (net.env.batch.rows.examples(), router.width());
                let features = self.features.get_mut(place * examples * d..(place + 1) * examples * d);
                let carry = memory.as_deref_mut().filter(|_| router.route.pool == Pool::Prefix);
                let left = Left { features, carry: carry.map(|memory| memory.carry(place, d)) };
                router.shares(self.shares.reborrow(), left, self.scratch);
                if let Some(memory) = memory {
                    memory.shares[place] = self.shares.data()[0];
                }
            }
        }
        self.asked |= self.decided;
        self.note(net, place);
    }

    /// Notes the mean share of each example.
    fn note(&mut self, net: &Net<'_>, place: usize) {
        let (rows, group) = (net.env.batch.rows, self.shares.group());
        let examples = rows.examples();
        let Some(means) = self.means.get_mut(place * examples..(place + 1) * examples) else { return };
        for (e, mean) in means.iter_mut().enumerate() {
            let span = rows.span(e);
            let shares = self.shares.rows().part(span.clone());
            let sum: f64 = shares.data().iter().step_by(group).map(|q| f64::from(*q)).sum();
            *mean = (sum / span.len() as f64) as f32;
        }
    }
}

impl<'a> Net<'a> {
    /// The router of block `b` over `x`, its input; its weights or logit are named if they `train`.
    pub(super) fn router<'s>(
        &'s self,
        b: usize,
        x: DualRows<'s>,
        train: bool,
        embed: &'s dyn Fn(u32, &mut [f32]),
    ) -> Option<Router<'s>> {
        let adapter = self.adapter?;
        let seen = match adapter.routing()?.sees {
            Sees::Block => Seen::Rows(x),
            Sees::Text => Seen::Tokens(embed),
            Sees::Nothing => Seen::Nothing,
        };
        Some(Router { batch: self.env.batch, route: adapter.route(b, train)?, seen })
    }

    /// The embedding of `token` into `row`.
    pub(super) fn embed(&self, token: u32, row: &mut [f32]) {
        let (embedding, at) = (self.model.embedding(), token as usize);
        dequantize(self.env.ctx.isa, embedding, at..at + 1, row);
        let g = self.model.geometry();
        if g.family.scaled_embedding {
            let root = (g.width as f32).sqrt();
            row.iter_mut().for_each(|v| *v *= root);
        }
        self.model.done_with(&embedding.row_slice(at..at + 1));
    }
}
