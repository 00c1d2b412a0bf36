//! What closed rounds gave: records and snapshots, kept up to a number of bytes.

use super::commit::cbor;
use super::coverage;
use super::{Covered, Ledger, LedgerError, META, RECORDS, RESULTS, SLICES, SNAPSHOTS};
use crate::ids::{Applied, RoundId};
use minicbor::{Decode, Encode};
use redb::{ReadableTable, WriteTransaction};
use sprig_transport::blob::{CHUNK, chunk_count};
use sprig_transport::messages::{BlobKind, Digest, MAX_INLINE, RoundResult, RunId, Snapshot};

/// Key in `meta`: SHA-256 of the adapter before the first round.
const BEGINNING: &str = "beginning";

/// What closing a round gave.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub(crate) struct ResultRow {
    /// The round.
    #[n(0)]
    pub round: RoundId,
    /// SHA-256 of the adapter after it.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub after: [u8; 32],
    /// Updates applied.
    #[n(2)]
    pub applied: u32,
    /// Mean loss over all examples; NaN without.
    #[n(3)]
    pub loss: f32,
    /// Length of the record's frame, if the round can be replayed and a record is what devices are sent.
    #[n(4)]
    pub record: Option<u32>,
    /// SHA-256 of the record's frame, or of the snapshot's where there is no record.
    #[cbor(n(5), with = "minicbor::bytes")]
    pub blob: [u8; 32],
    /// Length of the snapshot's frame.
    #[n(6)]
    pub snapshot: u32,
    /// How sure the devices' models were of their answers, and whether rightly, where they say it.
    #[n(7)]
    pub bins: Option<Vec<[u64; 3]>>,
    /// What the parts of the loss weighed, where they came one by one.
    #[n(8)]
    pub weights: Option<Vec<f64>>,
    /// Rounds applied to the adapter that came back instead, if one did.
    #[n(9)]
    pub reverted: Option<Applied>,
    /// Devices of other fleets whose numbers were applied too.
    #[n(10)]
    pub others: Option<u32>,
}

/// An adapter with its moments.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub(crate) struct SnapshotRow {
    /// Rounds applied to it.
    #[n(0)]
    pub applied: Applied,
    /// SHA-256 of its values.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub adapter: [u8; 32],
    /// SHA-256 of its frame.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub blob: [u8; 32],
    /// Length of its frame.
    #[n(3)]
    pub bytes: u32,
}

