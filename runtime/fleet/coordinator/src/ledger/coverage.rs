//! Which device's examples each group learnt from (specification 6.7): where weak devices have the upper groups, the lower
//! ones learn from the strong devices' data alone, and this says how far.

use super::{Ledger, LedgerError};
use crate::ids::DeviceNumber;
use redb::{ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};
use sprig_learn::spry::Share;

/// By device: examples behind each group, u64 little-endian in the order of groups.
pub(super) const COVERAGE: TableDefinition<u32, &[u8]> = TableDefinition::new("coverage");

/// A device's part in what was learnt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoverageRow {
    /// The device.
    pub number: u32,
    /// Examples behind its applied updates of each group, in canonical order (block, module), up to the last that it had.
    pub examples: Vec<u64>,
}

/// An applied update: whose, of what, and the examples behind it.
pub(crate) type Applied = (DeviceNumber, Share, u32);

/// Counts the updates of a round.
pub(super) fn add(txn: &WriteTransaction, applied: &[Applied]) -> Result<(), redb::Error> {
    let mut table = txn.open_table(COVERAGE)?;
    for (number, share, examples) in applied {
        let mut counts = table.get(number.0)?.map(|bytes| decode(bytes.value())).unwrap_or_default();
        let groups = share.last().map_or(0, |last| last + 1);
        counts.resize(counts.len().max(groups), 0);
        share.iter().for_each(|group| counts[group] += u64::from(*examples));
        let bytes: Vec<u8> = counts.iter().flat_map(|count| count.to_le_bytes()).collect();
        table.insert(number.0, bytes.as_slice())?;
    }
    Ok(())
}

impl Ledger {
    /// Examples behind each group, by device, numbers ascending.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub(crate) fn coverage(&self) -> Result<Vec<CoverageRow>, LedgerError> {
        let mut rows = Vec::new();
        self.each(COVERAGE, |number, bytes| {
            rows.push(CoverageRow { number, examples: decode(bytes) });
            Ok(())
        })?;
        Ok(rows)
    }
}

fn decode(bytes: &[u8]) -> Vec<u64> {
    bytes.as_chunks::<8>().0.iter().map(|count| u64::from_le_bytes(*count)).collect()
}
