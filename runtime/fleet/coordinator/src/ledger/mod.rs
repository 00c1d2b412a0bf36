//! The coordinator's durable state: one redb file. What is committed here survives power loss; one transaction holds a
//! whole group of events (group commit). Memory: a cache of 8 MiB, whatever the file's size.
//!
//! | table | key | value |
//! |---|---|---|
//! | `meta` | text | format, program that wrote it last, run, settings, SHA-256 of the adapter that the run began with, state (CBOR), members (14 bytes each), evaluation before (JSON), the run that it stood down for, the key of devices' numbers, totals of the last two rounds for other fleets |
//! | `devices` | number | [`DeviceRow`](crate::rows::DeviceRow), CBOR |
//! | `reports` | number | the device's last report, its frame |
//! | `updates` | round, number | norm (f32 LE), then the update's frame; only of the current round |
//! | `chunks` | number, n | a piece of a dense update of the current round; of number 0 those of an aggregated total |
//! | `words` | kind, number | what was said of a secure aggregation in the current round ([`Word`](crate::aggregation::Word)) |
//! | `results` | round | [`ResultRow`], CBOR |
//! | `records` | round | the round's record, its frame; the last ones, up to `keep_records` bytes |
//! | `snapshots` | rounds applied | [`SnapshotRow`](results::SnapshotRow), CBOR; the last ones, up to `keep_snapshots` bytes |
//! | `slices` | rounds applied, n | 16 KiB of the snapshot's frame |
//! | `coverage` | number | examples behind each group, u64 LE each |
//! | `history` | round | [`RoundRow`](crate::rows::RoundRow), JSON |

mod agreement;
mod commit;
mod copy;
mod coverage;
mod error;
mod format;
mod reading;
mod results;
mod stood_down;
mod words;

pub(crate) use copy::Moment;
pub use copy::{Copied, Held};
pub(crate) use coverage::Applied as Covered;
pub use coverage::CoverageRow;
pub use error::LedgerError;
pub(crate) use results::ResultRow;

use crate::aliases::KEY;
use crate::ids::{DeviceNumber, RoundId};
use redb::{
    Database, DatabaseError, Durability, ReadableDatabase, ReadableTable, StorageError, TableDefinition,
    WriteTransaction,
};
use sprig_ground::{PathError, file};
use sprig_transport::messages::RunId;
use std::fmt;
use std::path::{Path, PathBuf};

const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
const DEVICES: TableDefinition<u32, &[u8]> = TableDefinition::new("devices");
const REPORTS: TableDefinition<u32, &[u8]> = TableDefinition::new("reports");
const UPDATES: TableDefinition<(u32, u32), &[u8]> = TableDefinition::new("updates");
const CHUNKS: TableDefinition<(u32, u32), &[u8]> = TableDefinition::new("chunks");
const RESULTS: TableDefinition<u32, &[u8]> = TableDefinition::new("results");
const RECORDS: TableDefinition<u32, &[u8]> = TableDefinition::new("records");
const SNAPSHOTS: TableDefinition<u32, &[u8]> = TableDefinition::new("snapshots");
const SLICES: TableDefinition<(u32, u32), &[u8]> = TableDefinition::new("slices");
const HISTORY: TableDefinition<u32, &[u8]> = TableDefinition::new("history");

/// redb's cache; its default is 1 GiB.
const CACHE: usize = 8 << 20;
/// Name of the ledger in the state folder.
const FILE: &str = "ledger.redb";
/// Its name while it is being made.
const ASIDE: &str = "ledger.new";

/// The coordinator's durable state.
pub(crate) struct Ledger {
    db: Database,
    path: PathBuf,
    run: RunId,
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("path", &self.path).field("run", &self.run).finish_non_exhaustive()
    }
}

