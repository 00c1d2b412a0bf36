//! Calls into the C library and the allocator hook: the only unsafe code of this crate.
#![allow(unsafe_code)]

use crate::{Bytes, counts};
use std::alloc::{GlobalAlloc, Layout, System};
use std::fmt;
use std::io::{self, Write};

/// The system allocator, counting. Install it with `#[global_allocator]` in the binary; read the
/// counts through [`crate::alloc`].
pub struct CountingAllocator;

// SAFETY: every call is handed unchanged to `System`, which keeps the contract; the counters only
// touch atomics and never allocate.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc`.
        let block = unsafe { System.alloc(layout) };
        match block.is_null() {
            false => counts::grew(layout.size()),
            true => refused(layout.size()),
        }
        block
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        let block = unsafe { System.alloc_zeroed(layout) };
        match block.is_null() {
            false => counts::grew(layout.size()),
            true => refused(layout.size()),
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(block, layout) };
        counts::shrank(layout.size());
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `realloc`.
        let moved = unsafe { System.realloc(block, layout, new_size) };
        if !moved.is_null() {
            // Old and new may both be alive for a moment, so the old is taken off last.
            counts::grew(new_size);
            counts::shrank(layout.size());
        } else {
            refused(new_size);
        }
        moved
    }
}

/// Where that was asked for, says on standard error that `bytes` were refused and ends the process, without allocating.
fn refused(bytes: usize) {
    if let Some(exit) = counts::exit_when_refused() {
        end(format_args!("{bytes} bytes of memory"), exit);
    }
}

/// The same of the memory that a thread needs to begin: that thread panics, whoever started it.
pub fn refused_thread() {
    if let Some(exit) = counts::exit_in_any_case() {
        end(format_args!("the memory of a thread"), exit);
    }
}

fn end(what: fmt::Arguments<'_>, (code, remedy): (i32, &str)) {
    let mut line = [0u8; 160];
    let mut rest = &mut line[..];
    let _ = writeln!(rest, "sprig: the system refused {what}; {remedy}");
    let left = rest.len();
    let _ = io::stderr().write_all(&line[..line.len() - left]);
    // SAFETY: `_exit` takes an integer and does not return; nothing is left to be written or freed.
    unsafe { libc::_exit(code) }
}

/// Gives free heap pages back to the kernel, so that the resident size shows what is in use.
/// Only glibc keeps enough back to matter; elsewhere nothing happens.
pub fn release_free_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `malloc_trim` takes no pointer and may be called at any time from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Keeps glibc to one heap for all threads (by default up to eight a core, 64 MiB of address space
/// each) and has every block from 128 KiB up mapped on its own, so that freeing it returns it at
/// once (by default the threshold grows to 32 MiB). Call it first thing in `main`.
pub fn limit_arenas() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `mallopt` takes two integers; both parameters are documented in mallopt(3).
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_THRESHOLD, 128 << 10);
    }
}

/// Size of a page of memory: 4 KiB, or 16 KiB on some ARM kernels.
pub(crate) fn page_size() -> Bytes {
    // SAFETY: `sysconf` takes an integer and returns one.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    Bytes(u64::try_from(size).unwrap_or(4096))
}

/// Lowers the soft `RLIMIT_DATA` to `limit`, or to the hard limit if that is lower.
pub(crate) fn set_data_limit(limit: Bytes) -> io::Result<()> {
    let limit = libc::rlim_t::try_from(limit.0).unwrap_or(libc::RLIM_INFINITY);
    set_limit(libc::RLIMIT_DATA, |now| now.rlim_cur = limit.min(now.rlim_max)).map(drop)
}

/// Raises the soft `RLIMIT_NOFILE` to `files`, as far as the hard limit lets it; the soft limit that holds then.
pub(crate) fn allow_files(files: u64) -> io::Result<u64> {
    let files = libc::rlim_t::try_from(files).unwrap_or(libc::RLIM_INFINITY);
    let held = set_limit(libc::RLIMIT_NOFILE, |now| now.rlim_cur = now.rlim_cur.max(files.min(now.rlim_max)));
    #[allow(clippy::useless_conversion, reason = "limits have 32 bits on some targets")]
    held.map(|held| u64::try_from(held.rlim_cur).unwrap_or(u64::MAX))
}

#[cfg(target_env = "gnu")]
type Limited = libc::__rlimit_resource_t;
#[cfg(not(target_env = "gnu"))]
type Limited = libc::c_int;

/// Changes a limit of this process; what it is then.
fn set_limit(of: Limited, change: impl FnOnce(&mut libc::rlimit)) -> io::Result<libc::rlimit> {
    let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `now` is a valid rlimit to write to.
    if unsafe { libc::getrlimit(of, &raw mut now) } != 0 {
        return Err(io::Error::last_os_error());
    }
    change(&mut now);
    // SAFETY: `now` is a valid rlimit to read from.
    if unsafe { libc::setrlimit(of, &raw const now) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(now)
}
