//! The program's own code and constants as memory: some MiB of the little that a small run holds.
//!
//! They are mapped from the program's file, and a touched page brings its neighbours: 64 KiB, or since Linux 6.18 the
//! whole folio that the page cache keeps it in, up to 2 MiB. So a program comes into memory whole, with what it ran
//! through once at its start. [`divide`] keeps what comes with a page to [`WINDOW`], and [`release`] lets go of what is
//! not in use; what is needed again comes back from the file.
#![allow(unsafe_code)]

use crate::{Bytes, sys};
use std::ffi::{c_int, c_void};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes that a touched page brings at most: one page of the largest size that boards use.
const WINDOW: usize = 16 << 10;
/// Most mapped files of code and constants that are looked at: program, libraries, loader, two segments each.
const SEGMENTS: usize = 64;

static DIVIDED: AtomicBool = AtomicBool::new(false);

/// From now on a page of the program or its libraries brings no more than its [`WINDOW`] into memory.
pub fn divide() {
    let mut all = sys::page_size().0 <= WINDOW as u64;
    for segment in Segments::of_this_process().iter() {
        // Mappings side by side are one unless they differ: here in whether a dump of the process would hold them.
        for from in segment.clone().step_by(2 * WINDOW) {
            all &= advise(from..(from + WINDOW).min(segment.end), libc::MADV_DONTDUMP);
        }
    }
    DIVIDED.store(all, Ordering::Relaxed);
}

/// Whether [`divide`] was called and did all it should.
pub fn is_divided() -> bool {
    DIVIDED.load(Ordering::Relaxed)
}

/// Code and constants of the program and its libraries, in memory or not.
pub fn bytes() -> Bytes {
    Segments::of_this_process().iter().map(|segment| Bytes(segment.len() as u64)).sum()
}

/// Takes the program and its libraries out of memory. Best effort: a kernel that refuses leaves them there.
pub fn release() {
    for segment in Segments::of_this_process().iter() {
        advise(segment.clone(), libc::MADV_DONTNEED);
    }
}

/// Address ranges that no one writes: code and constants, which are the file's pages as they are.
struct Segments {
    found: [(usize, usize); SEGMENTS],
    count: usize,
}

impl Segments {
    fn of_this_process() -> Self {
        let mut segments = Self { found: [(0, 0); SEGMENTS], count: 0 };
        // SAFETY: `add` is called, during this call only, with the pointer given here, which is to a live `Segments`.
        unsafe { libc::dl_iterate_phdr(Some(add), (&raw mut segments).cast()) };
        segments
    }

    fn iter(&self) -> impl Iterator<Item = Range<usize>> {
        self.found[..self.count].iter().map(|&(from, to)| from..to)
    }
}

/// Adds an object's segments that are loaded from its file and never written.
unsafe extern "C" fn add(object: *mut libc::dl_phdr_info, _: usize, segments: *mut c_void) -> c_int {
    // SAFETY: the loader hands out a valid description, and what `dl_iterate_phdr` was given.
    let (object, segments) = unsafe { (&*object, &mut *segments.cast::<Segments>()) };
    // SAFETY: reads a number that the kernel left at the start of the process.
    let kernels_own = unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) };
    // The kernel's own object (vdso) is not a file's, and older kernels refuse to divide it.
    if object.dlpi_phdr.is_null() || object.dlpi_addr == kernels_own {
        return 0;
    }
    // SAFETY: the loader's array of that many program headers, alive while the object is loaded.
    let headers = unsafe { std::slice::from_raw_parts(object.dlpi_phdr, usize::from(object.dlpi_phnum)) };
    let page = sys::page_size().0 as usize;
    for header in headers {
        if header.p_type != libc::PT_LOAD || header.p_flags & libc::PF_W != 0 || segments.count == SEGMENTS {
            continue;
        }
        let from = object.dlpi_addr as usize + header.p_vaddr as usize;
        let to = (from + header.p_filesz as usize).next_multiple_of(page);
        segments.found[segments.count] = (from - from % page, to);
        segments.count += 1;
    }
    0
}

fn advise(range: Range<usize>, advice: c_int) -> bool {
    // SAFETY: the range is of pages that were loaded from a file and are never written, so what is given back comes back
    // with the same bytes, for the code that runs here as well.
    unsafe { libc::madvise(range.start as *mut c_void, range.len(), advice) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process;

    #[test]
    fn code_that_is_released_still_runs_and_comes_back_piecemeal() {
        let found = Segments::of_this_process();
        let here = code_that_is_released_still_runs_and_comes_back_piecemeal as fn() as usize;
        assert!(found.iter().any(|segment| segment.contains(&here)), "this very code is not among them");
        divide();
        assert!(is_divided());
        let before = process::status().file.unwrap();
        release();
        let after = process::status().file.unwrap();
        assert!(after < before, "{before} before, {after} after");
        assert_eq!(format!("{:.3}", std::hint::black_box(2.0f64).sqrt()), "1.414");
    }
}
