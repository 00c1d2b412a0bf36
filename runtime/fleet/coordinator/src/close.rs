//! Applying a round's updates: one after another from the ledger, ascending numbers, through the code that devices
//! replay with. Memory: the adapter a few times over, whatever the number of devices.

use crate::error::CoordinatorError;
use crate::event::Outcome;
use crate::ids::{Applied, DeviceNumber, RoundId};
use crate::ledger::{Covered, Ledger, LedgerError, ResultRow};
use crate::options::Options;
use crate::validate::{self, Refusal};
use crate::whole::Whole;
use sha2::{Digest as _, Sha256};
use sprig_learn::LearnError;
use sprig_learn::calibration::{Bins, FLEET_BINS};
use sprig_learn::estimator::mix;
use sprig_learn::readout::fleet::{Flaw, FleetSums, Shape, most_bytes};
use sprig_learn::spry::{self, Layout, Server, Step};
use sprig_protocol::settings::Downlink;
use sprig_protocol::{dense, share_of};
use sprig_transport::messages::{
    Body, Contribution, Digest, MAX_CONTRIBUTIONS, Reason, Record, RunId, Snapshot, Update,
};

/// The adapter, and how rounds are applied to it.
#[derive(Debug)]
pub(crate) struct Closer {
    whole: Whole,
    run: RunId,
    sync: Downlink,
    /// What the parts of the loss weigh, where they come one by one.
    weights: Vec<f64>,
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
        layout: Layout,
        initial: Vec<f32>,
    ) -> Result<Self, CoordinatorError> {
        let mut whole = Whole::new(options, layout, initial)?;
        let (run, sync, weights) = (ledger.run(), options.sync, options.weights.clone());
        let Some(row) = ledger.last_snapshot()? else {
            let closer = Closer { whole, run, sync, weights, applied: Applied::NONE };
            ledger.begin_with(&closer.snapshot())?;
            return Ok(closer);
        };
        ledger.check_beginning(whole.digest())?;
        let Snapshot { values, moments, .. } = ledger.snapshot(&row)?;
        whole.restore(values, moments)?;
        if whole.digest().0 != row.adapter {
            return Err(ledger.damaged(format!("adapter after {} rounds is another", row.applied)).into());
        }
        Ok(Closer { whole, run, sync, weights, applied: row.applied })
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

    /// Applies `round`, but for the devices `aside`, and keeps what it gave. A round that is applied already is not
    /// applied again.
    ///
    /// # Errors
    /// When the ledger fails or does not hold the round before.
    pub(crate) fn close(
        &mut self,
        ledger: &mut Ledger,
        round: RoundId,
        aside: &[DeviceNumber],
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
            Whole::Adapter(server) => {
                let sum = Sum::new(record_limit(self.sync, server));
                step((server, &self.weights), sum, ledger, round, aside)?
            }
            Whole::Sums(sums) => add(sums, ledger, round)?,
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
            loss: (sum.loss / sum.examples as f64) as f32,
            bins: (sum.bins.n() > 0).then(|| sum.bins.rows()),
            weights: (!self.weights.is_empty()).then(|| self.weights.clone()),
            record: record.as_ref().map(|r| r.len() as u32),
            blob: Digest::of(record.as_ref().unwrap_or(&frame)).0,
            snapshot: frame.len() as u32,
        };
        ledger.put_result(&row, &sum.covered, record.as_deref(), &snapshot, &frame)?;
        Ok(outcome(ledger, &row)?)
    }
}

/// Has `server` take the step of `round`, with the parts of the loss by `weights` where they come one by one, and counts it up
/// in `sum`.
fn step(
    (server, weights): (&mut Server, &[f64]),
    mut sum: Sum,
    ledger: &Ledger,
    round: RoundId,
    aside: &[DeviceNumber],
) -> Result<Sum, CoordinatorError> {
    let layout = server.layout().clone();
    let mut step = server.begin(round.0);
    ledger.updates(round, |number, _, frame| {
        if aside.binary_search(&number).is_ok() {
            return Ok(());
        }
        let mut update = decoded(ledger, round, number, frame)?;
        if let Body::Scalars(scalars) = &mut update.body
            && !weights.is_empty()
        {
            *scalars = mix(scalars, weights);
        }
        sum.take(ledger, &layout, &mut step, number, update)
    })?;
    step.finish();
    Ok(sum)
}

