//! What the kernel says this process and machine hold.
//!
//! Readers never panic and return `None` for what is not there.

pub use crate::cgroup::{CgroupMemory, cgroup};
use crate::{Bytes, sys};
use sprig_ground::kernel::{kib_value, read_small, value};
use std::io::{self, Write};
use std::path::Path;

/// `/proc/self/status`, the memory lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// VmRSS: resident now (anonymous + file + shared).
    pub rss: Option<Bytes>,
    /// VmHWM: the most that has been resident since the start or [`reset_peak_rss`].
    pub peak_rss: Option<Bytes>,
    /// RssAnon: heap and stacks.
    pub anon: Option<Bytes>,
    /// RssFile: mapped files, such as model weights and the program itself.
    pub file: Option<Bytes>,
    /// RssShmem: shared memory.
    pub shmem: Option<Bytes>,
    /// VmSwap: swapped out.
    pub swap: Option<Bytes>,
    /// VmData: private writable address space, resident or not.
    pub data: Option<Bytes>,
    /// VmSize: all address space.
    pub size: Option<Bytes>,
    /// Threads now.
    pub threads: Option<u64>,
}

/// `/proc/meminfo`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemInfo {
    /// All memory the kernel manages.
    pub total: Option<Bytes>,
    /// What could be had without swapping.
    pub available: Option<Bytes>,
}

/// Memory of this process.
pub fn status() -> Status {
    read_small(Path::new("/proc/self/status"), parse_status)
}

/// Proportional set size: resident, with each shared page divided among those who share it. The
/// kernel walks all pages for it (about 1 ms per 100 MiB), so not every step.
pub fn pss() -> Option<Bytes> {
    read_small(Path::new("/proc/self/smaps_rollup"), |text| kib(text, "Pss"))
}

/// Memory of this machine.
pub fn meminfo() -> MemInfo {
    read_small(Path::new("/proc/meminfo"), parse_meminfo)
}

/// What this process may count on: the machine's memory or its cgroup's limit, whichever is less.
/// The total that a budget of `80%` is taken of.
pub fn memory_at_hand() -> Option<Bytes> {
    let limits = [meminfo().total, cgroup().limit];
    limits.into_iter().flatten().min()
}

/// Size of a page of memory.
pub fn page_size() -> Bytes {
    sys::page_size()
}

/// Backstop: has the kernel refuse private writable memory past `limit`, after which allocations
/// abort. It counts address space as [`Status::data`] does, with thread stacks in full (8 MiB for
/// each pthread, 2 MiB for each of Rust's) and untouched pages, so leave room for them.
///
/// # Errors
/// What the kernel says.
pub fn set_data_limit(limit: Bytes) -> io::Result<()> {
    sys::set_data_limit(limit)
}

/// Lets this process and those that it starts have `files` open at a time, or as many as the system lets it: how many that is.
///
/// # Errors
/// The system tells no limit, or does not let it be raised.
pub fn allow_files(files: u64) -> io::Result<u64> {
    sys::allow_files(files)
}

/// The limit that [`set_data_limit`] set; `None` without one.
pub fn data_limit() -> Option<Bytes> {
    // Columns without a colon, unlike the kernel's other texts.
    let soft = |text: &str| {
        let limits = text.lines().find_map(|line| line.strip_prefix("Max data size"))?;
        limits.split_whitespace().next()?.parse().ok()
    };
    read_small(Path::new("/proc/self/limits"), soft).map(Bytes)
}

/// Begins a new VmHWM at what is resident now. Best effort: containers may forbid it.
///
/// # Errors
/// What the kernel says.
pub fn reset_peak_rss() -> io::Result<()> {
    // "5" resets the peak and touches nothing else: proc(5), clear_refs.
    std::fs::OpenOptions::new().write(true).open("/proc/self/clear_refs")?.write_all(b"5")
}

fn parse_status(text: &str) -> Status {
    let kib = |key| kib(text, key);
    Status {
        rss: kib("VmRSS"),
        peak_rss: kib("VmHWM"),
        anon: kib("RssAnon"),
        file: kib("RssFile"),
        shmem: kib("RssShmem"),
        swap: kib("VmSwap"),
        data: kib("VmData"),
        size: kib("VmSize"),
        threads: value(text, "Threads").and_then(|v| v.parse().ok()),
    }
}

fn parse_meminfo(text: &str) -> MemInfo {
    MemInfo { total: kib(text, "MemTotal"), available: kib(text, "MemAvailable") }
}

fn kib(text: &str, key: &str) -> Option<Bytes> {
    kib_value(text, key).map(Bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // In the format of a Linux 6 kernel on a board with 4 GiB.
    const STATUS: &str = "Name:\tsprig\nUmask:\t0022\nState:\tR (running)\nVmPeak:\t  409600 kB\nVmSize:\t  307200 kB\n\
        VmLck:\t       0 kB\nVmHWM:\t  184320 kB\nVmRSS:\t  153600 kB\nRssAnon:\t   51200 kB\nRssFile:\t  102400 kB\n\
        RssShmem:\t       0 kB\nVmData:\t   65536 kB\nVmStk:\t     132 kB\nVmSwap:\t     512 kB\nThreads:\t4\n";

    #[test]
    fn status_lines() {
        let status = parse_status(STATUS);
        assert_eq!(status.rss, Some(Bytes::mib(150)));
        assert_eq!(status.peak_rss, Some(Bytes::mib(180)));
        assert_eq!((status.anon, status.file), (Some(Bytes::mib(50)), Some(Bytes::mib(100))));
        assert_eq!((status.shmem, status.swap), (Some(Bytes::ZERO), Some(Bytes::kib(512))));
        assert_eq!((status.data, status.size), (Some(Bytes::mib(64)), Some(Bytes::mib(300))));
        assert_eq!(status.threads, Some(4));
    }

    #[test]
    fn meminfo_lines() {
        let text = "MemTotal:         440048 kB\nMemFree:           61180 kB\nMemAvailable:     276452 kB\n";
        let info = parse_meminfo(text);
        assert_eq!((info.total, info.available), (Some(Bytes::kib(440_048)), Some(Bytes::kib(276_452))));
    }

    #[test]
    fn what_is_missing_or_odd_is_none() {
        let odd = "VmRSS:\t-5 kB\nVmHWM:\t18446744073709551615 kB\nVmData:\t12 MB\nThreads:\tmany\nRssAnon:";
        assert_eq!(parse_status(odd), Status::default());
    }

    #[test]
    fn this_process_holds_memory() {
        let status = status();
        assert!(status.rss > Some(Bytes::kib(100)) && status.peak_rss >= status.rss, "{status:?}");
        assert!(status.threads >= Some(1));
        assert!(pss() > Some(Bytes::ZERO));
        assert!(meminfo().total > meminfo().available);
        assert!(page_size().0.is_power_of_two() && page_size() >= Bytes(4096));
        assert!(memory_at_hand() <= meminfo().total);
    }

    proptest! {
        #[test]
        fn no_text_makes_a_parser_panic(text in "(VmRSS:|kB|[0-9\t \n\u{e9}-])*") {
            parse_status(&text);
            parse_meminfo(&text);
        }
    }
}
