//! Values of which there are more than memory should hold: written once to a file without a name, then read where they
//! lie. The file is gone with the process, whatever ends it.
#![allow(unsafe_code)]

use crate::Bytes;
use bytemuck::Pod;
use memmap2::{Advice, Mmap, UncheckedAdvice};
use sprig_ground::PathError;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::marker::PhantomData;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Most bytes of a [`Filed`] that are in memory, beside those of the last read.
pub const WINDOW: Bytes = Bytes::kib(256);

/// Bytes that a [`Filing`] holds back until it writes them.
const BUFFER: usize = 64 << 10;
/// Bytes after which a [`Filing`] waits for the disk: what is written and not yet there counts against a memory control
/// group.
const SYNC: usize = 4 << 20;

/// Values being written to a file.
#[derive(Debug)]
pub struct Filing<T> {
    file: BufWriter<File>,
    folder: PathBuf,
    count: usize,
    /// Bytes since the disk had all.
    ahead: usize,
    of: PhantomData<T>,
}

impl<T: Pod> Filing<T> {
    /// Begins a file in `folder`, of no name that anybody would see.
    ///
    /// # Errors
    /// The folder takes no file.
    pub fn begin(folder: &Path) -> Result<Self, PathError> {
        let file = tempfile::tempfile_in(folder).map_err(PathError::at("make a file in", folder))?;
        let file = BufWriter::with_capacity(BUFFER, file);
        Ok(Self { file, folder: folder.to_owned(), count: 0, ahead: 0, of: PhantomData })
    }

    /// Values so far.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Bytes of memory that it holds.
    pub fn bytes(&self) -> usize {
        BUFFER
    }

    /// Adds `values`.
    ///
    /// # Errors
    /// The disk is full, or fails.
    pub fn push(&mut self, values: &[T]) -> Result<(), PathError> {
        let bytes: &[u8] = bytemuck::cast_slice(values);
        self.count += values.len();
        self.ahead += bytes.len();
        let sync = self.ahead >= SYNC;
        let mut write = || {
            self.file.write_all(bytes)?;
            if sync {
                self.file.flush()?;
                self.file.get_ref().sync_data()?;
            }
            Ok(())
        };
        write().map_err(PathError::at("write to a file in", &self.folder))?;
        if sync {
            self.ahead = 0;
        }
        Ok(())
    }

    /// The values, to be read.
    ///
    /// # Errors
    /// The disk is full, or fails.
    pub fn finish(self) -> Result<Filed<T>, PathError> {
        let Self { file, folder, count, .. } = self;
        let map = || {
            let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.sync_data()?;
            // SAFETY: the mapping is read-only, and nobody else can open a file without a name, to write or to cut it.
            unsafe { Mmap::map(&file) }
        };
        let map = map().map_err(PathError::at("write to a file in", &folder))?;
        let _ = map.advise(Advice::Random); // a hint: the kernel need not read ahead
        Ok(Filed { map, count, seen: Mutex::default(), of: PhantomData })
    }
}

/// Values in a file, of which few are in memory at a time.
#[derive(Debug)]
pub struct Filed<T> {
    map: Mmap,
    count: usize,
    seen: Mutex<Seen>,
    of: PhantomData<T>,
}

/// What of a file is in memory.
#[derive(Debug, Default)]
struct Seen {
    bytes: u64,
    /// Bytes of the file that came last.
    last: Range<usize>,
}

impl<T: Pod> Filed<T> {
    /// Number of values.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Bytes of memory that it holds, at most.
    pub fn bytes(&self) -> usize {
        WINDOW.0 as usize
    }

    /// Values `range`. They stay valid for as long as this does; after others were read they come from the disk anew.
    ///
    /// # Panics
    /// There are no such values.
    pub fn get(&self, range: Range<usize>) -> &[T] {
        let bytes = range.start * size_of::<T>()..range.end * size_of::<T>();
        let page = crate::process::page_size().0 as usize;
        self.admit(bytes.start - bytes.start % page..bytes.end.next_multiple_of(page).min(self.map.len()));
        bytemuck::cast_slice(&self.map[bytes])
    }

    /// Makes room for `pages`, which are about to be touched, and has them bring no others: a touched page may bring its
    /// neighbours of 64 KiB and more, unless they are of another mapping. Mappings side by side are one unless they differ,
    /// here in whether a dump of the process would hold them.
    fn admit(&self, pages: Range<usize>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.last.start <= pages.start && pages.end <= seen.last.end {
            return;
        }
        if seen.bytes + pages.len() as u64 > WINDOW.0 {
            let _ = self.map.advise(Advice::DoDump);
            // SAFETY: the mapping is of a file and read-only, so pages that are given back come again with the same bytes.
            let _ = unsafe { self.map.unchecked_advise(UncheckedAdvice::DontNeed) };
            seen.bytes = 0;
        }
        let _ = self.map.advise_range(Advice::DontDump, pages.start, pages.len());
        seen.bytes += pages.len() as u64;
        seen.last = pages;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process;

    /// As many numbers as that, from 0 up, in a file of `folder`.
    fn numbers(n: u32, folder: &Path) -> Filed<u32> {
        let mut filing = Filing::begin(folder).unwrap();
        for from in (0..n).step_by(1000) {
            filing.push(&(from..(from + 1000).min(n)).collect::<Vec<_>>()).unwrap();
        }
        assert_eq!(folder.read_dir().unwrap().count(), 0, "the file has a name");
        filing.finish().unwrap()
    }

    /// Reads here and there.
    fn look_about(filed: &Filed<u32>) {
        let (mut at, n) = (1u32, filed.count());
        for _ in 0..20_000 {
            at = at.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let from = at as usize % (n - 300);
            let found = filed.get(from..from + 300);
            assert!(found.iter().zip(from as u32..).all(|(found, want)| *found == want), "{from}");
        }
    }

    #[test]
    fn values_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let n = 2_000_123;
        let filed = numbers(n as u32, folder.path());
        assert_eq!(filed.count(), n);
        look_about(&filed);
        assert_eq!(filed.get(n - 1..n), [n as u32 - 1]);
        assert!(filed.get(n..n).is_empty());
    }

    #[test]
    fn few_values_are_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let filed = numbers(4 << 20, folder.path());
        look_about(&filed);
        // What goes with the file: tests beside this one bring in pages of the program at any time.
        let with = process::status().file.unwrap();
        drop(filed);
        let kept = with.0.saturating_sub(process::status().file.unwrap().0);
        assert!(kept <= 2 * WINDOW.0, "{kept} bytes of 16 MiB stayed in memory");
    }

    #[test]
    fn a_folder_that_is_none_is_named() {
        let error = Filing::<u32>::begin(Path::new("/nowhere/at/all")).unwrap_err();
        assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
    }
}
