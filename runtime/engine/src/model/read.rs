//! The end of a pass: the final norm of the wanted positions, and what the output head says of them.

use super::layout::row_stats;
use super::{Pass, PassError, Stream};
use crate::dual::{BatchError, DualRows, HEAD_TILE, RowStats, Stack};
use crate::kernels::{Rows, RowsMut, Write, matmul, matvec};
use sprig_budget::{BudgetError, Bytes};

/// What was read off a pass.
pub struct Read<'a> {
    /// Statistics of the rows that wanted them.
    pub stats: RowStats<'a>,
    /// Logits of the candidates, list after list: (1+K) numbers each, value first.
    pub logits: &'a [f32],
    /// Room for what [`Pass::backward`] starts from: the loss's derivatives by each row's log-sum-exp, target and rival, one row
    /// after another, then by each candidate's logit. Empty unless the pass will go backwards.
    pub slopes: &'a mut [f32],
}

impl<'a> Pass<'a> {
    /// Row statistics of the logits after each of positions `rows`, with tangents, where `targets` should follow; and the
    /// logits of the candidates in `lists` after the position of each.
    ///
    /// # Errors
    /// [`PassError::Batch`] for a target or candidate that the model has no logit of, [`PassError::Budget`] for more than
    /// was laid out.
    pub fn read<'c>(
        &mut self,
        rows: &[usize],
        targets: &[u32],
        lists: impl Iterator<Item = (usize, &'c [u32])> + Clone,
    ) -> Result<Read<'_>, PassError> {
        let k = self.net.env.batch.tangents();
        let candidates: usize = lists.clone().map(|(_, list)| list.len()).sum();
        let (first, second) = ((4 + 3 * k) * rows.len(), candidates * (1 + k));
        let slopes = if self.keeping.is_some() { 3 * rows.len() + candidates } else { 0 };
        self.check(first + second + slopes, targets.iter().chain(lists.clone().flat_map(|(_, list)| list)))?;
        if !rows.is_empty() {
            self.statistics(rows, targets)?;
        }
        if candidates > 0 {
            self.candidate_logits(first, lists)?;
        }
        let (stats, rest) = self.buffers.stats.split_at_mut(first);
        let (logits, rest) = rest.split_at_mut(second);
        Ok(Read { stats: row_stats(stats, rows.len(), k), logits, slopes: &mut rest[..slopes] })
    }

    /// Row statistics alone, of [`read`](Self::read).
    ///
    /// # Errors
    /// As it has.
    pub fn row_statistics(&mut self, rows: &[usize], targets: &[u32]) -> Result<RowStats<'_>, PassError> {
        Ok(self.read(rows, targets, std::iter::empty())?.stats)
    }

    /// All logits after `position` into `out` (vocabulary long), −∞ for rows that stand for no token: for sampling and for
    /// tests.
    pub fn logits(&mut self, position: usize, out: &mut [f32]) {
        self.normalise(&[position]);
        let net = &self.net;
        let (head, streamed) = (net.model.head(), net.model.stream().is_some_and(Stream::is_on));
        let x = Rows::new(&self.buffers.normed[..head.cols()], 1, head.cols());
        let tile = if streamed { HEAD_TILE } else { head.rows() };
        let (out, padding) = out.split_at_mut(head.rows());
        padding.fill(f32::NEG_INFINITY);
        for (t, out) in out.chunks_mut(tile).enumerate() {
            let rows = head.row_slice(t * tile..t * tile + out.len());
            net.env.keeper.about_to_use(&rows, None);
            let y = RowsMut::new(out, 1, rows.rows());
            match net.env.integer {
                true => matvec(net.env.ctx, x, &rows, y, Write::Set, self.buffers.scratch.panels),
                false => matmul(net.env.ctx, x, &rows, y, Write::Set, self.buffers.scratch.panels),
            }
            net.env.keeper.done_with(&rows);
        }
    }

    /// Refuses tokens without a logit, and more than `numbers` have room for.
    fn check<'t>(&self, numbers: usize, mut tokens: impl Iterator<Item = &'t u32>) -> Result<(), PassError> {
        let vocabulary = self.net.model.head().rows();
        if let Some(&token) = tokens.find(|&&token| token as usize >= vocabulary) {
            return Err(BatchError::Answer { token, vocabulary }.into());
        }
        let planned = Bytes::of::<f32>(self.buffers.stats.len());
        match numbers <= self.buffers.stats.len() {
            true => Ok(()),
            false => {
                let asked = Bytes::of::<f32>(numbers);
                Err(BudgetError::ArenaExhausted { planned, used: Bytes::ZERO, asked }.into())
            }
        }
    }

    fn statistics(&mut self, rows: &[usize], targets: &[u32]) -> Result<(), BudgetError> {
        self.normalise(rows);
        let (n, k, d) = (rows.len(), self.net.env.batch.tangents(), self.net.model.geometry().width);
        let mut shared = self.shared.scope();
        let pulled = k > 0 || self.keeping.is_some();
        let mut scratch = self.layout.head(&mut shared, self.buffers.scratch.panels, n, d, pulled)?;
        if self.keeping.is_some() {
            scratch.pull = &mut self.buffers.kept.work[..n * d];
        }
        let mut stats = row_stats(self.buffers.stats, n, k);
        let hidden = DualRows::new(self.buffers.normed, d, Stack { positions: n, tangents: k });
        self.net.head().statistics(hidden, targets, &mut stats, &mut scratch);
        Ok(())
    }

    /// Into the statistics' region, from `at` on.
    fn candidate_logits<'c>(
        &mut self,
        mut at: usize,
        lists: impl Iterator<Item = (usize, &'c [u32])>,
    ) -> Result<(), BudgetError> {
        let (d, group) = (self.net.model.geometry().width, 1 + self.net.env.batch.tangents());
        for (position, list) in lists {
            self.normalise(&[position]);
            let mut shared = self.shared.scope();
            let row = shared.take(d)?;
            let out = &mut self.buffers.stats[at..at + list.len() * group];
            self.net.head().candidates(&self.buffers.normed[..group * d], list, out, row);
            at += list.len() * group;
        }
        Ok(())
    }

    /// Final norm of the `wanted` positions into the first rows of `normed`, with tangent rows whenever K > 0.
    fn normalise(&mut self, wanted: &[usize]) {
        let (live, d) = (self.net.env.batch.live(), self.net.model.geometry().width);
        self.buffers.residual.enliven(live);
        let group = live.group() * d;
        let one = Stack { positions: 1, ..live };
        for (out, &position) in self.buffers.normed.chunks_exact_mut(group).zip(wanted) {
            let x = &self.buffers.residual.data()[position * group..(position + 1) * group];
            self.net.norm(self.net.model.final_norm(), DualRows::new(x, d, one), out);
        }
    }
}
