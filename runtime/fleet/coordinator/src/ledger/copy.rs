//! The ledger as it stood at one moment, copied row by row into a file of its own while the coordinator goes on.

use super::words::WORDS;
use super::{
    CHUNKS, DEVICES, HISTORY, META, RECORDS, REPORTS, RESULTS, SLICES, SNAPSHOTS, UPDATES, coverage,
};
use super::{Ledger, LedgerError, builder, guarded};
use crate::state::Stage;
use redb::backends::FileBackend;
use redb::{
    Database, Key, ReadTransaction, ReadableTable, ReadableTableMetadata, TableDefinition, TableHandle,
};
use serde::{Deserialize, Serialize};
use sprig_ground::{PathError, file};
use sprig_transport::messages::Digest;
use std::fmt;
use std::path::{Path, PathBuf};

/// Bytes of rows that one transaction of a copy holds, and one row more.
const PORTION: u64 = 4 << 20;
/// Tables by what their keys are.
const NUMBERED: [TableDefinition<u32, &[u8]>; 7] =
    [DEVICES, REPORTS, RESULTS, RECORDS, SNAPSHOTS, HISTORY, coverage::COVERAGE];
const PAIRED: [TableDefinition<(u32, u32), &[u8]>; 4] = [UPDATES, CHUNKS, SLICES, WORDS];

/// What a ledger holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The run, hexadecimal.
    pub run: String,
    /// Its epoch: 1 more for each time that it went on from a copy.
    pub epoch: u32,
    /// The current round, from 0.
    pub round: u32,
    /// Whether all rounds are done.
    pub finished: bool,
    /// Devices that were ever numbered.
    pub devices: u32,
    /// Bytes of the file.
    pub bytes: u64,
}

/// How far a copy is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied {
    /// Rows that are in it.
    pub rows: u64,
    /// Rows in all.
    pub of: u64,
    /// Bytes of these rows.
    pub bytes: u64,
}

/// A ledger as it stood at one moment. What is written to it since is not seen; the file grows until this is dropped.
pub(crate) struct Moment {
    txn: ReadTransaction,
    path: PathBuf,
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Moment").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Ledger {
    /// The ledger as it stands now.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn moment(&self) -> Result<Moment, LedgerError> {
        Ok(Moment { txn: self.reader()?, path: self.path.clone() })
    }

    /// What it holds, all of which makes sense.
    ///
    /// # Errors
    /// When the ledger cannot be read or makes no sense.
    pub(crate) fn held(&self) -> Result<Held, LedgerError> {
        // Only a run without a state would begin with the adapter named here.
        let saved = self.load(Digest([0; 32]))?;
        let bytes = std::fs::metadata(&self.path).map_err(PathError::at("read", &self.path))?.len();
        Ok(Held {
            run: self.run.to_string(),
            epoch: self.run.epoch(),
            round: saved.state.round.0,
            finished: saved.state.stage == Stage::Finished,
            devices: saved.devices.len() as u32,
            bytes,
        })
    }
}

impl Moment {
    /// Copies it to `out`, which must not be there: written beside it, synced, opened once more and then given its name.
    /// `go_on` hears how far it is, and whether to go on is its answer; `None` if it was not.
    ///
    /// # Errors
    /// When something is at `out`, or either file fails. Nothing is left beside it.
    pub(crate) fn copy_to(
        &self,
        out: &Path,
        go_on: &mut dyn FnMut(Copied) -> bool,
    ) -> Result<Option<Held>, LedgerError> {
        if out.symlink_metadata().is_ok() {
            return Err(LedgerError::There { path: out.to_owned() });
        }
        let (made, aside) = file::create_aside(out)?;
        let done = self.fill(made, &aside, go_on).and_then(|whole| {
            if !whole {
                return Ok(None);
            }
            let held = Ledger::at(aside.to_owned())?.held()?;
            file::place_new(&aside, out).map_err(|e| match e.source.kind() {
                std::io::ErrorKind::AlreadyExists => LedgerError::There { path: out.to_owned() },
                _ => e.into(),
            })?;
            Ok(Some(held))
        });
        if !matches!(done, Ok(Some(_))) {
            let _ = file::remove(&aside); // the first error is the one to report
        }
        done
    }

    /// Copies all tables; whether it was let go on to the end.
    fn fill(
        &self,
        made: std::fs::File,
        aside: &Path,
        go_on: &mut dyn FnMut(Copied) -> bool,
    ) -> Result<bool, LedgerError> {
        let db = guarded(aside, || builder().create_with_backend(FileBackend::new(made)?))?;
        let mut all = || -> Result<bool, redb::Error> {
            let mut copied = Copied { of: self.rows()?, ..Copied::default() };
            let mut copy = Copying { txn: &self.txn, db: &db, copied: &mut copied, go_on };
            let mut whole = copy.table(META)?;
            for table in NUMBERED {
                whole = whole && copy.table(table)?;
            }
            for table in PAIRED {
                whole = whole && copy.table(table)?;
            }
            Ok(whole)
        };
        match all() {
            // Its coordinator has ended.
            Err(redb::Error::DatabaseClosed) => Ok(false),
            // Of which of the two files a full disk or a damaged page is, the error itself says.
            Err(redb::Error::Io(source)) => Err(PathError::new("copy to", aside, source).into()),
            Err(other) => Err(LedgerError::Damaged { path: self.path.clone(), problem: other.to_string() }),
            Ok(whole) => Ok(whole),
        }
    }

    /// Rows in all, of tables that are all known: one more would be missing in a copy.
    fn rows(&self) -> Result<u64, redb::Error> {
        let known = || NUMBERED.iter().map(TableHandle::name).chain(PAIRED.iter().map(TableHandle::name));
        for table in self.txn.list_tables()? {
            if table.name() != META.name() && !known().any(|name| name == table.name()) {
                return Err(redb::Error::Corrupted(format!("it has a table {}", table.name())));
            }
        }
        let mut rows = self.txn.open_table(META)?.len()?;
        for table in NUMBERED {
            rows += self.txn.open_table(table)?.len()?;
        }
        for table in PAIRED {
            rows += self.txn.open_table(table)?.len()?;
        }
        Ok(rows)
    }
}

/// A copy under way.
struct Copying<'a> {
    txn: &'a ReadTransaction,
    db: &'a Database,
    copied: &'a mut Copied,
    go_on: &'a mut dyn FnMut(Copied) -> bool,
}

impl Copying<'_> {
    /// Copies a table in transactions of [`PORTION`]; whether it was let go on.
    fn table<K: Key + 'static>(&mut self, table: TableDefinition<K, &[u8]>) -> Result<bool, redb::Error> {
        let source = self.txn.open_table(table)?;
        let mut rows = source.iter()?.peekable();
        loop {
            let write = self.db.begin_write()?;
            {
                let mut to = write.open_table(table)?;
                let mut bytes = 0;
                while bytes < PORTION {
                    let Some(row) = rows.next() else { break };
                    let (key, value) = row?;
                    to.insert(key.value(), value.value())?;
                    bytes += value.value().len() as u64;
                    self.copied.rows += 1;
                }
                self.copied.bytes += bytes;
            }
            write.commit()?;
            if !(self.go_on)(*self.copied) {
                return Ok(false);
            }
            if rows.peek().is_none() {
                return Ok(true);
            }
        }
    }
}
