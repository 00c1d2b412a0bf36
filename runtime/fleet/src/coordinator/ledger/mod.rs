//! The coordinator's durable state: one redb file. What is committed here survives power loss; one transaction holds a
//! whole group of events (group commit). Memory: a cache of 8 MiB, whatever the file's size.
//!
//! | table | key | value |
//! |---|---|---|
//! | `meta` | text | format, run, settings, state (CBOR), members (14 bytes each), evaluation before (JSON) |
//! | `devices` | number | [`DeviceRow`], CBOR |
//! | `reports` | number | the device's last report, its frame |
//! | `updates` | round, number | norm (f32 LE), then the update's frame; only of the current round |
//! | `chunks` | number, n | a piece of a dense update of the current round |
//! | `results` | round | [`ResultRow`], CBOR |
//! | `records` | round | the round's record, its frame; the last ones, up to `keep_records` bytes |
//! | `snapshots` | rounds applied | [`SnapshotRow`], CBOR; the last ones, up to `keep_snapshots` bytes |
//! | `slices` | rounds applied, n | 16 KiB of the snapshot's frame |
//! | `history` | round | [`RoundRow`], JSON |

mod error;
mod results;

pub use error::LedgerError;
pub use results::{ResultRow, SnapshotRow};

use super::event::{Entry, Judgement};
use super::state::{self, DeviceRow, Saved, Stage, State};
use super::view::RoundRow;
use redb::{
    Database, DatabaseError, Durability, ReadableDatabase, ReadableTable, StorageBackend, StorageError,
    TableDefinition, WriteTransaction,
};
use sprig_transport::messages::{DeviceId, Digest, Report, RunId};
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

/// Format of the tables.
const FORMAT: u32 = 1;
/// redb's cache; its default is 1 GiB.
const CACHE: usize = 8 << 20;
/// Name of the ledger in the state folder.
const FILE: &str = "ledger.redb";
/// Its name while it is being made.
const ASIDE: &str = "ledger.new";

