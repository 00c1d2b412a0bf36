//! Hostile GGUF files: each gives a typed error, never a panic, and never more heap than a small multiple
//! of its own size. The heap is measured, so everything here runs under one lock.
// Nobody imports a test: `pub` is between its modules.
#![allow(unreachable_pub)]
#![allow(missing_docs, clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use sprig_budget::alloc;
use sprig_engine::gguf::{Gguf, GgufError, TensorType, Writer};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

#[path = "../fuzz/walk.rs"]
mod walk;

#[global_allocator]
static ALLOCATOR: sprig_budget::CountingAllocator = sprig_budget::CountingAllocator;

static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Walks a file and holds its heap to 8 bytes a byte of file (a 13-byte entry becomes a 64-byte record)
/// and 64 KiB (the test harness itself prints and spawns).
fn walk(bytes: &[u8]) -> Result<usize, GgufError> {
    let before = alloc::current();
    alloc::reset_peak();
    let result = walk::walk(bytes);
    let taken = alloc::peak().0.saturating_sub(before.0);
    let allowed = (64 << 10) + 8 * bytes.len() as u64;
    assert!(taken <= allowed, "{taken} bytes of heap for a file of {}", bytes.len());
    result
}

/// A small valid file with every kind of value and four tensors.
fn valid() -> Vec<u8> {
    let mut file = Vec::new();
    let nested = raw_array(9, 2, &[raw_array(4, 1, &[7u32.to_le_bytes().to_vec()]), raw_array(4, 0, &[])]);
    let writer = Writer::new()
        .metadata("general.architecture", "llama")
        .metadata("a.u8", 1u8)
        .metadata("a.i16", -2i16)
        .metadata("a.f64", 0.5f64)
        .metadata("a.bool", true)
        .metadata("a.i32s", [1i32, -2, 3].as_slice())
        .metadata("a.words", ["one", "zwei", "τρία"].as_slice())
        .tensor_f32("norm", &[4], &[1.0; 4])
        .tensor("w", TensorType::Q4_0, &[64, 2], |out| out.write_all(&[1; 72]))
        .tensor("k", TensorType::Q6_K, &[256], |out| out.write_all(&[2; 210]))
        .tensor("h", TensorType::F16, &[2, 2, 2], |out| out.write_all(&[3; 16]));
    writer.write_to(&mut file).unwrap();
    // The writer makes no nested arrays, which the format allows: put one in by hand.
    let nested = entry("a.nested", 9, &nested);
    assert!(!nested.len().is_multiple_of(32));
    let cut = 8 + 8 + 8;
    let mut out = file[..cut].to_vec();
    out[16] += 1;
    out.extend(&nested);
    let header = Gguf::parse(&file).unwrap();
    let last = header.tensors().last().unwrap();
    // name length, name, dimension count, three dimensions, type, offset
    let header_end = last.described_at() as usize + 8 + last.name.len() + 4 + 3 * 8 + 4 + 8;
    out.extend(&file[cut..header_end]);
    out.resize(out.len().next_multiple_of(32), 0);
    out.extend(&file[header.data_start() as usize..]);
    out
}

fn header(version: u32, tensors: u64, entries: u64, body: &[&[u8]]) -> Vec<u8> {
    let mut h = b"GGUF".to_vec();
    h.extend(version.to_le_bytes());
    h.extend(tensors.to_le_bytes());
    h.extend(entries.to_le_bytes());
    body.iter().for_each(|b| h.extend(*b));
    h
}

fn string(s: &str) -> Vec<u8> {
    [&(s.len() as u64).to_le_bytes(), s.as_bytes()].concat()
}

fn entry(key: &str, ty: u32, payload: &[u8]) -> Vec<u8> {
    [&string(key), &ty.to_le_bytes()[..], payload].concat()
}

fn raw_array(element: u32, count: u64, elements: &[Vec<u8>]) -> Vec<u8> {
    [&element.to_le_bytes()[..], &count.to_le_bytes(), &elements.concat()].concat()
}

fn tensor(name: &str, dims: &[u64], ty: u32, offset: u64) -> Vec<u8> {
    let mut t = string(name);
    t.extend((dims.len() as u32).to_le_bytes());
    dims.iter().for_each(|d| t.extend(d.to_le_bytes()));
    t.extend(ty.to_le_bytes());
    t.extend(offset.to_le_bytes());
    t
}

/// `levels` arrays inside each other, the innermost empty.
fn nested(levels: usize) -> Vec<u8> {
    let inner = raw_array(9, 1, &[]).repeat(levels - 1);
    entry("deep", 9, &[inner, raw_array(0, 0, &[])].concat())
}

fn one_tensor(t: &[u8], data: usize) -> Vec<u8> {
    let mut file = header(3, 1, 0, &[t]);
    file.resize(file.len().next_multiple_of(32) + data, 0);
    file
}

