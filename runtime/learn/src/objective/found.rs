//! What a pass found for an example, seen along one tangent, or by one of its numbers alone.

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
    along: Along,
    rows: (usize, usize),
    candidates: (usize, usize),
}

/// What derivatives are by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Along {
    /// The pass's tangent.
    Tangent(usize),
    /// One of the example's own numbers: three a row, then one a candidate.
    Number(usize),
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
        Self { stats, logits, tangents, along: Along::Tangent(0), rows, candidates }
    }

    /// Rows and logits of one example alone.
    pub(crate) fn within(self, rows: Range<usize>, candidates: Range<usize>) -> Self {
        Self { rows: (rows.start, rows.end), candidates: (candidates.start, candidates.end), ..self }
    }

    /// The same along tangent `k`.
    pub(crate) fn along(self, k: usize) -> Self {
        Self { along: Along::Tangent(k), ..self }
    }

    /// The same with derivatives by its `i`-th number: log-sum-exp, target and rival of each row, then each candidate's logit.
    pub(crate) fn by(self, i: usize) -> Self {
        Self { along: Along::Number(i), ..self }
    }

    /// The rows.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = Row> + Clone {
        let found = *self;
        let dual = move |values: &[f32], slopes: &[f32], i: usize, which: usize| {
            let slope = match found.along {
                Along::Number(number) => unit(number == 3 * (i - found.rows.0) + which),
                Along::Tangent(_) if found.tangents == 0 => 0.0,
                Along::Tangent(k) => slopes[i * found.tangents + k],
            };
            Dual::new(values[i], slope)
        };
        (found.rows.0..found.rows.1).map(move |i| Row {
            lse: dual(found.stats.lse, found.stats.d_lse, i, 0),
            target: dual(found.stats.target, found.stats.d_target, i, 1),
            rival: dual(found.stats.rival, found.stats.d_rival, i, 2),
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
        let slope = match self.along {
            Along::Number(number) => unit(number == 3 * (self.rows.1 - self.rows.0) + i),
            Along::Tangent(_) if self.tangents == 0 => 0.0,
            Along::Tangent(k) => dual[1 + k],
        };
        Dual::new(dual[0], slope)
    }
}

fn unit(itself: bool) -> f32 {
    if itself { 1.0 } else { 0.0 }
}
