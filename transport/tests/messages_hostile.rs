//! Hostile bytes: never a panic, and never more heap than a small multiple of their own size. The heap is measured,
//! so everything here runs under one lock.
// Nobody imports a test: `pub` is between its modules.
#![allow(unreachable_pub)]
#![allow(missing_docs, clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use sprig_budget::alloc;
use sprig_transport::messages::Record;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use xxhash_rust::xxh3::xxh3_64;

#[path = "../fuzz/walk.rs"]
mod walk;

#[global_allocator]
static ALLOCATOR: sprig_budget::CountingAllocator = sprig_budget::CountingAllocator;

static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `read` and holds its heap to 16 bytes a byte of input (a contribution of 12 bytes becomes a record of 40, in
/// a list that may be growing) and 64 KiB (the test harness itself prints and spawns).
fn within<T>(bytes: usize, read: impl FnOnce() -> T) -> T {
    let before = alloc::current();
    alloc::reset_peak();
    let result = read();
    let taken = alloc::peak().0.saturating_sub(before.0);
    let allowed = (64 << 10) + 16 * bytes as u64;
    assert!(taken <= allowed, "{taken} bytes of heap for a message of {bytes}");
    result
}

/// Maps that a check sum is yet to be put to.
fn hostile() -> Vec<(&'static str, Vec<u8>)> {
    let run = [&[1, 0x50][..], &[7; 16]].concat();
    let start = |entries: u8, rest: &[u8]| [&[0xa0 | entries, 0, 1][..], &run, rest].concat();
    let huge = [0x9b, 255, 255, 255, 255, 255, 255, 255, 255];
    let digests = [&[3, 0x58, 0x20][..], &[1; 32], &[4, 0x58, 0x20], &[2; 32]].concat();
    vec![
        ("empty", vec![]),
        ("empty_map", vec![0xa0]),
        ("other_version", vec![0xa1, 0, 2]),
        ("unstated_length", vec![0xbf, 0, 1, 0xff]),
        ("keys_descend", vec![0xa2, 1, 0, 0, 1]),
        ("huge_map", vec![0xbb, 255, 255, 255, 255, 255, 255, 255, 255, 0, 1]),
        ("huge_text", start(3, &[2, 0x7b, 255, 255, 255, 255, 255, 255, 255, 255])),
        ("huge_array", start(6, &[&[2, 0][..], &digests, &[5], &huge].concat())),
        ("array_of_65536", start(6, &[&[2, 0][..], &digests, &[5, 0x9a, 0, 1, 0, 0]].concat())),
        ("unknown_huge", start(4, &[&[2, 0x60, 23][..], &huge].concat())),
        ("unknown_deep", start(4, &[&[2, 0x60, 23][..], &[0x81; 3000]].concat())),
        ("unknown_maps", start(4, &[&[2, 0x60, 23][..], &[0xbb; 3000]].concat())),
        ("unknown_tags", start(4, &[&[2, 0x60, 23][..], &[0xc0; 3000]].concat())),
        ("broken_text", start(3, &[2, 0x62, 0xc3, 0x28])),
        ("odd_scalars", start(5, &[2, 0, 3, 0, 4, 0x83, 0, 1, 1, 8, 0x43, 0, 0, 0])),
    ]
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/messages")
}

#[test]
fn the_fuzz_corpus_neither_panics_nor_swells() {
    let _alone = alone();
    let (mut files, mut accepted) = (0, 0);
    for file in std::fs::read_dir(corpus()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        accepted += within(bytes.len(), || walk::walk(&bytes));
        files += 1;
    }
    assert!(files > hostile().len(), "{files} files; write the seeds again with --ignored write_the_seeds");
    assert!(accepted >= 16, "each kind of message is among the seeds");
}

#[test]
fn hostile_maps_are_refused_by_every_kind() {
    let _alone = alone();
    for (name, map) in hostile() {
        assert_eq!(within(map.len(), || walk::walk(&map)), 0, "{name}");
    }
}

/// The most list a byte can buy: contributions without scalars.
#[test]
fn the_smallest_contributions_take_a_small_multiple_of_their_size() {
    let _alone = alone();
    let count = 65_536u32;
    let mut map = [&[0xa6, 0, 1, 1, 0x50][..], &[0; 16], &[2, 0]].concat();
    map.extend([&[3, 0x58, 0x20][..], &[1; 32], &[4, 0x58, 0x20], &[2; 32], &[5, 0x9a]].concat());
    map.extend(count.to_be_bytes());
    for number in 0..count {
        map.extend(
            [&[0xa4, 0, 0x1a][..], &number.to_be_bytes(), &[1, 0x83, 0, 1, 0, 2, 0, 3, 0x40]].concat(),
        );
    }
    let bytes = [&map[..], &xxh3_64(&map).to_le_bytes()].concat();
    let record = within(bytes.len(), || Record::decode(&bytes)).unwrap();
    assert_eq!(record.contributions.len(), count as usize);
}

/// Makes the corpus anew from the cases above and the vectors of MESSAGES.md.
#[test]
#[ignore = "writes into the source tree"]
fn write_the_seeds() {
    for (name, map) in hostile() {
        std::fs::write(corpus().join(name), map).unwrap();
    }
    let document = include_str!("../MESSAGES.md");
    for block in document.split("```hex ").skip(1) {
        let (name, lines) = block.split_once('\n').unwrap();
        let lines =
            lines.lines().take_while(|line| *line != "```").map(|line| line.split(';').next().unwrap());
        let digits: Vec<u8> = lines.flat_map(str::bytes).filter(u8::is_ascii_hexdigit).collect();
        let hex = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        let bytes: Vec<u8> = digits.chunks(2).map(hex).collect();
        std::fs::write(corpus().join(name), bytes).unwrap();
    }
}
