//! Two adapters of one layer, blended by a share q of each position (Flow, arXiv 2211.15281, 3.1; docs/algorithm.md, 8):
//!
//! y = W·x + q·u₀(x) + (1 − q)·u₁(x), uᵢ(x) = sᵢ·Uᵢ·Cᵢ·Dᵢ·x.
//!
//! The share goes over the low rows, where it costs next to nothing: with c = C·D·x, q·u(x) = s·U·(q·c), and
//! (q·c)˙ = q·ċ + q̇·c. So y's tangents come out of the rules of one adapter. Where both have the same D, it is used
//! once. What has no share of a position is not computed for it.

use super::super::rows::{DualRows, DualRowsMut};
use super::super::site::Site;
use super::{Last, LinearEnv, Room};
use std::ops::Range;

/// A second adapter of a layer, and how much of what both add is the first's.
#[derive(Clone, Copy)]
pub struct Blend<'a> {
    /// The second adapter.
    pub other: Site<'a>,
    /// q of every position, with its tangents where it has any: rows of one number.
    pub shares: DualRows<'a>,
}

/// One of the two adapters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Half {
    /// The layer's own, with the share q.
    First,
    /// The other, with the share 1 − q.
    Second,
}

impl Half {
    /// Its share where the first's is `q`.
    pub(super) fn share(self, q: f32) -> f32 {
        match self {
            Self::First => q,
            Self::Second => 1.0 - q,
        }
    }

    /// 1, or −1: how its share moves with the first's.
    pub(super) fn sign(self) -> f32 {
        match self {
            Self::First => 1.0,
            Self::Second => -1.0,
        }
    }
}

impl Blend<'_> {
    /// Whether shares have tangents.
    pub(super) fn moves(&self) -> bool {
        self.shares.stack().tangents > 0
    }

    /// The adapters of a layer whose first is `site`.
    pub(super) fn halves<'s>(&'s self, site: &'s Site<'s>) -> [(Half, &'s Site<'s>); 2] {
        [(Half::First, site), (Half::Second, &self.other)]
    }

    /// The next run of positions from `from` on in which `half` has a share; with tangents all positions are one run, for a
    /// share that is 0 may move.
    fn run(&self, half: Half, from: usize, whole: bool) -> Option<Range<usize>> {
        let positions = self.shares.stack().positions;
        if whole {
            return (from == 0).then_some(0..positions);
        }
        let taken = |i: usize| half.share(self.shares.from(i).data()[0]) != 0.0;
        let start = (from..positions).find(|&i| taken(i))?;
        let end = (start..positions).find(|&i| !taken(i)).unwrap_or(positions);
        Some(start..end)
    }

    /// Multiplies the shares of `half` into rows of low numbers: `from` into `to`.
    pub(super) fn weigh(&self, half: Half, run: Range<usize>, from: DualRows<'_>, mut to: DualRowsMut<'_>) {
        let (width, group, own) = (from.width(), from.group(), self.shares.group());
        let shares = self.shares.data()[run.start * own..run.end * own].chunks_exact(own);
        let rows = from.data().chunks_exact(group).zip(to.data().chunks_exact_mut(group));
        for (share, (from, to)) in shares.zip(rows) {
            let q = half.share(share[0]);
            let values = &from[..width];
            to.iter_mut().zip(from).for_each(|(to, v)| *to = q * v);
            for (slope, to) in share[1..].iter().zip(to[width..].chunks_exact_mut(width)) {
                let slope = half.sign() * slope;
                to.iter_mut().zip(values).for_each(|(to, v)| *to += slope * v);
            }
        }
    }
}

/// y += scale · (q·u₀(x) + (1 − q)·u₁(x)).
pub(super) fn add(
    env: &LinearEnv<'_>,
    (site, blend): (&Site<'_>, Blend<'_>),
    x: DualRows<'_>,
    mut y: DualRowsMut<'_>,
    scale: f32,
    room: &mut Room<'_>,
) {
    let whole = y.stack().tangents > 0;
    let mut held: Option<(&[f32], Range<usize>)> = None;
    for (half, site) in blend.halves(site) {
        let mut from = 0;
        while let Some(run) = blend.run(half, from, whole) {
            from = run.end;
            let mut y = y.part(run.clone());
            // Frozen and without a core: what is there is what would be computed.
            let same =
                held.as_ref().is_some_and(|(down, at)| std::ptr::eq(*down, site.down.values) && *at == run);
            let last = match same && site.down.tensor.is_none() && site.core.is_none() {
                true => Last::Low,
                false => room.down(env, site, x.part(run.clone()), y.stack()),
            };
            held = site.core.is_none().then(|| (site.down.values, run.clone()));
            room.share(&blend, (half, run), site.rank, last, y.stack());
            room.up(env, site, Last::Shared, y.reborrow(), scale);
        }
    }
}