impl Ledger {
    /// Opens the ledger in folder `dir`, or begins one for the run `fresh`, also in the place of one by other settings that
    /// has no round. `settings` are those that must not change during a run.
    ///
    /// # Errors
    /// [`LedgerError`] names the file and the remedy.
    pub(crate) fn open(dir: &Path, fresh: RunId, settings: &str) -> Result<Self, LedgerError> {
        std::fs::create_dir_all(dir).map_err(PathError::at("make the folder", dir))?;
        let path = dir.join(FILE);
        if !path.exists() {
            // Made aside and moved into place: a cut leaves no ledger or a whole one.
            let aside = dir.join(ASIDE);
            file::remove(&aside)?;
            let db = guarded(&aside, || builder().create(&aside))?;
            drop(Self::begin(db, aside.clone(), fresh, settings)?);
            file::move_into_place(&aside, &path)?;
        }
        let db = guarded(&path, || builder().open(&path))?;
        match Self::begin(db, path.clone(), fresh, settings) {
            // Nothing was learnt by the settings that there were before: nobody needs that run.
            Err(LedgerError::Foreign { .. }) if Self::at(path.clone())?.is_untouched()? => {
                file::remove(&path)?;
                Self::open(dir, fresh, settings)
            }
            found => found,
        }
    }

    /// Opens the ledger of a run that was begun, whatever its settings: to look at what it holds.
    ///
    /// # Errors
    /// [`LedgerError::None`] where there is none, [`LedgerError::InUse`] while its coordinator is running.
    pub(crate) fn existing(dir: &Path) -> Result<Self, LedgerError> {
        let path = dir.join(FILE);
        if !path.exists() {
            return Err(LedgerError::None { path: dir.to_owned() });
        }
        Self::at(path)
    }

    /// The same of a file of any name.
    ///
    /// # Errors
    /// As [`Ledger::existing`].
    pub(crate) fn at(path: PathBuf) -> Result<Self, LedgerError> {
        let db = guarded(&path, || builder().open(&path))?;
        let mut ledger = Ledger { db, path, run: RunId([0; 16]) };
        ledger.bring_up()?;
        let (run, _) = ledger.identity()?;
        Ok(Ledger { run, ..ledger })
    }

    /// Where the ledger of the state folder `dir` is.
    pub(crate) fn file_in(dir: &Path) -> PathBuf {
        dir.join(FILE)
    }

    /// The same on storage of the caller's: for tests of what survives a loss of power.
    ///
    /// # Errors
    /// As [`Ledger::open`].
    pub(crate) fn with_backend(
        backend: impl redb::StorageBackend,
        fresh: RunId,
        settings: &str,
    ) -> Result<Self, LedgerError> {
        let path = PathBuf::from("memory");
        let db = guarded(&path, || builder().create_with_backend(backend))?;
        Self::begin(db, path, fresh, settings)
    }

    fn begin(db: Database, path: PathBuf, fresh: RunId, settings: &str) -> Result<Self, LedgerError> {
        let mut ledger = Ledger { db, path, run: fresh };
        ledger.bring_up()?;
        ledger.write(|txn| {
            let mut meta = txn.open_table(META)?;
            if meta.get("run")?.is_none() {
                meta.insert("run", fresh.0.as_slice())?;
                meta.insert("settings", settings.as_bytes())?;
            }
            // Readers find every table from now on.
            for table in [DEVICES, REPORTS, RESULTS, RECORDS, SNAPSHOTS, HISTORY, coverage::COVERAGE] {
                txn.open_table(table)?;
            }
            for table in [UPDATES, CHUNKS, SLICES] {
                txn.open_table(table)?;
            }
            Ok(())
        })?;
        let (run, theirs) = ledger.identity()?;
        if let Some(difference) = agreement::difference(&theirs, settings) {
            return Err(LedgerError::Foreign { path: ledger.path, difference });
        }
        Ok(Ledger { run, ..ledger })
    }