impl Ledger {
    /// What closing `round` gave, if that was done.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub(crate) fn result(&self, round: RoundId) -> Result<Option<ResultRow>, LedgerError> {
        let row = self.get(RESULTS, round.0)?.map(|bytes| minicbor::decode(&bytes)).transpose();
        row.map_err(|e| self.damaged(format!("result of round {round}: {e}")))
    }

    /// Rounds whose adapter was taken back.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub(crate) fn reverted(&self) -> Result<u32, LedgerError> {
        self.count_results(|row| row.reverted.is_some())
    }

    /// Rounds in which no update was applied.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub(crate) fn abandoned(&self) -> Result<u32, LedgerError> {
        self.count_results(|row| row.applied + row.others.unwrap_or(0) == 0)
    }

    fn count_results(&self, which: impl Fn(&ResultRow) -> bool) -> Result<u32, LedgerError> {
        let mut count = 0;
        self.each(RESULTS, |round, bytes| {
            let row: ResultRow =
                minicbor::decode(bytes).map_err(|e| self.damaged(format!("result of round {round}: {e}")))?;
            count += u32::from(which(&row));
            Ok(())
        })?;
        Ok(count)
    }

    /// Keeps what closing a round gave, and which updates it applied, in one transaction; `frame` is the snapshot's.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn put_result(
        &mut self,
        row: &ResultRow,
        covered: &[Covered],
        record: Option<&[u8]>,
        snapshot: &Snapshot,
        frame: &[u8],
    ) -> Result<(), LedgerError> {
        self.write(|txn| {
            txn.open_table(RESULTS)?.insert(row.round.0, cbor(row).as_slice())?;
            let mut records = txn.open_table(RECORDS)?;
            match record {
                Some(record) => drop(records.insert(row.round.0, record)?),
                None => drop(records.remove(row.round.0)?),
            }
            coverage::add(txn, covered)?;
            put_snapshot(txn, snapshot, frame)
        })
    }

    /// Keeps the adapter before the first round.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn begin_with(&mut self, snapshot: &Snapshot) -> Result<(), LedgerError> {
        let frame = snapshot.encode();
        self.write(|txn| {
            txn.open_table(META)?.insert(BEGINNING, snapshot.after.0.as_slice())?;
            put_snapshot(txn, snapshot, &frame)
        })
    }

    /// Goes on as `run`, another epoch of the same: the adapters that are kept are that one's from now on, and the records of
    /// rounds, which are another's, go. All of it in one transaction.
    ///
    /// # Errors
    /// When the ledger cannot be read or the disk fails.
    pub(crate) fn renew(&mut self, run: RunId) -> Result<(), LedgerError> {
        let (mut kept, mut results) = (Vec::new(), Vec::new());
        for row in self.snapshots()? {
            let snapshot = Snapshot { run, ..self.snapshot(&row)? };
            let frame = snapshot.encode();
            let result = row.applied.last().map(|round| self.result(round)).transpose()?.flatten();
            let (blob, bytes) = (Digest::of(&frame).0, frame.len() as u32);
            results.extend(result.map(|row| ResultRow { record: None, blob, snapshot: bytes, ..row }));
            kept.push((snapshot, frame));
        }
        self.write(|txn| {
            txn.open_table(META)?.insert("run", run.0.as_slice())?;
            txn.open_table(RECORDS)?.retain(|_, _| false)?;
            for row in &results {
                txn.open_table(RESULTS)?.insert(row.round.0, cbor(row).as_slice())?;
            }
            kept.iter().try_for_each(|(snapshot, frame)| put_snapshot(txn, snapshot, frame))
        })
    }

    /// Refuses to go on from another adapter than the run began with, as far as the ledger says with which: one that was
    /// begun by an earlier program does not.
    ///
    /// # Errors
    /// [`LedgerError::Foreign`] with both.
    pub(crate) fn check_beginning(&self, with: Digest) -> Result<(), LedgerError> {
        let txn = self.reader()?;
        let read = || -> Result<_, redb::Error> {
            Ok(txn.open_table(META)?.get(BEGINNING)?.map(|value| value.value().to_vec()))
        };
        match read().map_err(|e| self.failed("read", e))? {
            Some(begun) if begun != with.0 => {
                let begun = begun.iter().take(4).map(|byte| format!("{byte:02x}")).collect::<String>();
                let difference = format!(
                    "there a run that began with adapter {begun}, here `init` under [train] makes it {:.8}",
                    with.to_string()
                );
                Err(LedgerError::Foreign { path: self.path.clone(), difference })
            }
            _ => Ok(()),
        }
    }

    /// Forgets the oldest records and snapshots until at most so many bytes are left. The last snapshot and those that
    /// `wanted` names (rounds applied) stay.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn prune(
        &mut self,
        records: u64,
        snapshots: u64,
        wanted: &[Applied],
    ) -> Result<(), LedgerError> {
        let mut rows = self.snapshots()?;
        let last = rows.pop().map(|row| row.applied);
        let mut total: u64 = rows.iter().map(|row| u64::from(row.bytes)).sum();
        let mut old_snapshots = Vec::new();
        for row in rows.iter().filter(|row| !wanted.contains(&row.applied) && Some(row.applied) != last) {
            if total <= snapshots {
                break;
            }
            total -= u64::from(row.bytes);
            old_snapshots.push(row.applied);
        }
        let old_records = self.old_records(records)?;
        if old_records.is_none() && old_snapshots.is_empty() {
            return Ok(());
        }
        self.write(|txn| {
            if let Some(end) = old_records {
                txn.open_table(RECORDS)?.retain_in(..end.0, |_, _| false)?;
            }
            let (mut rows, mut slices) = (txn.open_table(SNAPSHOTS)?, txn.open_table(SLICES)?);
            for applied in old_snapshots {
                rows.remove(applied.0)?;
                slices.retain_in((applied.0, 0)..=(applied.0, u32::MAX), |_, _| false)?;
            }
            Ok(())
        })
    }

    /// First round whose record may stay, if any must go.
    fn old_records(&self, limit: u64) -> Result<Option<RoundId>, LedgerError> {
        let txn = self.reader()?;
        let scan = || -> Result<_, redb::Error> {
            let mut total = 0u64;
            // The last one is what devices are sent now; the one before it is, until it is known that the round is over.
            for (age, row) in txn.open_table(RECORDS)?.iter()?.rev().enumerate() {
                let (round, value) = row?;
                total += value.value().len() as u64;
                if total > limit && age > 1 {
                    return Ok(Some(RoundId(round.value()).next()));
                }
            }
            Ok(None)
        };
        scan().map_err(|e| self.failed("read", e))
    }

    /// The record of a round, its frame, while it is kept.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub(crate) fn record(&self, round: RoundId) -> Result<Option<Vec<u8>>, LedgerError> {
        self.get(RECORDS, round.0)
    }

    /// Adapters that are kept, by rounds applied, ascending.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub(crate) fn snapshots(&self) -> Result<Vec<SnapshotRow>, LedgerError> {
        let mut rows = Vec::new();
        self.each(SNAPSHOTS, |applied, bytes| {
            let row = minicbor::decode(bytes);
            rows.push(row.map_err(|e| self.damaged(format!("snapshot {applied}: {e}")))?);
            Ok(())
        })?;
        Ok(rows)
    }

    /// The last adapter.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub(crate) fn last_snapshot(&self) -> Result<Option<SnapshotRow>, LedgerError> {
        let txn = self.reader()?;
        let read = || -> Result<_, redb::Error> {
            Ok(txn.open_table(SNAPSHOTS)?.last()?.map(|(_, value)| value.value().to_vec()))
        };
        let row = read().map_err(|e| self.failed("read", e))?.map(|bytes| minicbor::decode(&bytes));
        row.transpose().map_err(|e| self.damaged(format!("last snapshot: {e}")))
    }

    /// A kept adapter's row.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub(crate) fn snapshot_row(&self, applied: Applied) -> Result<Option<SnapshotRow>, LedgerError> {
        let row = self.get(SNAPSHOTS, applied.0)?.map(|bytes| minicbor::decode(&bytes)).transpose();
        row.map_err(|e| self.damaged(format!("snapshot {applied}: {e}")))
    }

    /// A kept adapter, whole and checked.
    ///
    /// # Errors
    /// When the ledger cannot be read, or the adapter is not what its digest says.
    pub(crate) fn snapshot(&self, row: &SnapshotRow) -> Result<Snapshot, LedgerError> {
        let mut frame = Vec::with_capacity(row.bytes as usize);
        for n in 0..chunk_count(row.bytes) {
            let slice = self.slice(row.applied, n)?;
            frame.extend(slice.ok_or_else(|| self.damaged(format!("snapshot {} has a gap", row.applied)))?);
        }
        let damaged =
            |problem: &dyn std::fmt::Display| self.damaged(format!("snapshot {}: {problem}", row.applied));
        let snapshot = Snapshot::decode(&frame).map_err(|e| damaged(&e))?;
        if snapshot.after.0 != row.adapter || snapshot.round != row.applied.0 {
            return Err(damaged(&"it is another"));
        }
        Ok(snapshot)
    }

    /// The kept adapter whose digest begins with these hexadecimal digits, or the last one.
    ///
    /// # Errors
    /// [`LedgerError::Adapter`] when not exactly one digest begins so.
    pub(crate) fn adapter(&self, prefix: Option<&str>) -> Result<Snapshot, LedgerError> {
        let rows = self.snapshots()?;
        let last = rows.last().ok_or_else(|| self.damaged("it holds no adapter"))?;
        let Some(prefix) = prefix else { return self.snapshot(last) };
        let prefix = prefix.to_ascii_lowercase();
        let mut found: Vec<_> =
            rows.iter().filter(|r| Digest(r.adapter).to_string().starts_with(&prefix)).collect();
        // A round without updates leaves the adapter as it was.
        found.dedup_by_key(|row| row.adapter);
        match found[..] {
            [row] => self.snapshot(row),
            _ => Err(LedgerError::Adapter {
                wanted: prefix,
                found: found.len(),
                last: Digest(last.adapter).to_string(),
            }),
        }
    }

    /// 16 KiB of a kept adapter's frame.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub(crate) fn slice(&self, applied: Applied, n: u32) -> Result<Option<Vec<u8>>, LedgerError> {
        let txn = self.reader()?;
        let read = || -> Result<_, redb::Error> {
            Ok(txn.open_table(SLICES)?.get((applied.0, n))?.map(|value| value.value().to_vec()))
        };
        read().map_err(|e| self.failed("read", e))
    }

    /// What devices are told of a round's result.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub(crate) fn announced(&self, row: &ResultRow) -> Result<RoundResult, LedgerError> {
        let digest = Digest(row.blob);
        match row.record {
            Some(bytes) if bytes as usize <= MAX_INLINE => {
                let record = self.record(row.round)?;
                let record =
                    record.ok_or_else(|| self.damaged(format!("round {} has no record", row.round)))?;
                Ok(RoundResult::Inline(record))
            }
            Some(bytes) => Ok(RoundResult::Blob { digest, bytes, kind: BlobKind::Record }),
            None => Ok(RoundResult::Blob { digest, bytes: row.snapshot, kind: BlobKind::Snapshot }),
        }
    }
}

fn put_snapshot(txn: &WriteTransaction, snapshot: &Snapshot, frame: &[u8]) -> Result<(), redb::Error> {
    let row = SnapshotRow {
        applied: Applied(snapshot.round),
        adapter: snapshot.after.0,
        blob: Digest::of(frame).0,
        bytes: frame.len() as u32,
    };
    txn.open_table(SNAPSHOTS)?.insert(row.applied.0, cbor(&row).as_slice())?;
    let mut slices = txn.open_table(SLICES)?;
    slices.retain_in((row.applied.0, 0)..=(row.applied.0, u32::MAX), |_, _| false)?;
    for (n, slice) in (0..).zip(frame.chunks(CHUNK)) {
        slices.insert((row.applied.0, n), slice)?;
    }
    Ok(())
}
