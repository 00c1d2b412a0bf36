//! Hostile files of data: told with what is wrong with them, never a panic.
// Nobody imports a test: `pub` is between its modules.
#![allow(unreachable_pub)]
#![allow(missing_docs, clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use sprig_ground::random::SplitMix64;
use sprig_testkit::hostile;
use std::path::PathBuf;

#[path = "../fuzz/walk.rs"]
mod walk;

/// Records that were thought of: name, how many they are, bytes behind the one that chooses the task.
fn records() -> Vec<(&'static str, u64, Vec<u8>)> {
    let with = |how: u8, text: &str| [&[how], text.as_bytes()].concat();
    let label = r#"{"text": "a", "label": "x"}"#;
    vec![
        ("labels", 2, with(0, &format!("{label}\n{}\n", r#"{"a": "é", "b": 7, "text": "t", "label": "y"}"#))),
        ("columns", 1, with(8, r#"{"a": "one", "b": "two"}"#)),
        ("choices", 1, with(1, r#"{"question": "q", "choices": ["a", "b"], "answer": 1}"#)),
        ("pairs", 1, with(2, r#"{"prompt": "p", "chosen": "c", "rejected": "r"}"#)),
        (
            "chat",
            1,
            with(
                3,
                r#"{"messages": [{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}]}"#,
            ),
        ),
        ("alpaca", 1, with(3, r#"{"instruction": "i", "input": "", "output": "o"}"#)),
        ("array", 2, with(0, &format!("[{label}, {label}]"))),
        ("array_unclosed", 0, with(0, &format!("[{label}, "))),
        ("empty", 0, Vec::new()),
        ("no_object", 0, with(0, "[1, \"a\", null]")),
        ("deep", 0, with(3, &format!("{{\"messages\": {}", "[".repeat(3000)))),
        ("half_a_surrogate", 0, with(3, r#"{"text": "\ud800"}"#)),
        ("gzip_of_nothing", 0, [&[0u8, 0x1f, 0x8b][..], &[8; 20]].concat()),
        ("bytes", 0, [&[0u8][..], b"{\"text\": \"\xc3\x28\", \"label\": \"x\"}"].concat()),
        ("null", 0, with(0, r#"{"text": null, "label": "x"}"#)),
    ]
}

/// Tables that were thought of, likewise.
fn tables() -> Vec<(&'static str, u64, Vec<u8>)> {
    let with = |how: u8, text: &str| [&[how], text.as_bytes()].concat();
    vec![
        ("plain", 2, with(0, "text,label\na,x\nb,y\n")),
        ("quoted", 1, with(0, "text,label\r\n\"a \"\"b\"\",\nc\",x\r\n")),
        ("columns", 1, with(8, "b,c,a\n1,2,3\n")),
        ("mark", 1, [&[0u8, 0xef, 0xbb, 0xbf][..], b"text,label\na,x\n"].concat()),
        ("short_row", 0, with(0, "text,label\na\n")),
        ("long_row", 0, with(0, "text,label\na,b,c\n")),
        ("unclosed", 0, with(0, "text,label\n\"a,x\n")),
        ("header_alone", 0, with(0, "text,label\n")),
        ("no_header", 0, with(0, "\n\n\n")),
        ("twice", 0, with(0, "text,text,label\na,b,c\n")),
        ("empty", 0, Vec::new()),
        ("bytes", 0, [&[0u8][..], b"text,label\n\xc3\x28,x\n"].concat()),
        ("quote_within", 1, with(0, "text,label\na\"b,x\n")),
    ]
}

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name)
}

#[test]
fn hostile_data_are_told_and_honest_ones_read() {
    for (ending, seeds) in [(".jsonl", records()), (".csv", tables())] {
        let input = walk::Input::new(&format!("-seeds{ending}"));
        for (name, n, bytes) in seeds {
            assert_eq!(input.walk(&bytes), n, "{name}{ending}");
        }
    }
}

#[test]
fn data_of_the_fuzz_corpora_do_not_panic() {
    for (name, ending, seeds) in [("records", ".jsonl", records()), ("tables", ".csv", tables())] {
        let input = walk::Input::new(&format!("-corpus{ending}"));
        let all = hostile::corpus(&folder(name));
        assert!(all.len() >= seeds.len(), "{} files of {name}", all.len());
        assert!(all.iter().filter(|bytes| input.walk(bytes) > 0).count() > 2, "none of {name} are read");
    }
}

/// Short seeds, cut, joined and changed, without a fuzzer's view of what that reaches.
#[test]
#[ignore = "minutes: a million of each"]
fn a_million_changed_data_do_not_panic() {
    let mut draw = SplitMix64::new(3);
    for (ending, seeds) in [(".jsonl", records()), (".csv", tables())] {
        let input = walk::Input::new(&format!("-changed{ending}"));
        let seeds: Vec<_> = seeds.into_iter().map(|seed| seed.2).filter(|bytes| bytes.len() < 500).collect();
        let read = (0..1_000_000).filter(|_| input.walk(&hostile::changed(&seeds, &mut draw)) > 0).count();
        assert!(read > 10_000, "{read} of {ending} were read");
    }
}

/// Not a test: writes the seeds of the fuzz targets.
#[test]
#[ignore = "writes into the source tree"]
fn write_the_seeds() {
    hostile::write(&folder("records"), records().into_iter().map(|(name, _, bytes)| (name, bytes)));
    hostile::write(&folder("tables"), tables().into_iter().map(|(name, _, bytes)| (name, bytes)));
}