    /// Run and settings.
    fn identity(&self) -> Result<(RunId, String), LedgerError> {
        let txn = self.reader()?;
        let read = || -> Result<_, redb::Error> {
            let meta = txn.open_table(META)?;
            let get = |key| -> Result<_, redb::Error> { Ok(meta.get(key)?.map(|v| v.value().to_vec())) };
            Ok((get("run")?, get("settings")?))
        };
        let (run, settings) = read().map_err(|e| self.failed("read", e))?;
        let run = run.and_then(|run| run.try_into().ok());
        let run = RunId(run.ok_or_else(|| self.damaged("its run has no name"))?);
        let settings = settings.and_then(|s| String::from_utf8(s).ok());
        Ok((run, settings.ok_or_else(|| self.damaged("it has no settings"))?))
    }

    /// The key by which devices have other numbers each round: the one it has, or `fresh` from now on.
    ///
    /// # Errors
    /// When the disk fails, or what it has is no key.
    pub(crate) fn key_of_numbers(&mut self, fresh: [u8; KEY]) -> Result<[u8; KEY], LedgerError> {
        let found = self.write(|txn| {
            let mut meta = txn.open_table(META)?;
            if let Some(key) = meta.get("numbers")?.map(|key| key.value().to_vec()) {
                return Ok(key);
            }
            meta.insert("numbers", fresh.as_slice())?;
            Ok(fresh.to_vec())
        })?;
        found.try_into().map_err(|_| self.damaged("the key of its devices' numbers is none"))
    }

    /// Whether its run has neither a round that is over nor an update of the first.
    fn is_untouched(&self) -> Result<bool, LedgerError> {
        let mut updates = false;
        self.updates(RoundId::FIRST, |_, _, _| {
            updates = true;
            Ok::<_, LedgerError>(())
        })?;
        Ok(!updates && self.history(RoundId::FIRST)?.is_empty())
    }

    /// The run it holds.
    pub(crate) fn run(&self) -> RunId {
        self.run
    }

    /// Removes the pieces of all but these devices: which there are of an update under way is not remembered.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn sweep(&mut self, needed: &[DeviceNumber]) -> Result<(), LedgerError> {
        self.write(|txn| {
            let mut chunks = txn.open_table(CHUNKS)?;
            chunks.retain(|(number, _), _| needed.contains(&DeviceNumber(number)))?;
            Ok(())
        })
    }

    fn reader(&self) -> Result<redb::ReadTransaction, LedgerError> {
        self.db.begin_read().map_err(|e| self.failed("read", e.into()))
    }

    /// One durable transaction.
    fn write<T>(
        &mut self,
        change: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, LedgerError> {
        let attempt = || -> Result<T, redb::Error> {
            let mut txn = self.db.begin_write()?;
            txn.set_durability(Durability::Immediate)?;
            let value = change(&txn)?;
            txn.commit()?;
            Ok(value)
        };
        attempt().map_err(|e| self.failed("write", e))
    }

    fn failed(&self, action: &'static str, error: redb::Error) -> LedgerError {
        match error {
            redb::Error::Io(source) => PathError::new(action, &self.path, source).into(),
            other => self.damaged(other.to_string()),
        }
    }

    pub(super) fn damaged(&self, problem: impl Into<String>) -> LedgerError {
        LedgerError::Damaged { path: self.path.clone(), problem: problem.into() }
    }
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    // A damaged page is an error at the opening; without the check redb may panic over it later.
    builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
    builder
}

/// Opens, and takes a panic within redb over a file that is none for what it is.
fn guarded(
    path: &Path,
    open: impl FnOnce() -> Result<Database, DatabaseError>,
) -> Result<Database, LedgerError> {
    let damaged = |problem: String| LedgerError::Damaged { path: path.to_owned(), problem };
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(open)) {
        Ok(Ok(db)) => Ok(db),
        Ok(Err(DatabaseError::DatabaseAlreadyOpen)) => Err(LedgerError::InUse { path: path.to_owned() }),
        Ok(Err(DatabaseError::Storage(StorageError::Io(source))))
            if source.kind() != std::io::ErrorKind::InvalidData =>
        {
            Err(PathError::new("open", path, source).into())
        }
        Ok(Err(other)) => Err(damaged(other.to_string())),
        Err(_) => Err(damaged("it is no ledger".into())),
    }
}
