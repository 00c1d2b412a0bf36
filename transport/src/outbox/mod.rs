//! What a device has trained and holds no receipt for, on disk: it survives a kill and a power cut.
//!
//! When it is full, the oldest updates go first, but only those of rounds that are closed
//! ([`Outbox::forget_before`]); an update whose round is open is never given up.

use redb::{Database, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition};
use sprig_ground::{PathError, file};
use std::path::{Path, PathBuf};

/// Bytes of the store's page cache. The default of `redb` is 1 GiB.
pub const CACHE_BYTES: usize = 256 << 10;
/// What an entry counts against the cap besides its bytes.
const ENTRY: u64 = 64;

const MESSAGES: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("messages");
const NOTE: TableDefinition<'_, (), &[u8]> = TableDefinition::new("note");

/// The outbox of one device. One process at a time can have it open.
#[derive(Debug)]
pub struct Outbox {
    store: Database,
    path: PathBuf,
    cap: u64,
    /// Rounds before this one are closed.
    open_from: u32,
}

/// Why the outbox does not keep a message.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// Every message it holds is of an open round.
    #[error(
        "the outbox holds {held} of {limit} bytes for open rounds and {needed} more are needed; \
         receipts make room: wait until the coordinator can be reached"
    )]
    Full {
        /// Bytes of the message and its note.
        needed: u64,
        /// Bytes of what cannot be given up.
        held: u64,
        /// The cap.
        limit: u64,
    },
    /// Another process has it open.
    #[error("the outbox {} is in use by another process; end that agent first", .0.display())]
    InUse(PathBuf),
    /// The file cannot be opened.
    #[error("cannot open the outbox {}: {why}; if it is damaged, remove it: what it held is trained again", path.display())]
    Open {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The disk failed, or is full.
    #[error("the outbox {} cannot be read or written: {source}; {}", path.display(), remedy(source))]
    Storage {
        /// Which file; empty for one in a test's backend.
        path: PathBuf,
        /// What failed.
        source: Box<redb::Error>,
    },
}

impl Outbox {
    /// Opens the outbox in the file at `path`, or creates it. Its messages and note take at most `cap_bytes`
    /// (the file, somewhat more: see [`Outbox::file_bytes`]).
    ///
    /// # Errors
    /// If the file cannot be opened, is damaged, or is in use.
    pub fn open(path: &Path, cap_bytes: u64) -> Result<Self, OutboxError> {
        if !path.exists() {
            create(path).map_err(|source| storage(path, source))?;
        }
        match builder().open(path).map_err(redb::Error::from) {
            Ok(store) => Ok(Self { store, path: path.to_owned(), cap: cap_bytes, open_from: 0 }),
            Err(redb::Error::DatabaseAlreadyOpen) => Err(OutboxError::InUse(path.to_owned())),
            Err(error) if is_full(&error) => Err(storage(path, error)),
            Err(error) => Err(OutboxError::Open { path: path.to_owned(), why: error.to_string() }),
        }
    }

    /// An outbox in `backend`, which tests use to cut the power.
    ///
    /// # Errors
    /// If what it holds is damaged.
    pub fn with_backend(backend: impl StorageBackend, cap_bytes: u64) -> Result<Self, OutboxError> {
        let path = PathBuf::new();
        let store = builder().create_with_backend(backend).map_err(|e| storage(&path, e))?;
        let outbox = Self { store, path, cap: cap_bytes, open_from: 0 };
        make_tables(&outbox.store).map_err(|e| outbox.failed(e))?;
        Ok(outbox)
    }

    /// Keeps the message of a round, in place of one it may hold, together with the note of the caller's state
    /// after that round: both or neither. On return they are on disk.
    ///
    /// # Errors
    /// [`OutboxError::Full`] if there is no room even without the closed rounds: nothing has changed then.
    pub fn put(&mut self, round: u32, message: &[u8], note: &[u8]) -> Result<(), OutboxError> {
        let (mut held, evicted) = self.room(round, size(message) + size(note))?;
        held += size(message) + size(note);
        debug_assert!(held <= self.cap);
        self.write(|messages, notes| {
            for old in evicted {
                messages.remove(old)?;
            }
            messages.insert(round, message)?;
            notes.insert((), note)?;
            Ok(())
        })
    }

    /// The note of the last [`Outbox::put`].
    ///
    /// # Errors
    /// If the disk fails.
    pub fn note(&self) -> Result<Option<Vec<u8>>, OutboxError> {
        let read = || {
            let read = self.store.begin_read()?;
            let notes = read.open_table(NOTE)?;
            Ok(notes.get(())?.map(|note| note.value().to_vec()))
        };
        read().map_err(|error: redb::Error| self.failed(error))
    }

