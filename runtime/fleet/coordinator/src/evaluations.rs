//! Evaluations under way, and the rows of the history that wait for them.

use crate::ids::Applied;
use crate::rows::{HeldOut, RoundRow};

/// Evaluations under way at most; while there are as many, rounds go on without one.
const MOST: usize = 4;

/// Which adapters are being evaluated.
#[derive(Debug)]
pub(crate) struct Evaluations {
    under_way: Vec<Applied>,
    /// Rows of the rounds that made them.
    rows: Vec<RoundRow>,
    before: Option<HeldOut>,
}

impl Evaluations {
    /// Goes on with those `under_way`.
    pub(crate) fn new(under_way: Vec<Applied>, rows: Vec<RoundRow>, before: Option<HeldOut>) -> Self {
        Self { under_way, rows, before }
    }

    /// Adapters that are being evaluated, by rounds applied.
    pub(crate) fn under_way(&self) -> &[Applied] {
        &self.under_way
    }

    /// The adapter before the first round, evaluated.
    pub(crate) fn before(&self) -> Option<HeldOut> {
        self.before
    }

    /// Whether no more should be begun now, but for the last.
    pub(crate) fn are_full(&self) -> bool {
        self.under_way.len() >= MOST
    }

    /// Begins that of the adapter before the first round; whether it was not under way.
    pub(crate) fn begin_before(&mut self) -> bool {
        let news = !self.under_way.contains(&Applied::NONE);
        if news {
            self.under_way.push(Applied::NONE);
        }
        news
    }

    /// Begins that of the adapter after `row`'s round.
    pub(crate) fn begin(&mut self, row: RoundRow) {
        self.under_way.push(row.round.applied_after());
        self.rows.push(row);
    }

    /// Ends one, of which `found` came. `None` if it was not under way; the round's row, now complete, if a round made
    /// the adapter.
    pub(crate) fn end(&mut self, applied: Applied, found: Option<HeldOut>) -> Option<Option<RoundRow>> {
        let at = self.under_way.iter().position(|&other| other == applied)?;
        self.under_way.remove(at);
        let row = self.rows.iter().position(|row| row.round.applied_after() == applied);
        let row = row.map(|at| self.rows.remove(at));
        let Some(found) = found else { return Some(None) };
        if applied == Applied::NONE {
            self.before = Some(found);
        }
        Some(row.map(|row| RoundRow { accuracy: found.accuracy, loss_held_out: Some(found.loss), ..row }))
    }

    /// What always holds: each is under way once, and each row belongs to one of them.
    pub(crate) fn holds(&self) -> Result<(), String> {
        let known = |row: &RoundRow| self.under_way.contains(&row.round.applied_after());
        if let Some(row) = self.rows.iter().find(|row| !known(row)) {
            return Err(format!("round {} waits for an evaluation that is not under way", row.round));
        }
        let mut once = self.under_way.clone();
        once.sort_unstable();
        match once.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(format!("adapter {} is evaluated twice", pair[0])),
            None => Ok(()),
        }
    }
}
