//! Applying a round's updates: one after another from the ledger, ascending numbers, through the code that devices
//! replay with. Memory: the adapter a few times over, whatever the number of devices.

use crate::aliases::Aliases;
use crate::error::CoordinatorError;
use crate::event::Outcome;
use crate::ids::{Applied, RoundId};
use crate::in_sum::{InSum, step_by_sum};
use crate::ledger::{Ledger, LedgerError, ResultRow};
use crate::norms::Bounds;
use crate::options::Options;
use crate::step::{How, Kept, record_limit, step};
use crate::total::{add, add_total, numbers, said};
use crate::whole::Whole;
use sprig_learn::spry::{Layout, Robust};
use sprig_protocol::settings::Downlink;
use sprig_protocol::share_of;
use sprig_transport::messages::{Digest, FleetTotal, GroupSet, Record, RunId, Snapshot};

/// The adapter, and how rounds are applied to it.
#[derive(Debug)]
pub(crate) struct Closer {
    whole: Whole,
    run: RunId,
    sync: Downlink,
    /// What is done about contributions that are far from the others.
    robust: Robust,
    /// What the parts of the loss weigh, where they come one by one.
    weights: Vec<f64>,
    /// Whether numbers that come in pieces are weights.
    takes_weights: bool,
    /// Whether what devices found in a round is in the ledger as its total alone.
    secure: bool,
    /// Which numbers devices go by.
    aliases: Aliases,
    /// Rounds applied.
    applied: Applied,
}

impl Closer {
    /// Goes on from the ledger's last adapter, or begins with `initial`.
    ///
    /// # Errors
    /// When the ledger fails, or holds an adapter of another shape.
    pub(crate) fn open(
        ledger: &mut Ledger,
        options: &Options,
        (layout, initial): (Layout, Vec<f32>),
        aliases: Aliases,
    ) -> Result<Self, CoordinatorError> {
        let mut whole = Whole::new(options, layout, initial)?;
        let (run, sync, robust, weights) =
            (ledger.run(), options.sync, options.robust, options.weights.clone());
        let (takes_weights, secure) = (options.takes_weights(), options.secure);
        let Some(row) = ledger.last_snapshot()? else {
            let applied = Applied::NONE;
            let closer =
                Closer { whole, run, sync, robust, weights, takes_weights, secure, aliases, applied };
            ledger.begin_with(&closer.snapshot())?;
            return Ok(closer);
        };
        ledger.check_beginning(whole.digest())?;
        let Snapshot { values, moments, .. } = ledger.snapshot(&row)?;
        whole.restore(values, moments)?;
        if whole.digest().0 != row.adapter {
            return Err(ledger.damaged(format!("adapter after {} rounds is another", row.applied)).into());
        }
        Ok(Closer { whole, run, sync, robust, weights, takes_weights, secure, aliases, applied: row.applied })
    }

    /// The weights of the groups `groups`, which exist; none of sums.
    pub(crate) fn weights(&self, groups: GroupSet) -> Vec<f32> {
        match &self.whole {
            Whole::Adapter(server) => server.part(share_of(groups)),
            Whole::Sums(_) => Vec::new(),
        }
    }

    /// The adapter's digest.
    pub(crate) fn digest(&self) -> Digest {
        self.whole.digest()
    }

    /// Rounds applied to the adapter.
    pub(crate) fn applied(&self) -> Applied {
        self.applied
    }