/// Name, file, and a part of the message that it must be refused with.
fn hostile() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let word = |n: u64| n.to_le_bytes();
    let alignment = |a: u32| header(3, 0, 1, &[&entry("general.alignment", 4, &a.to_le_bytes())]);
    let two = |a: &[u8], b: &[u8]| {
        let mut file = header(3, 2, 0, &[a, b]);
        file.resize(file.len().next_multiple_of(32) + 256, 0);
        file
    };
    vec![
        ("empty", vec![], "magic at byte 0 needs 4"),
        ("magic", b"GGML\x03\0\0\0aaaaaaaaaaaaaaaa".to_vec(), "begins with GGML"),
        ("version-0", header(0, 0, 0, &[]), "version 0"),
        ("version-1", header(1, 0, 0, &[]), "version 1"),
        ("version-99", header(99, 0, 0, &[]), "version 99"),
        ("big-endian", header(3u32.swap_bytes(), 0, 0, &[]), "big-endian"),
        ("tensors-max", header(3, u64::MAX, 0, &[]), "limit of 65536"),
        ("tensors-many", header(3, 60_000, 0, &[]), "tensor count at byte 8 needs 1920000 bytes"),
        ("keys-max", header(3, 0, u64::MAX, &[]), "limit of 65536"),
        ("keys-many", header(3, 0, 60_000, &[]), "metadata count at byte 16 needs 780000 bytes"),
        ("key-length-max", header(3, 0, 1, &[&word(u64::MAX), &[0; 99]]), "limit of 65535"),
        ("key-length-long", header(3, 0, 1, &[&word(60_000), &[0; 99]]), "needs 60000 bytes and 99 remain"),
        ("key-not-utf8", header(3, 0, 1, &[&word(2), b"\xff\xfe", &[0; 9]]), "is not UTF-8"),
        ("value-type", header(3, 0, 1, &[&entry("k", 13, &[0; 8])]), "is 13; the format knows 0 to 12"),
        ("bool-2", header(3, 0, 1, &[&entry("k", 7, &[2])]), "boolean"),
        ("string-max", header(3, 0, 1, &[&entry("k", 8, &word(u64::MAX))]), "limit of 16777216"),
        ("string-long", header(3, 0, 1, &[&entry("k", 8, &word(1 << 24))]), "needs 16777216 bytes"),
        ("array-max", header(3, 0, 1, &[&entry("k", 9, &raw_array(4, u64::MAX, &[]))]), "limit of 16777216"),
        ("array-long", header(3, 0, 1, &[&entry("k", 9, &raw_array(8, 1 << 24, &[]))]), "needs 134217728"),
        ("array-u64", header(3, 0, 1, &[&entry("k", 9, &raw_array(10, 2, &[vec![0; 15]]))]), "needs 16"),
        ("array-nested-5", header(3, 0, 1, &[&nested(5)]), "array nesting of `deep`"),
        ("array-nested-99999", header(3, 0, 1, &[&nested(99_999)]), "array nesting of `deep`"),
        (
            "key-twice",
            header(3, 0, 2, &[&entry("k", 0, &[1]), &entry("k", 0, &[2])]),
            "metadata key `k` at byte 38",
        ),
        ("alignment-0", alignment(0), "power of two"),
        ("alignment-4", alignment(4), "power of two"),
        ("alignment-48", alignment(48), "power of two"),
        ("alignment-max", alignment(1 << 31), "power of two"),
        (
            "alignment-string",
            header(3, 0, 1, &[&entry("general.alignment", 8, &string("32"))]),
            "power of two",
        ),
        ("tensor-name-long", one_tensor(&tensor(&"n".repeat(256), &[4], 0, 0), 64), "limit of 255"),
        ("tensor-0-dims", one_tensor(&tensor("t", &[], 0, 0), 64), "0 dimensions"),
        ("tensor-5-dims", one_tensor(&tensor("t", &[1; 5], 0, 0), 64), "5 dimensions"),
        ("tensor-empty-dim", one_tensor(&tensor("t", &[4, 0], 0, 0), 64), "empty dimension"),
        ("tensor-overflow", one_tensor(&tensor("t", &[1 << 32, 1 << 32], 0, 0), 64), "more elements"),
        ("tensor-wrap", one_tensor(&tensor("t", &[1 << 31, 1 << 31, 4], 0, 0), 64), "more elements"),
        ("tensor-ragged", one_tensor(&tensor("t", &[33], 2, 0), 64), "not a multiple of the 32"),
        ("tensor-misaligned", one_tensor(&tensor("t", &[4], 0, 8), 64), "not a multiple of the alignment"),
        ("tensor-offset-max", one_tensor(&tensor("t", &[4], 0, u64::MAX - 31), 64), "needs 16 bytes"),
        ("tensor-outside", one_tensor(&tensor("t", &[4], 0, 64), 64), "needs 16 bytes at data byte 64"),
        ("tensor-cut", one_tensor(&tensor("t", &[17], 0, 0), 64), "needs 68 bytes at data byte 0"),
        ("tensor-unknown-outside", one_tensor(&tensor("t", &[4], 77, 64), 64), "data byte 64"),
        ("tensor-twice", two(&tensor("t", &[4], 0, 0), &tensor("t", &[4], 0, 32)), "tensor `t` at byte 57"),
        (
            "overlap",
            two(&tensor("a", &[16], 0, 0), &tensor("b", &[4], 0, 32)),
            "`a` and `b` overlap at data byte 32",
        ),
        ("overlap-same", two(&tensor("a", &[4], 77, 32), &tensor("b", &[4], 0, 32)), "overlap"),
    ]
}

