//! Whether this ledger's coordinator stood down for another one. It does so for good: whatever starts it again, as a supervisor
//! does after every end, would otherwise take turns with the other.

use super::{Ledger, LedgerError, META};
use sprig_transport::messages::RunId;

/// The key of the run that it stood down for.
const KEY: &str = "stood_down";

impl Ledger {
    /// Remembers that it stood down for the coordinator of `other`.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn stand_down(&mut self, other: RunId) -> Result<(), LedgerError> {
        self.write(|txn| Ok(txn.open_table(META)?.insert(KEY, other.0.as_slice()).map(drop)?))
    }

    /// The run that it stood down for.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub(crate) fn stood_down(&self) -> Result<Option<RunId>, LedgerError> {
        let txn = self.reader()?;
        let read = || -> Result<_, redb::Error> {
            Ok(txn.open_table(META)?.get(KEY)?.map(|run| run.value().try_into()))
        };
        match read().map_err(|e| self.failed("read", e))? {
            None => Ok(None),
            Some(Ok(run)) => Ok(Some(RunId(run))),
            Some(Err(_)) => Err(self.damaged("it stood down for a run without a name")),
        }
    }

    /// Forgets it: an operator says that this one leads. Returns the run that it had stood down for.
    ///
    /// # Errors
    /// When the ledger cannot be read or the disk fails.
    pub(crate) fn take_over(&mut self) -> Result<Option<RunId>, LedgerError> {
        let other = self.stood_down()?;
        if other.is_some() {
            self.write(|txn| Ok(txn.open_table(META)?.remove(KEY).map(drop)?))?;
        }
        Ok(other)
    }
}