/// Adds the sums of `round` to `sums`. Whole numbers: their order changes nothing.
fn add(sums: &mut FleetSums, ledger: &Ledger, round: RoundId) -> Result<Sum, CoordinatorError> {
    let mut sum = Sum::new(0);
    ledger.updates(round, |number, _, frame| {
        let update = decoded(ledger, round, number, frame)?;
        let mut bytes = Vec::with_capacity(most_bytes(sums.shape().numbers()));
        ledger.chunks(number, |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        let own = FleetSums::unpacked(sums.shape(), &bytes, u64::from(update.examples))
            .map_err(|flaw| ledger.damaged(format!("sums of device {number} in round {round}: {flaw}")))?;
        // Past what sums have room for, the round goes on without it.
        if sums.merge(&own).is_ok() {
            sum.count(number, &update);
            sum.parts = None;
        }
        Ok::<_, CoordinatorError>(())
    })?;
    Ok(sum)
}

fn decoded(
    ledger: &Ledger,
    round: RoundId,
    number: DeviceNumber,
    frame: &[u8],
) -> Result<Update, CoordinatorError> {
    let damaged = |e| ledger.damaged(format!("update of device {number} in round {round}: {e}"));
    Ok(Update::decode(frame).map_err(damaged)?)
}

/// What is added up over a round.
struct Sum {
    applied: u32,
    examples: u64,
    loss: f64,
    /// How sure the devices' models were, and whether rightly.
    bins: Bins,
    /// The updates that were applied.
    covered: Vec<Covered>,
    /// Parts of the record, while it may still be worth it.
    parts: Option<Vec<Contribution>>,
    bytes: usize,
    limit: usize,
}

impl Sum {
    /// With a record of at most `limit` bytes.
    fn new(limit: usize) -> Self {
        Sum {
            applied: 0,
            examples: 0,
            loss: 0.0,
            bins: Bins::new(FLEET_BINS),
            covered: Vec::new(),
            parts: Some(Vec::new()),
            bytes: 0,
            limit,
        }
    }

    fn take(
        &mut self,
        ledger: &Ledger,
        layout: &Layout,
        step: &mut Step<'_>,
        number: DeviceNumber,
        update: Update,
    ) -> Result<(), CoordinatorError> {
        let share = share_of(update.groups);
        let added = match &update.body {
            Body::Scalars(scalars) => {
                step.add(number.0, share, update.examples, spry::Body::Scalars(scalars))
            }
            Body::Dense { .. } => {
                let mut weights = Vec::with_capacity(layout.weights(share));
                ledger.chunks(number, |bytes| {
                    weights.extend(dense::weights(bytes));
                    Ok(())
                })?;
                step.add(number.0, share, update.examples, spry::Body::Dense(&weights))
            }
        };
        match added {
            Ok(()) => {}
            // Sound by itself, but it leads nowhere finite: the round goes on without it.
            Err(LearnError::Update { .. }) => return Ok(()),
            Err(other) => return Err(other.into()),
        }
        self.count(number, &update);
        let Body::Scalars(scalars) = update.body else {
            self.parts = None;
            return Ok(());
        };
        self.bytes += 4 * scalars.len();
        if self.bytes > self.limit || self.applied as usize > MAX_CONTRIBUTIONS {
            self.parts = None;
        }
        if let Some(parts) = &mut self.parts {
            let Update { groups, examples, .. } = update;
            parts.push(Contribution { number: number.0, groups, examples, scalars });
        }
        Ok(())
    }

    fn count(&mut self, number: DeviceNumber, update: &Update) {
        self.covered.push((number, share_of(update.groups), update.examples));
        self.applied += 1;
        self.examples += u64::from(update.examples);
        self.loss += f64::from(update.loss) * f64::from(update.examples);
        if let Some(own) = Bins::of_rows(&update.bins) {
            self.bins.merge(&own);
        }
    }

    /// The record's frame, unless it is larger than the limit. A round that changed nothing always has one.
    fn record(&mut self, record: Record) -> Option<Vec<u8>> {
        let contributions = self.parts.take()?;
        let frame = Record { contributions, ..record }.encode();
        (frame.len() <= self.limit.min(Record::MAX) || self.applied == 0).then_some(frame)
    }
}

/// Bytes of a record past which the adapter itself is sent instead.
pub fn record_limit(sync: Downlink, server: &Server) -> usize {
    match sync {
        Downlink::Weights => 0,
        Downlink::Scalars => Record::MAX,
        Downlink::Auto => 4 * (server.values().len() + server.moments().len()),
    }
}

/// Looks through the pieces of a dense update: root mean square of its weights, or why it is refused.
pub(super) fn check(
    ledger: &Ledger,
    number: DeviceNumber,
    digest: Digest,
    bytes: u32,
) -> Result<Result<f32, Refusal>, LedgerError> {
    let mut hash = Sha256::new();
    let (mut squares, mut count, mut sound) = (0.0f64, 0u64, Ok(()));
    ledger.chunks(number, |piece| {
        hash.update(piece);
        match validate::root_mean_square(dense::weights(piece)) {
            Ok(norm) => squares += f64::from(norm) * f64::from(norm) * (piece.len() / 4) as f64,
            Err(refusal) => sound = Err(refusal),
        }
        count += piece.len() as u64;
        Ok(())
    })?;
    if count != u64::from(bytes) || hash.finalize().as_slice() != digest.0 {
        let text = format!("its {count} bytes are not those of {}", digest.short());
        return Ok(Err(Refusal::new(Reason::Blob, text)));
    }
    Ok(sound.map(|()| (squares / (count / 4).max(1) as f64).sqrt() as f32))
}

/// Looks through the pieces of a device's sums, which are of `examples` examples, as it says. Sums have no norm: how large
/// they are is how many examples there are.
pub(super) fn check_sums(
    ledger: &Ledger,
    number: DeviceNumber,
    digest: Digest,
    shape: Shape,
    examples: u32,
) -> Result<Result<f32, Refusal>, LedgerError> {
    let mut bytes = Vec::new();
    ledger.chunks(number, |piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    })?;
    if Digest::of(&bytes) != digest {
        let text = format!("its {} bytes are not those of {}", bytes.len(), digest.short());
        return Ok(Err(Refusal::new(Reason::Blob, text)));
    }
    let found = FleetSums::unpacked(shape, &bytes, u64::from(examples)).map(|_| 0.0);
    Ok(found.map_err(|flaw| {
        let reason = match flaw {
            Flaw::Form => Reason::Blob,
            Flaw::Examples { .. } => Reason::Examples,
            Flaw::Range { .. } => Reason::Norm,
        };
        Refusal::new(reason, flaw.to_string())
    }))
}

fn outcome(ledger: &Ledger, row: &ResultRow) -> Result<Outcome, LedgerError> {
    Ok(Outcome {
        round: row.round,
        after: Digest(row.after),
        applied: row.applied,
        loss: row.loss,
        bins: row.bins.clone().unwrap_or_default(),
        weights: row.weights.clone(),
        result: ledger.announced(row)?,
        bytes_up: 0,
        bytes_down: 0,
    })
}