/// The coordinator's durable state.
pub struct Ledger {
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
    /// Opens the ledger in folder `dir`, or begins one for the run `fresh`. `settings` are those that must not change
    /// during a run.
    ///
    /// # Errors
    /// [`LedgerError`] names the file and the remedy.
    pub fn open(dir: &Path, fresh: RunId, settings: &str) -> Result<Self, LedgerError> {
        let io = |action, path: &Path| {
            let path = path.to_owned();
            move |source| LedgerError::Io { action, path, source }
        };
        std::fs::create_dir_all(dir).map_err(io("make the folder", dir))?;
        let path = dir.join(FILE);
        if !path.exists() {
            // Made aside and moved into place: a cut leaves no ledger or a whole one.
            let aside = dir.join(ASIDE);
            match std::fs::remove_file(&aside) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(io("remove", &aside)(e));
                }
                _ => {}
            }
            let db = guarded(&aside, || builder().create(&aside))?;
            drop(Self::begin(db, aside.clone(), fresh, settings)?);
            std::fs::rename(&aside, &path).map_err(io("move into place", &aside))?;
            std::fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(io("sync", dir))?;
        }
        let db = guarded(&path, || builder().open(&path))?;
        Self::begin(db, path, fresh, settings)
    }

    /// Opens the ledger of a run that was begun, whatever its settings: to look at what it holds.
    ///
    /// # Errors
    /// [`LedgerError::None`] where there is none, [`LedgerError::InUse`] while its coordinator is running.
    pub fn existing(dir: &Path) -> Result<Self, LedgerError> {
        let path = dir.join(FILE);
        if !path.exists() {
            return Err(LedgerError::None { path: dir.to_owned() });
        }
        let db = guarded(&path, || builder().open(&path))?;
        let ledger = Ledger { db, path, run: RunId([0; 16]) };
        let (run, _) = ledger.identity()?;
        Ok(Ledger { run, ..ledger })
    }

    /// The same on storage of the caller's: for tests of what survives a loss of power.
    ///
    /// # Errors
    /// As [`Ledger::open`].
    pub fn with_backend(
        backend: impl StorageBackend,
        fresh: RunId,
        settings: &str,
    ) -> Result<Self, LedgerError> {
        let path = PathBuf::from("memory");
        let db = guarded(&path, || builder().create_with_backend(backend))?;
        Self::begin(db, path, fresh, settings)
    }

    fn begin(db: Database, path: PathBuf, fresh: RunId, settings: &str) -> Result<Self, LedgerError> {
        let mut ledger = Ledger { db, path, run: fresh };
        ledger.write(|txn| {
            let mut meta = txn.open_table(META)?;
            if meta.get("format")?.is_none() {
                meta.insert("format", FORMAT.to_le_bytes().as_slice())?;
                meta.insert("run", fresh.0.as_slice())?;
                meta.insert("settings", settings.as_bytes())?;
            }
            // Readers find every table from now on.
            for table in [DEVICES, REPORTS, RESULTS, RECORDS, SNAPSHOTS, HISTORY] {
                txn.open_table(table)?;
            }
            for table in [UPDATES, CHUNKS, SLICES] {
                txn.open_table(table)?;
            }
            Ok(())
        })?;
        let (run, theirs) = ledger.identity()?;
        if theirs != settings {
            let difference = difference(&theirs, settings);
            return Err(LedgerError::Foreign { path: ledger.path, difference });
        }
        Ok(Ledger { run, ..ledger })
    }

    /// Run and settings, if the format is ours.
    fn identity(&self) -> Result<(RunId, String), LedgerError> {
        let txn = self.reader()?;
        let read = || -> Result<_, redb::Error> {
            let meta = txn.open_table(META)?;
            let get = |key| -> Result<_, redb::Error> { Ok(meta.get(key)?.map(|v| v.value().to_vec())) };
            Ok((get("format")?, get("run")?, get("settings")?))
        };
        let (format, run, settings) = read().map_err(|e| self.failed("read", e))?;
        let format = format.and_then(|f| f.try_into().ok()).map(u32::from_le_bytes);
        if format != Some(FORMAT) {
            return Err(LedgerError::Format {
                path: self.path.clone(),
                found: format.map_or("unknown".into(), |f| f.to_string()),
                known: FORMAT,
            });
        }
        let run = run.and_then(|run| run.try_into().ok());
        let run = RunId(run.ok_or_else(|| self.damaged("its run has no name"))?);
        let settings = settings.and_then(|s| String::from_utf8(s).ok());
        Ok((run, settings.ok_or_else(|| self.damaged("it has no settings"))?))
    }

    /// The run it holds.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// Makes entries durable, all or none.
    ///
    /// # Errors
    /// When the disk fails or is full; what was durable before still is.
    pub fn commit(&mut self, entries: &[Entry]) -> Result<(), LedgerError> {
        if entries.is_empty() {
            return Ok(());
        }
        self.write(|txn| {
            // A table may be open once in a transaction.
            let mut tables = Tables {
                meta: txn.open_table(META)?,
                devices: txn.open_table(DEVICES)?,
                reports: txn.open_table(REPORTS)?,
                updates: txn.open_table(UPDATES)?,
                chunks: txn.open_table(CHUNKS)?,
                history: txn.open_table(HISTORY)?,
            };
            entries.iter().try_for_each(|entry| tables.put(entry))
        })
    }

    /// All that a restart begins with; `base` is the adapter before the first round.
    ///
    /// # Errors
    /// When the ledger cannot be read or makes no sense.
    pub fn load(&self, base: Digest) -> Result<Saved, LedgerError> {
        let mut saved = Saved::fresh(base);
        let txn = self.reader()?;
        let read = || -> Result<_, redb::Error> {
            let meta = txn.open_table(META)?;
            let get = |key| -> Result<_, redb::Error> { Ok(meta.get(key)?.map(|v| v.value().to_vec())) };
            Ok((get("state")?, get("members")?, get("before")?))
        };
        let (state, members, before) = read().map_err(|e| self.failed("read", e))?;
        if let Some(state) = state {
            saved.state = minicbor::decode(&state).map_err(|e| self.damaged(format!("its state: {e}")))?;
        }
        if let Some(members) = members {
            saved.members = state::decode_members(&members).ok_or_else(|| self.damaged("its members"))?;
        }
        if let Some(before) = before {
            let before = serde_json::from_slice::<Judgement>(&before);
            saved.before = Some(before.map_err(|e| self.damaged(format!("its evaluation: {e}")))?);
        }
        self.each(DEVICES, |number, bytes| {
            let row: DeviceRow =
                minicbor::decode(bytes).map_err(|e| self.damaged(format!("device {number}: {e}")))?;
            if row.number != number || number as usize != saved.devices.len() + 1 {
                return Err(self.damaged(format!("device {number} stands where another should")));
            }
            DeviceId::parse(&row.id).map_err(|e| self.damaged(format!("device {number}: {e}")))?;
            saved.devices.push(row);
            Ok(())
        })?;
        let round = saved.state.round;
        let mut accepted = Vec::new();
        self.updates(round, |number, norm, _| {
            accepted.push((number, norm));
            Ok::<_, LedgerError>(())
        })?;
        saved.accepted = accepted;
        if let Some(before) = round.checked_sub(1) {
            let row = self.result(before)?;
            let row = row.ok_or_else(|| self.damaged(format!("round {before} has no result")))?;
            saved.result = Some(self.announced(&row)?);
        }
        for &applied in saved.state.evaluating.iter().filter(|&&applied| applied > 0) {
            saved.unjudged.extend(self.history(applied - 1..applied)?);
        }
        // The states of a round and of the whole agree.
        if saved.state.stage == Stage::Collecting && saved.members.is_empty() {
            return Err(self.damaged(format!("round {round} is open without members")));
        }
        Ok(saved)
    }

    /// Removes the pieces of dense updates that are not in the ledger: which there are is not remembered.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn sweep(&mut self, accepted: &[(u32, f32)]) -> Result<(), LedgerError> {
        self.write(|txn| {
            let mut chunks = txn.open_table(CHUNKS)?;
            chunks.retain(|(number, _), _| accepted.iter().any(|(n, _)| *n == number))?;
            Ok(())
        })
    }

    /// Calls `each` with number, norm and frame of each update of `round`, numbers ascending.
    ///
    /// # Errors
    /// When the ledger cannot be read, or what `each` returns.
    pub fn updates<E: From<LedgerError>>(
        &self,
        round: u32,
        mut each: impl FnMut(u32, f32, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let txn = self.reader()?;
        let failed = |e: redb::Error| self.failed("read", e);
        let table = txn.open_table(UPDATES).map_err(|e| failed(e.into()))?;
        for row in table.range((round, 0)..=(round, u32::MAX)).map_err(|e| failed(e.into()))? {
            let (key, value) = row.map_err(|e| failed(e.into()))?;
            let number = key.value().1;
            let Some((norm, frame)) = value.value().split_first_chunk::<4>() else {
                return Err(self.damaged(format!("update of device {number} in round {round}")).into());
            };
            each(number, f32::from_le_bytes(*norm), frame)?;
        }
        Ok(())
    }

    /// Calls `each` with the pieces of a device's dense update, in order.
    ///
    /// # Errors
    /// When the ledger cannot be read, or what `each` returns.
    pub fn chunks(
        &self,
        number: u32,
        mut each: impl FnMut(&[u8]) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError> {
        let txn = self.reader()?;
        let failed = |e: redb::Error| self.failed("read", e);
        let table = txn.open_table(CHUNKS).map_err(|e| failed(e.into()))?;
        for row in table.range((number, 0)..=(number, u32::MAX)).map_err(|e| failed(e.into()))? {
            each(row.map_err(|e| failed(e.into()))?.1.value())?;
        }
        Ok(())
    }

    /// Rows of the rounds asked for that are there, ascending.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn history(&self, rounds: std::ops::Range<u32>) -> Result<Vec<RoundRow>, LedgerError> {
        let txn = self.reader()?;
        let failed = |e: redb::Error| self.failed("read", e);
        let table = txn.open_table(HISTORY).map_err(|e| failed(e.into()))?;
        let mut rows = Vec::new();
        for row in table.range(rounds).map_err(|e| failed(e.into()))? {
            let (round, value) = row.map_err(|e| failed(e.into()))?;
            let row = serde_json::from_slice(value.value());
            rows.push(row.map_err(|e| self.damaged(format!("row of round {}: {e}", round.value())))?);
        }
        Ok(rows)
    }

    /// A device's last report.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn report(&self, number: u32) -> Result<Option<Report>, LedgerError> {
        let bytes = self.get(REPORTS, number)?;
        let report = bytes.map(|bytes| Report::decode(&bytes)).transpose();
        report.map_err(|e| self.damaged(format!("report of device {number}: {e}")))
    }

    fn get(&self, table: TableDefinition<u32, &[u8]>, key: u32) -> Result<Option<Vec<u8>>, LedgerError> {
        let txn = self.reader()?;
        let read = || -> Result<_, redb::Error> {
            Ok(txn.open_table(table)?.get(key)?.map(|value| value.value().to_vec()))
        };
        read().map_err(|e| self.failed("read", e))
    }

    fn each(
        &self,
        table: TableDefinition<u32, &[u8]>,
        mut each: impl FnMut(u32, &[u8]) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError> {
        let txn = self.reader()?;
        let failed = |e: redb::Error| self.failed("read", e);
        let table = txn.open_table(table).map_err(|e| failed(e.into()))?;
        for row in table.iter().map_err(|e| failed(e.into()))? {
            let (key, value) = row.map_err(|e| failed(e.into()))?;
            each(key.value(), value.value())?;
        }
        Ok(())
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
            redb::Error::Io(source) => LedgerError::Io { action, path: self.path.clone(), source },
            other => self.damaged(other.to_string()),
        }
    }

    pub(super) fn damaged(&self, problem: impl Into<String>) -> LedgerError {
        LedgerError::Damaged { path: self.path.clone(), problem: problem.into() }
    }
}