    /// The messages without receipt, by ascending round.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn pending(&self) -> Result<Vec<(u32, Vec<u8>)>, OutboxError> {
        let mut pending = Vec::new();
        self.each(|round, message| pending.push((round, message.to_vec())))?;
        Ok(pending)
    }

    /// The message of a round, if it has no receipt.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn message(&self, round: u32) -> Result<Option<Vec<u8>>, OutboxError> {
        let read = || {
            let read = self.store.begin_read()?;
            let messages = read.open_table(MESSAGES)?;
            Ok(messages.get(round)?.map(|message| message.value().to_vec()))
        };
        read().map_err(|error: redb::Error| self.failed(error))
    }

    /// Drops the message of a round: its receipt is here.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn remove(&mut self, round: u32) -> Result<(), OutboxError> {
        self.write(|messages, _| messages.remove(round).map(drop))
    }

    /// Drops every message and the note: another run begins.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn clear(&mut self) -> Result<(), OutboxError> {
        self.open_from = 0;
        self.write(|messages, notes| {
            messages.retain(|_, _| false)?;
            notes.remove(()).map(drop)
        })
    }

    /// Rounds before `round` are closed: their messages may make room for later ones. Kept in memory only, as
    /// every announcement of a round says it again.
    pub fn forget_before(&mut self, round: u32) {
        self.open_from = self.open_from.max(round);
    }

    /// Bytes that messages and note count against the cap.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn held(&self) -> Result<u64, OutboxError> {
        let mut held = self.note()?.map_or(0, |note| size(&note));
        self.each(|_, message| held += size(message))?;
        Ok(held)
    }

    /// What the file of an outbox with this cap takes at most: pages are copied before they are changed, and each
    /// of two versions may fill its last page badly.
    pub fn file_bytes(cap_bytes: u64) -> u64 {
        4 * cap_bytes + (2 << 20)
    }

    /// Bytes held by what stays, and the closed rounds that must go, if `needed` bytes for `round` are to fit.
    fn room(&self, round: u32, needed: u64) -> Result<(u64, Vec<u32>), OutboxError> {
        // The note is replaced, as is an earlier message of the same round.
        let mut kept = Vec::new();
        self.each(|key, message| {
            if key != round {
                kept.push((key, size(message)));
            }
        })?;
        let mut held: u64 = kept.iter().map(|(_, bytes)| bytes).sum();
        let mut evicted = Vec::new();
        for (key, bytes) in kept {
            if held + needed <= self.cap || key >= self.open_from {
                break;
            }
            held -= bytes;
            evicted.push(key);
        }
        if held + needed > self.cap {
            return Err(OutboxError::Full { needed, held, limit: self.cap });
        }
        Ok((held, evicted))
    }

    fn each(&self, mut see: impl FnMut(u32, &[u8])) -> Result<(), OutboxError> {
        let mut read = || {
            let read = self.store.begin_read()?;
            let messages = read.open_table(MESSAGES)?;
            for entry in messages.iter()? {
                let (round, message) = entry?;
                see(round.value(), message.value());
            }
            Ok(())
        };
        read().map_err(|error: redb::Error| self.failed(error))
    }

    /// One transaction; on disk when it returns.
    fn write(
        &self,
        change: impl FnOnce(&mut Messages<'_>, &mut Notes<'_>) -> Result<(), redb::StorageError>,
    ) -> Result<(), OutboxError> {
        write(&self.store, change).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: redb::Error) -> OutboxError {
        storage(&self.path, error)
    }
}

type Messages<'t> = redb::Table<'t, u32, &'static [u8]>;
type Notes<'t> = redb::Table<'t, (), &'static [u8]>;

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    // A damaged page is an error at the opening; without the check it may panic later.
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder
}

/// Makes an empty outbox aside and moves it into place: a power cut leaves either none or a whole one, and its
/// name is on disk before anything is kept in it.
fn create(path: &Path) -> Result<(), redb::Error> {
    let aside = path.with_extension("new");
    let failed = |error: PathError| redb::Error::Io(error.source);
    file::remove(&aside).map_err(failed)?;
    let store = builder().create(&aside)?;
    make_tables(&store)?;
    drop(store);
    file::move_into_place(&aside, path).map_err(failed)
}

fn write(
    store: &Database,
    change: impl FnOnce(&mut Messages<'_>, &mut Notes<'_>) -> Result<(), redb::StorageError>,
) -> Result<(), redb::Error> {
    let write = store.begin_write()?;
    {
        let mut messages = write.open_table(MESSAGES)?;
        let mut notes = write.open_table(NOTE)?;
        change(&mut messages, &mut notes)?;
    }
    Ok(write.commit()?)
}

/// Readers need the tables to exist.
fn make_tables(store: &Database) -> Result<(), redb::Error> {
    write(store, |_, _| Ok(()))
}

fn size(bytes: &[u8]) -> u64 {
    ENTRY + bytes.len() as u64
}

fn storage(path: &Path, error: impl Into<redb::Error>) -> OutboxError {
    OutboxError::Storage { path: path.to_owned(), source: Box::new(error.into()) }
}

fn is_full(error: &redb::Error) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error, redb::Error::Io(e) if matches!(e.kind(), StorageFull | QuotaExceeded))
}

fn remedy(error: &redb::Error) -> &'static str {
    match is_full(error) {
        true => "free space there and start again: nothing is lost",
        false => "check the disk",
    }
}

#[cfg(test)]
mod tests;
