//! Reading data takes no more than it is allowed, whatever a line holds.
#![allow(missing_docs, clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use sprig_budget::alloc;
use sprig_engine::gguf::{Gguf, Synthetic};
use sprig_engine::tokenizer::Tokenizer;
use sprig_learn::data::{DataError, DataSet, LoadOptions, Task};

#[global_allocator]
static ALLOCATOR: alloc::CountingAllocator = alloc::CountingAllocator;

/// The error, and the most that loading `content` held.
fn load(tokenizer: &Tokenizer, content: &str, options: &LoadOptions) -> (Option<DataError>, usize) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), content).unwrap();
    let before = alloc::current();
    alloc::reset_peak();
    let loaded = DataSet::load(&[file.path()], options, tokenizer);
    let peak = (alloc::peak().0 - before.0) as usize;
    (loaded.err(), peak)
}

/// One test: the allocator's counts are of the whole process.
#[test]
fn a_long_record_takes_no_more_than_is_allowed_or_is_refused() {
    let bytes = Synthetic::tiny().bytes().unwrap();
    let tokenizer = Tokenizer::from_gguf(&Gguf::parse(&bytes).unwrap()).unwrap();
    let words = "a few words and then more of them, ".repeat(25_000);
    let (word, spaces) = ("x".repeat(900_000), " ".repeat(900_000));
    for text in [&words, &word, &spaces] {
        let lm = format!("{{\"text\": \"{text}\"}}\n{{\"text\": \"short\"}}\n");
        let label =
            format!("{{\"text\": \"{text}\", \"label\": \"a\"}}\n{{\"text\": \"t\", \"label\": \"b\"}}\n");
        let pair = format!("{{\"prompt\": \"{text}\", \"completion\": \"{text}\"}}\n");
        let pair = if pair.len() < 1 << 20 { pair } else { lm.clone() };
        for (content, task, raw) in [
            (&lm, Task::Lm, true),
            (&label, Task::Label, false),
            (&label, Task::Label, true),
            (&pair, Task::Lm, false),
        ] {
            let mut took = 0;
            for max_bytes in [64 << 10, 1 << 20, 4 << 20, 8 << 20, 16 << 20] {
                let template = Some("{text}\n{options}\n".to_owned());
                let options = LoadOptions { max_bytes, raw, template, ..LoadOptions::new(task, 200) };
                let (error, peak) = load(&tokenizer, content, &options);
                // The reader's own buffer, names, and what the template engine takes for itself.
                assert!(peak <= max_bytes + (96 << 10), "{peak} of {max_bytes}: {task:?} {error:?}");
                match error {
                    None => took = max_bytes,
                    Some(DataError::TooLarge { line: 1, limit, .. }) => {
                        assert_eq!((limit, took), (max_bytes, 0))
                    }
                    Some(other) => panic!("{other}"),
                }
            }
            assert!(took > 0, "room was found at last");
        }
    }
}
