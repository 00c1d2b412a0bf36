//! Hostile bodies of requests: never a panic, and never more heap than a multiple of their own size. The heap is measured, so
//! everything here runs under one lock.
// Nobody imports a test: `pub` is between its modules.
#![allow(unreachable_pub)]
#![allow(missing_docs, clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use sprig_budget::alloc;
use sprig_ground::random::SplitMix64;
use sprig_serve::MOST_BYTES;
use sprig_testkit::hostile;
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

/// Reads `bytes` and holds the heap to 48 bytes a byte of input (a number of two bytes becomes a text of its own, in a list that
/// may be growing) and 64 KiB (the test harness itself prints and spawns): 3 MiB of the longest body, as planned.
fn within(bytes: &[u8]) -> usize {
    let before = alloc::current();
    alloc::reset_peak();
    let taken = walk::walk(bytes);
    let held = alloc::peak().0.saturating_sub(before.0);
    let allowed = (64 << 10) + 48 * bytes.len() as u64;
    assert!(held <= allowed, "{held} bytes of heap for a body of {}", bytes.len());
    taken
}

/// Bodies that were thought of, and how many kinds take them.
fn seeds() -> Vec<(&'static str, usize, Vec<u8>)> {
    let chat = br#"{"model":"m","messages":[{"role":"system","content":"a"},{"role":"user","content":[{"type":"text","text":"b"}]}],"temperature":0.5,"stop":["x"],"logprobs":true,"top_logprobs":2,"stream":true,"stream_options":{"include_usage":true}}"#;
    let long = |item: &str| {
        let items = vec![item; (MOST_BYTES - 30) / (item.len() + 1)].join(",");
        format!(r#"{{"messages":[{items}]}}"#).into_bytes()
    };
    let keys: String = (0..7000).map(|i| format!("\"{i}\":0,")).collect();
    vec![
        ("chat", 1, chat.to_vec()),
        ("completion", 1, br#"{"prompt":["a"],"max_tokens":3,"logprobs":5,"seed":-9}"#.to_vec()),
        ("answer", 2, br#"{"prompt":"a","max_tokens":3}"#.to_vec()),
        ("class", 2, br#"{"text":"a"}"#.to_vec()),
        ("empty", 0, Vec::new()),
        ("no_object", 0, b"[]".to_vec()),
        ("broken_text", 0, b"{\"prompt\":\"\xc3\x28\"}".to_vec()),
        ("half_a_surrogate", 0, br#"{"prompt":"\ud800"}"#.to_vec()),
        ("deep", 0, [b"{\"messages\":".to_vec(), vec![b'['; 5000]].concat()),
        ("huge_number", 0, br#"{"prompt":"a","max_tokens":1e999}"#.to_vec()),
        ("negative", 0, br#"{"prompt":"a","max_tokens":-1}"#.to_vec()),
        ("twice", 0, br#"{"prompt":"a","prompt":1}"#.to_vec()),
        ("many_numbers", 0, long("1")),
        ("many_lists", 0, long("[]")),
        ("many_objects", 0, long(r#"{"a":0}"#)),
        ("many_keys", 0, format!("{{{keys}\"z\":0}}").into_bytes()),
    ]
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/requests")
}

#[test]
fn hostile_requests_are_refused_and_honest_ones_taken() {
    let _alone = alone();
    for (name, taken, bytes) in seeds() {
        assert!(bytes.len() <= MOST_BYTES, "{name} is not read at all");
        assert_eq!(within(&bytes), taken, "{name}");
    }
}

#[test]
fn requests_of_the_fuzz_corpus_neither_panic_nor_swell() {
    let _alone = alone();
    let files = hostile::corpus(&corpus());
    let taken: usize = files.iter().map(|bytes| within(bytes)).sum();
    assert!(files.len() >= 8, "{} files; write the seeds again with --ignored write_the_seeds", files.len());
    assert!(taken >= 4, "each kind of request is among the seeds");
}

/// Short seeds, cut, joined and with bytes of theirs changed, without a fuzzer's view of what that reaches.
#[test]
#[ignore = "half a minute: ten million bodies"]
fn ten_million_changed_requests_are_read_to_their_end() {
    let _alone = alone();
    let seeds: Vec<Vec<u8>> =
        seeds().into_iter().map(|(_, _, bytes)| bytes).filter(|b| b.len() < 500).collect();
    let (mut draw, mut taken) = (SplitMix64::new(1), 0u64);
    for _ in 0..10_000_000u32 {
        let bytes = hostile::changed(&seeds, &mut draw);
        taken += walk::walk(&bytes) as u64;
    }
    assert!(taken > 1_000_000, "{taken} were taken: most were no JSON");
}

/// Not a test: writes the seeds of the fuzz target that are short.
#[test]
#[ignore = "writes into the source tree"]
fn write_the_seeds() {
    hostile::write(&corpus(), seeds().into_iter().map(|(name, _, bytes)| (name, bytes)));
}