/// The tables that commits of the machine write.
struct Tables<'t> {
    meta: redb::Table<'t, &'static str, &'static [u8]>,
    devices: redb::Table<'t, u32, &'static [u8]>,
    reports: redb::Table<'t, u32, &'static [u8]>,
    updates: redb::Table<'t, (u32, u32), &'static [u8]>,
    chunks: redb::Table<'t, (u32, u32), &'static [u8]>,
    history: redb::Table<'t, u32, &'static [u8]>,
}

impl Tables<'_> {
    fn put(&mut self, entry: &Entry) -> Result<(), redb::Error> {
        match entry {
            Entry::State(state) => {
                self.meta.insert("state", cbor::<State>(state).as_slice())?;
            }
            Entry::Members(members) => {
                self.meta.insert("members", state::encode_members(members).as_slice())?;
            }
            Entry::Before(judgement) => {
                self.meta.insert("before", json(judgement).as_slice())?;
            }
            Entry::Device(row) => {
                self.devices.insert(row.number, cbor(row).as_slice())?;
            }
            Entry::Update(round, number, norm, frame) => {
                let mut value = self.updates.insert_reserve((*round, *number), 4 + frame.len())?;
                let (head, rest) = value.as_mut().split_at_mut(4);
                head.copy_from_slice(&norm.to_le_bytes());
                rest.copy_from_slice(frame);
            }
            Entry::Chunk(number, n, bytes) => {
                self.chunks.insert((*number, *n), bytes.as_slice())?;
            }
            Entry::Discard(number) => {
                self.chunks.retain_in((*number, 0)..=(*number, u32::MAX), |_, _| false)?;
            }
            Entry::Report(number, frame) => {
                self.reports.insert(*number, frame.as_slice())?;
            }
            Entry::History(row) => {
                self.history.insert(row.round, json(row).as_slice())?;
            }
            Entry::Forget(round) => {
                self.updates.retain_in(..=(*round, u32::MAX), |_, _| false)?;
                self.chunks.retain(|_, _| false)?;
            }
        }
        Ok(())
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
            Err(LedgerError::Io { action: "open", path: path.to_owned(), source })
        }
        Ok(Err(other)) => Err(damaged(other.to_string())),
        Err(_) => Err(damaged("it is no ledger".into())),
    }
}

/// The first line in which two texts differ.
fn difference(theirs: &str, ours: &str) -> String {
    let (mut theirs, mut ours) = (theirs.lines(), ours.lines());
    loop {
        match (theirs.next(), ours.next()) {
            (Some(a), Some(b)) if a == b => {}
            (None, None) => return "in white space".into(),
            (a, b) => {
                return format!("there `{}`, here `{}`", a.unwrap_or("").trim(), b.unwrap_or("").trim());
            }
        }
    }
}

fn cbor<T: minicbor::Encode<()>>(row: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Writing to a vector cannot fail.
    minicbor::encode(row, &mut bytes).expect("a vector takes all bytes");
    bytes
}

fn json<T: serde::Serialize>(row: &T) -> Vec<u8> {
    serde_json::to_vec(row).expect("plain data has a JSON form")
}