    /// Memory, moments and all, as it is sent.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            run: self.run,
            round: self.applied.0,
            after: self.digest(),
            values: self.whole.values(),
            moments: self.whole.moments(),
        }
    }

    /// Applies `round`, within its bounds or as the total over all fleets that are folded says, and keeps what it gave. A round
    /// that is applied already is not applied again.
    ///
    /// # Errors
    /// When the ledger fails or does not hold the round before.
    pub(crate) fn close(
        &mut self,
        ledger: &mut Ledger,
        round: RoundId,
        (bounds, total): (&Bounds, Option<&FleetTotal>),
    ) -> Result<Outcome, CoordinatorError> {
        if self.applied == round.applied_after() {
            let row = ledger.result(round)?;
            let row = row.ok_or_else(|| ledger.damaged(format!("round {round} has no result")))?;
            return Ok(outcome(ledger, &row)?);
        }
        if self.applied != round.applied_before() {
            let problem = format!("round {round} follows an adapter of {} rounds", self.applied);
            return Err(ledger.damaged(problem).into());
        }
        let base = self.digest();
        let mut sum = match &mut self.whole {
            Whole::Adapter(server) if self.secure => {
                let limit = record_limit(self.sync, server);
                let total = in_sum(ledger, round, total)?;
                step_by_sum(server, limit, &Kept(ledger, round, &self.aliases), &total, round)?
            }
            Whole::Adapter(server) => {
                let limit = record_limit(self.sync, server);
                let how = How {
                    robust: self.robust,
                    weights: &self.weights,
                    bounds,
                    takes_weights: self.takes_weights,
                };
                step(server, &how, limit, &Kept(ledger, round, &self.aliases), round)?
            }
            Whole::Sums(sums) if self.secure => add_total(sums, ledger, round)?,
            Whole::Sums(sums) => add(sums, ledger, round, self.robust)?,
        };
        self.applied = round.applied_after();
        let snapshot = self.snapshot();
        let record = sum.record(Record {
            run: self.run,
            round: round.0,
            base,
            after: snapshot.after,
            contributions: Vec::new(),
        });
        let frame = snapshot.encode();
        let row = ResultRow {
            round,
            after: snapshot.after.0,
            applied: sum.applied,
            loss: if self.whole.tells_losses() && !self.secure {
                sum.loss(self.robust) as f32
            } else {
                f32::NAN
            },
            bins: (sum.bins.n() > 0).then(|| sum.bins.rows()),
            weights: (!self.weights.is_empty()).then(|| self.weights.clone()),
            reverted: None,
            others: sum.others,
            record: record.as_ref().map(|r| r.len() as u32),
            blob: Digest::of(record.as_ref().unwrap_or(&frame)).0,
            snapshot: frame.len() as u32,
        };
        ledger.put_result(&row, &sum.covered, record.as_deref(), &snapshot, &frame)?;
        Ok(outcome(ledger, &row)?)
    }

    /// Takes back what `round`, the last one, made of the adapter: what it leads to is that after `to` rounds, moments and all.
    ///
    /// # Errors
    /// When the ledger fails, or does not hold that adapter.
    pub(crate) fn revert(
        &mut self,
        ledger: &mut Ledger,
        round: RoundId,
        to: Applied,
    ) -> Result<Outcome, CoordinatorError> {
        let (row, best) = (ledger.result(round)?, ledger.snapshot_row(to)?);
        let (Some(row), Some(best)) = (row, best) else {
            return Err(ledger
                .damaged(format!("round {round}, or the adapter after {to}, is not there"))
                .into());
        };
        let Snapshot { values, moments, .. } = ledger.snapshot(&best)?;
        self.whole.restore(values, moments)?;
        let snapshot = self.snapshot();
        let frame = snapshot.encode();
        let (blob, bytes) = (Digest::of(&frame).0, frame.len() as u32);
        let after = snapshot.after.0;
        let row = ResultRow { after, record: None, blob, snapshot: bytes, reverted: Some(to), ..row };
        ledger.put_result(&row, &[], None, &snapshot, &frame)?;
        Ok(outcome(ledger, &row)?)
    }
}

/// What the updates of `round` come to, with those of other fleets where `all` is the total over them.
fn in_sum(ledger: &Ledger, round: RoundId, all: Option<&FleetTotal>) -> Result<InSum, CoordinatorError> {
    let Some(all) = all else { return Ok(InSum { numbers: numbers(ledger)?, others: None }) };
    let (_, (devices, examples)) = said(ledger, round)?;
    // The own total is part of it.
    let others = (all.devices.saturating_sub(devices), all.examples.saturating_sub(examples));
    Ok(InSum { numbers: all.numbers.clone(), others: Some(others) })
}

fn outcome(ledger: &Ledger, row: &ResultRow) -> Result<Outcome, LedgerError> {
    Ok(Outcome {
        round: row.round,
        after: Digest(row.after),
        applied: row.applied,
        others: row.others.unwrap_or(0),
        loss: row.loss,
        bins: row.bins.clone().unwrap_or_default(),
        weights: row.weights.clone(),
        reverted: row.reverted,
        result: ledger.announced(row)?,
        bytes_up: 0,
        bytes_down: 0,
    })
}
