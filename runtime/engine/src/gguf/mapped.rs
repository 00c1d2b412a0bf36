//! A model file mapped read-only: never copied, and its pages are the kernel's to drop.
#![allow(unsafe_code)]

use super::GgufError;
use memmap2::{Advice, Mmap, UncheckedAdvice};
use sha2::{Digest, Sha256};
use sprig_ground::{PathError, hex};
use std::fs::{File, TryLockError};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes that are read from the file at a time. The kernel's own read-ahead is off: it is 128 KiB on most systems, but
/// 8 MiB on some, and what is being read counts against a memory control group and cannot be given back. Large enough
/// for flash, and no larger than any kernel takes as one request.
pub(crate) const READ: usize = 128 << 10;

/// A file mapped read-only under a shared advisory lock.
#[derive(Debug)]
pub struct Mapped {
    map: Mmap,
    /// Kept open: closing it would give up the lock.
    file: File,
    path: PathBuf,
}

impl Mapped {
    /// Maps `path`. No page is read yet.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, GgufError> {
        let path = path.as_ref();
        let file = File::open(path).map_err(PathError::at("open", path))?;
        // Some file systems know no locks; the lock is a courtesy, so their refusal is no error.
        if let Err(TryLockError::WouldBlock) = file.try_lock_shared() {
            return Err(GgufError::Locked { path: path.to_owned() });
        }
        // SAFETY: the mapping is read-only and lives as long as `Self`. Another process that writes the file
        // in place would change bytes under our slices, and one that truncates it makes an access past the
        // new end raise SIGBUS, which kills the process. The shared lock keeps away writers that ask for a
        // lock; our own writer never writes in place, it renames a finished file over the old name, and the
        // mapping then keeps the old file alive.
        let map = unsafe { Mmap::map(&file) }.map_err(PathError::at("map", path))?;
        // Both are hints: where they are refused the kernel reads more than it is asked for.
        // SAFETY: takes an open descriptor and numbers, and touches no memory.
        unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_RANDOM) };
        let _ = map.advise(Advice::Random);
        Ok(Self { map, file, path: path.to_owned() })
    }

    /// The file's bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// The path as given to [`open`](Self::open).
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads `range` (bytes of the file) into the page cache, where it is not there yet, no more than twice [`READ`] at a
    /// time: whoever touches it then waits for no disk. A page of each such piece becomes resident.
    pub fn bring(&self, range: Range<usize>) {
        let (mut before, end) = (None, range.end.min(self.map.len()));
        for at in range.step_by(READ).take_while(|at| *at < end) {
            let n = READ.min(end - at);
            // Touching the piece before waits until that has come.
            self.soon(at..at + n);
            if let Some(last) = before.replace(at + n - 1) {
                std::hint::black_box(self.map[last]);
            }
        }
    }

    /// Begins to read `range` (bytes of the file) into the page cache and returns.
    pub fn soon(&self, range: Range<usize>) {
        let end = range.end.min(self.map.len());
        for at in range.step_by(READ).take_while(|at| *at < end) {
            // Where it is refused, pages come one by one as they are touched.
            let _ = self.map.advise_range(Advice::WillNeed, at, READ.min(end - at));
        }
    }

    /// Brings every page into memory now, so that a plan that counts the file as resident tells the truth
    /// from the first step on.
    pub fn populate(&self) {
        let _ = self.map.advise(Advice::Normal); // all of it, and in order: the kernel may read ahead
        // Linux 5.14 and later fill the page table in one call; older kernels (and empty files) refuse.
        if self.map.advise(Advice::PopulateRead).is_ok() {
            return;
        }
        let _ = self.map.advise(Advice::WillNeed); // only a hint: the loop below does the work
        for page in self.map.chunks(page_size()) {
            std::hint::black_box(page[0]);
        }
    }

    /// Has the kernel treat what lies between two of `cuts` (ascending page boundaries) as a mapping of its own: a page
    /// that is touched brings no other from beyond. Huge pages, which no cut could keep apart, are refused too.
    pub fn divide(&self, cuts: &[usize]) {
        // Mappings side by side are one unless they differ. Whether a dump of the process would hold the pages, which
        // are in the file anyway, is the difference that matters least. A kernel that refuses brings more pages than
        // planned; the guards behind the plan remain.
        self.unite();
        let _ = self.map.advise(Advice::Random); // it may have been populated
        let _ = self.map.advise(Advice::NoHugePage);
        for part in cuts.windows(2).step_by(2) {
            let _ = self.map.advise_range(Advice::DontDump, part[0], part[1].min(self.map.len()) - part[0]);
        }
    }

    /// Has pages come [`READ`] bytes at a time, for a file that is copied: otherwise a touched page may bring 2 MiB, those
    /// that were released before it included.
    pub fn divide_evenly(&self) {
        let cuts: Vec<usize> = (0..self.map.len()).step_by(READ).chain([self.map.len()]).collect();
        self.divide(&cuts);
    }

    /// Undoes [`divide`](Self::divide).
    pub fn unite(&self) {
        let _ = self.map.advise(Advice::DoDump);
    }

    /// A second handle on the file, to read it from another thread.
    pub fn another_handle(&self) -> std::io::Result<File> {
        self.file.try_clone()
    }

    /// Gives back every page that `range` (bytes of the file) touches; the next access reads them again.
    pub fn release(&self, range: Range<usize>) -> Result<(), GgufError> {
        let start = range.start - range.start % page_size();
        let end = range.end.min(self.map.len());
        if start >= end {
            return Ok(());
        }
        // SAFETY: the mapping is shared, read-only and file-backed, so dropped pages come back from the file
        // with the same bytes; nothing written can be lost.
        unsafe { self.map.unchecked_advise_range(UncheckedAdvice::DontNeed, start, end - start) }
            .map_err(PathError::at("release pages of", &self.path))?;
        Ok(())
    }

    /// SHA-256 of the file. It is read through a small buffer, not through the mapping, so that hashing a
    /// model makes none of its pages count as this process's memory.
    pub fn digest(&self) -> Result<[u8; 32], GgufError> {
        let mut hash = Sha256::new();
        let mut buffer = vec![0; READ];
        let mut at = 0;
        while at < self.map.len() {
            let n = buffer.len().min(self.map.len() - at);
            self.file
                .read_exact_at(&mut buffer[..n], at as u64)
                .map_err(PathError::at("read", &self.path))?;
            hash.update(&buffer[..n]);
            at += n;
        }
        Ok(hash.finalize().into())
    }

    /// [`digest`](Self::digest) as 64 lower-case hexadecimal digits.
    pub fn digest_hex(&self) -> Result<String, GgufError> {
        Ok(hex::encode(&self.digest()?))
    }
}

