//! The file behind the prefix cache: one checksummed slot an example.
//!
//! ```text
//! 0   magic, 8 bytes     40  slot of example 0   …   40 + 8·i + 2·(1 + width)·(tokens before example i)  slot of example i
//! 8   key, 32 bytes          slot: checksum, 8 bytes; the example's rows as `keep_rows` keeps them, 2·(1 + width) bytes a token
//! ```
//!
//! **Nothing on the disk is believed.** The checksum covers key, example and rows, so a slot counts only if it holds
//! what this very run would have put there. What the disk or a power cut made of the rest (holes, a torn write, a flipped
//! bit, slots of another run behind a header that was already replaced) is recomputed and written anew. That is why
//! nothing here is ever synced: whatever reaches the disk, in whatever order, a lost slot costs time only. It is also
//! why no table of filled slots is kept: 0 heap bytes an example.
//!
//! Two runs that share a file (one `--out` given twice, and a file system without locks) are safe for the same reason:
//! runs of one key write the same bytes to the same place, those of different keys do not recognise each other's slots.
//! Where there are locks, the second run goes without a cache, since it would only be thrown out in turn.

use half::f16;
use sprig_budget::Bytes;
use sprig_engine::kernels::{Isa, keep_rows, kept_len, read_rows};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Names the format; the last digit is its version.
const MAGIC: [u8; 8] = *b"sprigpf2";
const HEADER: u64 = 40;
/// The checksum before the rows, in bytes and in places of the window.
const SUM: usize = size_of::<u64>();
const SUM_PLACES: usize = SUM / size_of::<f16>();

/// How an example's rows were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// They are in place.
    Held,
    /// Never written, or no disk to read.
    Missing,
    /// Written, but not as they were meant.
    Corrupt,
}

/// A file of slots, or what is left when there is none: rounding.
pub(super) struct Slots {
    /// `None` when nothing is allowed, another run has the file, or the disk failed.
    file: Option<File>,
    path: PathBuf,
    /// Whether the name is this run's to remove.
    ours: bool,
    /// No slot ends behind this byte.
    limit: u64,
    /// First half of the checksum's seed: the key's first 8 bytes.
    seed: u64,
    width: usize,
    isa: Isa,
    /// One slot: checksum, rows.
    window: Vec<f16>,
    error: Option<String>,
}

impl Slots {
    /// Opens `path` for rows of `width`, examples of up to `length` tokens and at most `limit` bytes in all. A file of
    /// another key, or anything else, is started anew. What goes wrong ends up in [`error`](Self::error).
    pub(super) fn open(
        path: &Path,
        limit: Bytes,
        key: &[u8; 32],
        length: usize,
        (width, isa): (usize, Isa),
    ) -> Self {
        let mut seed = [0; 8];
        seed.copy_from_slice(&key[..8]);
        let mut slots = Self {
            file: None,
            path: path.to_owned(),
            ours: true,
            limit: limit.0,
            seed: u64::from_le_bytes(seed),
            width,
            isa,
            window: vec![f16::ZERO; SUM_PLACES + length * kept_len(width)],
            error: None,
        };
        if limit.0 <= HEADER + SUM as u64 {
            slots.remove(); // what an earlier run left is beyond the limit too
            return slots;
        }
        match slots.begin(key) {
            Ok(file) => slots.file = Some(file),
            Err(e) => slots.error = Some(e.to_string()),
        }
        slots
    }

    /// Heap bytes of the window, whatever the number of examples.
    pub(super) fn heap_bytes(length: usize, width: usize) -> u64 {
        (SUM + length * kept_len(width) * size_of::<f16>()) as u64
    }

    /// Fills `rows` for example `id`, which has `before` tokens before it in the data.
    pub(super) fn load(&mut self, id: usize, before: usize, rows: &mut [f32]) -> Found {
        let kept = rows.len() / self.width * kept_len(self.width);
        let (Some(at), Some(file)) = (self.place(id, before, kept), &self.file) else {
            return Found::Missing;
        };
        let window = &mut self.window[..SUM_PLACES + kept];
        match file.read_exact_at(bytemuck::cast_slice_mut(window), at) {
            Ok(()) => {}
            // Never written, or cut off by a power loss or a smaller limit.
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Found::Missing,
            Err(e) => {
                self.fail(e, at);
                return Found::Missing;
            }
        }
        let (sum, halves) = window.split_at(SUM_PLACES);
        let sum: &[u8] = bytemuck::cast_slice(sum);
        if sum.iter().all(|&b| b == 0) {
            return Found::Missing; // a hole; no written slot has this checksum
        }
        if sum != checksum(self.seed, id, halves) {
            return Found::Corrupt;
        }
        read_rows(self.isa, self.width, halves, rows);
        Found::Held
    }

