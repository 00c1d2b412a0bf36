//! Examples that are more than memory should hold lie in files, and are the same examples.
#![allow(missing_docs, clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use sprig_budget::alloc;
use sprig_engine::gguf::{Gguf, Synthetic};
use sprig_engine::tokenizer::Tokenizer;
use sprig_learn::data::{DataSet, LoadOptions, Overflow, Task};
use std::fmt::Write;
use std::path::Path;

#[global_allocator]
static ALLOCATOR: alloc::CountingAllocator = alloc::CountingAllocator;

/// Most bytes of examples in memory before they go to files.
const ABOVE: usize = 64 << 10;

fn records(task: Task) -> String {
    let mut all = String::new();
    for i in 0..20_000 {
        let text = format!("record {i} says {}", i * i % 977);
        match task {
            Task::Lm if i % 3 == 0 => {
                let turns = format!(
                    r#"{{"role": "user", "content": "{text}?"}}, {{"role": "assistant", "content": "yes {i}"}}, {{"role": "user", "content": "and?"}}, {{"role": "assistant", "content": "no"}}"#
                );
                writeln!(all, r#"{{"messages": [{turns}]}}"#).unwrap();
            }
            Task::Lm => writeln!(all, r#"{{"text": "{text}", "weight": {}}}"#, 1 + i % 2).unwrap(),
            Task::Pair => {
                writeln!(all, r#"{{"prompt": "{text}", "chosen": " a {i}", "rejected": " b"}}"#).unwrap();
            }
            _ => writeln!(all, r#"{{"text": "{text}", "label": "{}"}}"#, ["yes", "no"][i % 2]).unwrap(),
        }
    }
    all
}

/// One test: the allocator's counts are of the whole process.
#[test]
fn examples_in_files_are_those_in_memory() {
    let bytes = Synthetic::tiny().bytes().unwrap();
    let tokenizer = Tokenizer::from_gguf(&Gguf::parse(&bytes).unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records.jsonl");
    for task in [Task::Lm, Task::Label, Task::Pair] {
        std::fs::write(&path, records(task)).unwrap();
        let template = Some("{text}: ".to_owned());
        let options = LoadOptions { raw: task != Task::Lm, template, ..LoadOptions::new(task, 256) };
        let held = DataSet::load(&[&path], &options, &tokenizer).unwrap();
        assert!(held.bytes() > 4 * ABOVE, "too little to go anywhere: {}", held.bytes());
        let before = alloc::current();
        alloc::reset_peak();
        let overflow = Some(Overflow::into(folder.path()).above_at_most(ABOVE));
        // What is in memory at the same time is a quarter of what the examples take.
        let options = LoadOptions { overflow, max_bytes: 2 << 20, ..options };
        let filed = DataSet::load(&[&path], &options, &tokenizer).unwrap();
        let took = (alloc::peak().0 - before.0) as usize;
        assert!(took < 1 << 20, "{task:?}: {took} bytes of heap for {} of examples", held.bytes());
        assert!(filed.bytes() <= 4 * (256 << 10), "{}", filed.bytes());
        same(&held, &filed);
        assert_eq!(folder.path().read_dir().unwrap().count(), 1, "{task:?} leaves files behind");
    }
    let overflow = Some(Overflow::into("/nowhere/at/all").above_at_most(ABOVE));
    let options = LoadOptions { raw: true, overflow, ..LoadOptions::new(Task::Pair, 64) };
    let error = DataSet::load(&[&path], &options, &tokenizer).unwrap_err().to_string();
    assert!(error.contains("/nowhere/at/all"), "{error}");
    assert!(Path::new(&path).exists());
}

fn same(held: &DataSet, filed: &DataSet) {
    assert_eq!((held.digest(), held.len(), held.tokens()), (filed.digest(), filed.len(), filed.tokens()));
    assert_eq!((held.longest(), held.cut()), (filed.longest(), filed.cut()));
    let n = held.len();
    // In an order that jumps, as training's does, and then in the data's own.
    for i in (0..n).map(|i| i * 7919 % n).chain(0..n) {
        assert_eq!((held.example(i), held.weight(i)), (filed.example(i), filed.weight(i)), "example {i}");
        assert_eq!(held.tokens_before(i + 1), filed.tokens_before(i + 1));
    }
}