fn page_size() -> usize {
    // SAFETY: sysconf reads a constant of the system; it has no preconditions.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096).max(4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_release_and_populate_agree_with_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let content: Vec<u8> = (0..1_000_003u32).map(|i| (i * 7) as u8).collect();
        std::fs::write(&path, &content).unwrap();
        let mapped = Mapped::open(&path).unwrap();
        mapped.populate();
        mapped.release(0..content.len()).unwrap();
        mapped.release(5000..5001).unwrap();
        mapped.release(900_000..usize::MAX).unwrap();
        assert_eq!(mapped.bytes(), content);
        assert_eq!(mapped.digest().unwrap(), <[u8; 32]>::from(Sha256::digest(&content)));
        assert_eq!(mapped.digest_hex().unwrap().len(), 64);
    }

    /// Bytes in memory of the mappings that begin within `map`.
    fn resident(map: &[u8]) -> usize {
        let (smaps, mut inside, mut sum) = (std::fs::read_to_string("/proc/self/smaps").unwrap(), false, 0);
        for line in smaps.lines() {
            if let Some(kib) = line.strip_prefix("Rss:") {
                sum += if inside {
                    kib.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
                } else {
                    0
                };
            } else if let Some(from) =
                line.split_once('-').and_then(|(a, _)| usize::from_str_radix(a, 16).ok())
            {
                inside = map.as_ptr_range().contains(&(from as *const u8));
            }
        }
        sum
    }

    #[test]
    fn a_touched_page_brings_nothing_from_beyond_a_cut() {
        let page = page_size();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, vec![1u8; 64 * page]).unwrap();
        let mapped = Mapped::open(&path).unwrap();
        mapped.divide(&[0, 7 * page, 8 * page, 30 * page, 64 * page]);
        mapped.release(0..64 * page).unwrap();
        assert_eq!(resident(mapped.bytes()), 0);
        for (touched, most) in [(7 * page, 1), (7 * page - 1, 8), (8 * page, 30)] {
            std::hint::black_box(mapped.bytes()[touched]);
            let held = resident(mapped.bytes());
            assert!((1..=most * page).contains(&held), "{held} bytes after byte {touched}");
        }
        mapped.populate();
        mapped.release(7 * page..8 * page).unwrap();
        assert_eq!(resident(mapped.bytes()), 63 * page);
        mapped.unite();
        std::hint::black_box(mapped.bytes()[0]);
        assert!(resident(mapped.bytes()) >= 63 * page);
    }

    #[test]
    fn empty_and_absent_files() {
        let dir = tempfile::tempdir().unwrap();
        let empty = dir.path().join("empty");
        std::fs::write(&empty, b"").unwrap();
        let mapped = Mapped::open(&empty).unwrap();
        mapped.populate();
        assert!(mapped.bytes().is_empty());
        assert!(mapped.digest_hex().unwrap().starts_with("e3b0c442"));
        assert!(Mapped::open(dir.path().join("absent")).unwrap_err().is_io());
    }

    #[test]
    fn a_file_being_written_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let writer = File::create(&path).unwrap();
        writer.lock().unwrap();
        assert!(matches!(Mapped::open(&path), Err(GgufError::Locked { .. })));
        drop(writer);
        assert!(Mapped::open(&path).is_ok());
    }
}
