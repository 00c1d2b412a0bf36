//! What a pass found for an example, seen along one tangent.

use super::Dual;
use sprig_engine::dual::RowStats;
use std::ops::Range;

/// What an example asked for, in the order in which it asked; values, and derivatives along one tangent (0 in a pass
/// without tangents).
#[derive(Clone, Copy)]
pub struct Found<'a> {
    stats: &'a RowStats<'a>,
    /// (1+K) numbers a logit, its value first.
    logits: &'a [f32],
    tangents: usize,
    along: usize,
    rows: (usize, usize),
    candidates: (usize, usize),
}

/// Statistics of one row's logits, and their derivatives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// Log of the sum of exponentials of all logits.
    pub lse: Dual,
    /// Logit of the target.
    pub target: Dual,
    /// Best logit among all others.
    pub rival: Dual,
    /// Its token id; the smaller one of equals.
    pub rival_id: u32,
}

impl<'a> Found<'a> {
    /// All of a pass with `tangents` tangents: `stats` of n rows, `logits` \[n × (1+K)\].
    pub fn new(stats: &'a RowStats<'a>, logits: &'a [f32], tangents: usize) -> Self {
        let (rows, candidates) = ((0, stats.lse.len()), (0, logits.len() / (1 + tangents)));
        Self { stats, logits, tangents, along: 0, rows, candidates }
    }

    /// Rows and logits of one example alone.
    pub(crate) fn within(self, rows: Range<usize>, candidates: Range<usize>) -> Self {
        Self { rows: (rows.start, rows.end), candidates: (candidates.start, candidates.end), ..self }
    }

    /// The same along tangent `k`.
    pub(crate) fn along(self, k: usize) -> Self {
        Self { along: k, ..self }
    }

    /// The rows.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = Row> + Clone {
        let found = *self;
        let dual = move |values: &[f32], slopes: &[f32], i: usize| match found.tangents {
            0 => Dual::new(values[i], 0.0),
            k => Dual::new(values[i], slopes[i * k + found.along]),
        };
        (found.rows.0..found.rows.1).map(move |i| Row {
            lse: dual(found.stats.lse, found.stats.d_lse, i),
            target: dual(found.stats.target, found.stats.d_target, i),
            rival: dual(found.stats.rival, found.stats.d_rival, i),
            rival_id: found.stats.rival_id[i] as u32,
        })
    }

    /// The candidates' logits, list after list.
    pub fn logits(&self) -> impl ExactSizeIterator<Item = Dual> + Clone {
        let found = *self;
        (0..found.candidates.1 - found.candidates.0).map(move |i| found.logit(i))
    }

    /// The `i`-th of them.
    ///
    /// # Panics
    /// If fewer were asked for.
    pub fn logit(&self, i: usize) -> Dual {
        let (from, end) = self.candidates;
        assert!(i < end - from, "logit {i} of {}", end - from);
        let dual = &self.logits[(from + i) * (1 + self.tangents)..];
        Dual::new(dual[0], if self.tangents == 0 { 0.0 } else { dual[1 + self.along] })
    }
}