    /// Rounds `rows` to what is kept of them and keeps that if there is room. A failing disk ends the keeping, never the rounding.
    ///
    /// # Panics
    /// `rows` are more than the longest example's.
    pub(super) fn store(&mut self, id: usize, before: usize, rows: &mut [f32]) {
        let kept = rows.len() / self.width * kept_len(self.width);
        let at = self.place(id, before, kept);
        let window = &mut self.window[..SUM_PLACES + kept];
        let (sum, halves) = window.split_at_mut(SUM_PLACES);
        keep_rows(self.isa, self.width, rows, halves);
        if let (Some(at), Some(file)) = (at, &self.file) {
            bytemuck::cast_slice_mut(sum).copy_from_slice(&checksum(self.seed, id, halves));
            if let Err(e) = file.write_all_at(bytemuck::cast_slice(window), at) {
                self.fail(e, at);
            }
        }
    }

    /// What the disk, or another run, last refused.
    pub(super) fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// Gives all room on the disk back, for something that matters more; false if there is none to give.
    pub(super) fn give_up(&mut self) -> bool {
        let held = self.file.is_some();
        if held {
            self.error = Some("its room on the disk was needed".to_owned());
            self.remove();
        }
        held
    }

    /// Takes the file off the disk, unless it is another run's.
    pub(super) fn remove(&mut self) {
        self.file = None;
        if self.ours {
            let _ = std::fs::remove_file(&self.path); // there may be none
        }
    }

    fn begin(&mut self, key: &[u8; 32]) -> io::Result<File> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&self.path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            self.ours = false;
            return Err(io::Error::other("it is not a file"));
        }
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            self.ours = false;
            return Err(io::Error::other("another run is using it"));
        }
        let mut header = [0; HEADER as usize];
        let (magic, rest) = header.split_at_mut(MAGIC.len());
        magic.copy_from_slice(&MAGIC);
        rest.copy_from_slice(key);
        let mut found = [0; HEADER as usize];
        // Compared whole with the only header that would do, which is more than a checksum of its own could say.
        if file.read_exact_at(&mut found, 0).is_err() || found != header {
            file.set_len(0)?;
            file.write_all_at(&header, 0)?;
        } else if meta.len() > self.limit {
            file.set_len(self.limit)?;
        }
        Ok(file)
    }

    /// Where the slot of example `id` begins, if it ends within the limit and fits the window.
    fn place(&self, id: usize, before: usize, values: usize) -> Option<u64> {
        let row = (kept_len(self.width) * size_of::<f16>()) as u64;
        let at = HEADER + (id * SUM) as u64 + before as u64 * row;
        let end = at + (SUM + values * size_of::<f16>()) as u64;
        (end <= self.limit && SUM_PLACES + values <= self.window.len()).then_some(at)
    }

    /// Lives on with what the disk allows after it refused the slot at byte `at`. A full disk gets half of the file back
    /// at once: checkpoint and adapter need room on it more than this does. Any failure but these would only come again.
    fn fail(&mut self, e: io::Error, at: u64) {
        self.error = Some(e.to_string());
        let shrunk = self.file.as_ref().map(|file| {
            match e.kind() {
                // By the file system (4 GiB on FAT) or by a limit on the process.
                ErrorKind::FileTooLarge => self.limit = self.limit.min(at),
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                    self.limit = self.limit.min(file.metadata()?.len()) / 2;
                }
                _ => return Err(e),
            }
            file.set_len(self.limit.min(file.metadata()?.len()))
        });
        if !matches!(shrunk, Some(Ok(()))) {
            self.file = None;
        }
    }
}

/// Of the rows of example `id` in the run whose key begins with `seed`; never 0, which is what holes are made of.
fn checksum(seed: u64, id: usize, halves: &[f16]) -> [u8; SUM] {
    xxh3_64_with_seed(bytemuck::cast_slice(halves), seed.wrapping_add(id as u64)).max(1).to_le_bytes()
}

#[cfg(test)]
#[path = "slots_tests.rs"]
mod tests;
