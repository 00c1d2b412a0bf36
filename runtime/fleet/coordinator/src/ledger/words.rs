//! What was said of a secure aggregation, so that a restart goes on with it.

use super::{Ledger, LedgerError};
use crate::aggregation::Word;
use crate::ids::DeviceNumber;
use redb::TableDefinition;

/// By kind and number.
pub(super) const WORDS: TableDefinition<(u32, u32), &[u8]> = TableDefinition::new("words");

/// Where a word stands: after all those of stages before.
pub(super) fn key(word: &Word) -> (u32, u32) {
    (word.kind.into(), word.number.0)
}

impl Ledger {
    /// All words, stage by stage.
    ///
    /// # Errors
    /// When the ledger cannot be read or makes no sense.
    pub(crate) fn words(&self) -> Result<Vec<Word>, LedgerError> {
        let txn = self.reader()?;
        let failed = |e: redb::Error| self.failed("read", e);
        let table = txn.open_table(WORDS).map_err(|e| failed(e.into()))?;
        let mut words = Vec::new();
        for row in table.range((0, 0)..).map_err(|e| failed(e.into()))? {
            let (key, value) = row.map_err(|e| failed(e.into()))?;
            let (kind, number) = key.value();
            let kind = u8::try_from(kind).map_err(|_| self.damaged(format!("a word of kind {kind}")))?;
            words.push(Word { number: DeviceNumber(number), kind, bytes: value.value().to_vec() });
        }
        Ok(words)
    }
}
