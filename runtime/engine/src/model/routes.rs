//! How a pass decides, block by block, which of two adapters answers a text.

use super::forward::Net;
use crate::adapter::{Policy, Sees};
use crate::dual::{Carry, DualRows, DualRowsMut, Keeper, Left, Pool, Router, Seen};
use crate::kernels::dequantize;
use sprig_budget::Bytes;

/// What routers work with, and what they decided.
pub(super) struct Routes<'a> {
    /// q of every position, for the block under way.
    pub shares: DualRowsMut<'a>,
    /// Whether there are any: an adapter may be one alone.
    pub decided: bool,
    /// q̄ of every position.
    pub pull: &'a mut [f32],
    pub scratch: &'a mut [f32],
    /// Mean share of each example in each routed block: blocks × examples of the pass.
    pub means: &'a mut [f32],
    /// What each router looked at, blocks × examples × its width, where that is kept.
    pub features: &'a mut [f32],
}

/// What routers remember of a text that is read in pieces.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Whether a piece was read.
    begun: bool,
    /// q of the prompt, by routed block.
    shares: Vec<f32>,
    /// Sums of what was looked at, by routed block.
    sums: Vec<f32>,
    /// Over so many tokens.
    counts: Vec<usize>,
}

impl<'a> Routes<'a> {
    /// The shares of the block under way, if there are any.
    pub(super) fn shares(&self) -> Option<DualRows<'_>> {
        self.decided.then(|| self.shares.rows())
    }

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

impl Memory {
    /// Of `blocks` routers that look at `width` numbers.
    pub(super) fn new(blocks: usize, width: usize) -> Self {
        Self {
            begun: false,
            shares: vec![0.0; blocks],
            sums: vec![0.0; blocks * width],
            counts: vec![0; blocks],
        }
    }

    /// Its heap bytes.
    pub(super) fn bytes(blocks: usize, width: usize) -> Bytes {
        Bytes((blocks * (4 * (1 + width) + size_of::<usize>())) as u64)
    }

    /// A piece was read.
    pub(super) fn advance(&mut self) {
        self.begun = true;
    }

    /// The share that was decided when the prompt was read.
    fn known(&self, place: usize, pool: Pool) -> Option<f32> {
        (self.begun && pool == Pool::Prompt).then(|| self.shares[place])
    }

    fn carry(&mut self, place: usize, width: usize) -> Carry<'_> {
        let sum = &mut self.sums[place * width..(place + 1) * width];
        Carry { sum, count: &mut self.counts[place] }
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
        self.model.done_with(&embedding.row_slice(at..at + 1));
    }
}