#[test]
fn hostile_files_are_refused_by_name() {
    let _alone = alone();
    for (name, file, part) in hostile() {
        let error = walk(&file).expect_err(name);
        let message = error.to_string();
        assert!(message.contains(part), "{name}: {message}");
        assert!(!error.is_io() && message.len() < 400, "{name}: {message}");
    }
}

#[test]
fn a_file_cut_at_any_byte_is_refused() {
    let _alone = alone();
    let file = valid();
    assert_eq!(walk(&file).unwrap(), 5 + 3 + 3 + 1 + 4);
    let data_end = {
        let header = Gguf::parse(&file).unwrap();
        let last = header.tensors().map(|t| header.data_range(t).unwrap().end).max();
        last.unwrap()
    };
    for length in 0..data_end {
        let error = walk(&file[..length]).expect_err("a cut file");
        assert!(
            matches!(error, GgufError::Truncated { .. } | GgufError::BadTensor { .. }),
            "cut at {length}: {error}"
        );
    }
}

#[test]
fn a_file_with_any_byte_changed_is_read_or_refused() {
    let _alone = alone();
    let file = valid();
    let mut refused = 0;
    for at in 0..file.len() {
        for bits in [0x01, 0x80, 0xff] {
            let mut changed = file.clone();
            changed[at] ^= bits;
            refused += walk(&changed).is_err() as usize;
        }
    }
    assert!(refused > 100, "{refused}");
}

#[test]
fn version_2_and_unknown_types_are_read() {
    let _alone = alone();
    let mut file = one_tensor(&tensor("t", &[4], 77, 32), 64);
    file[4] = 2;
    let header = Gguf::parse(&file).unwrap();
    assert_eq!(header.version(), 2);
    let t = header.require_tensor("t").unwrap();
    assert_eq!(t.ty, TensorType::Unknown(77));
    assert!(header.data(t).unwrap_err().to_string().contains("tensor `t` has type 77"));
    assert!(walk(&header_with_many_entries()).is_ok());
}

/// The densest legal header: what the heap limit in [`walk`] is about.
fn header_with_many_entries() -> Vec<u8> {
    let entries: Vec<Vec<u8>> = (0..10_000).map(|i| entry(&format!("{i:x}"), 0, &[0])).collect();
    header(3, 0, 10_000, &[&entries.concat()])
}

#[test]
fn errors_name_the_key_and_the_types() {
    let _alone = alone();
    let file = valid();
    let header = Gguf::parse(&file).unwrap();
    assert_eq!(header.architecture().unwrap(), "llama");
    assert_eq!(header.u32("a.u8").unwrap(), Some(1));
    assert_eq!(header.array_i32("a.i32s").unwrap().unwrap().collect::<Vec<_>>(), [1, -2, 3]);
    assert_eq!(header.require_array_str("a.words").unwrap().nth(2), Some("τρία"));
    assert_eq!(header.u32("absent").unwrap(), None);
    let message = |e: Result<u32, GgufError>| e.unwrap_err().to_string();
    assert!(message(header.require_u32("absent")).contains("`absent` is missing"));
    let wrong = message(header.require_u32("a.i16"));
    assert!(
        wrong.contains("`a.i16`") && wrong.contains("integer from 0") && wrong.contains("i16 -2"),
        "{wrong}"
    );
    assert!(header.array_str("a.i32s").unwrap_err().to_string().contains("array of 3 I32"));
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/gguf")
}

#[test]
fn the_fuzz_corpus_neither_panics_nor_swells() {
    let _alone = alone();
    let mut files = 0;
    for file in std::fs::read_dir(corpus()).unwrap() {
        let _ = walk(&std::fs::read(file.unwrap().path()).unwrap());
        files += 1;
    }
    assert!(files >= hostile().len(), "{files} files; write the seeds again with --ignored write_the_seeds");
}

/// Makes the corpus anew from the cases above (those of at most 4 KiB) and a valid file.
#[test]
#[ignore = "writes into the source tree"]
fn write_the_seeds() {
    for (name, file, _) in hostile().into_iter().chain([("valid", valid(), "")]) {
        if file.len() <= 4096 {
            std::fs::write(corpus().join(name), file).unwrap();
        }
    }
}
