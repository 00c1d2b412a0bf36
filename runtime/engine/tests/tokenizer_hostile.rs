//! Hostile tokenizers and chat templates: refused, or used without a panic and within bounds.
// Nobody imports a test: `pub` is between its modules.
#![allow(unreachable_pub)]
#![allow(missing_docs, clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use sprig_ground::random::SplitMix64;
use sprig_testkit::hostile;
use std::path::PathBuf;

#[path = "../fuzz/chats.rs"]
mod chats;
#[path = "../fuzz/tokenizers.rs"]
mod tokenizers;

/// Tokenizers that were thought of: name, whether one is made of them, bytes.
fn made() -> Vec<(&'static str, bool, Vec<u8>)> {
    let bytes = "a\nb\nc\nab\nabc\nĠ\nĠa\n<s>\0a b\nab c\nĠ a\n\x0011111113\0ab abc<s> a";
    let pieces = "<unk>\n<s>\n▁\na\nb\nab\n▁ab\n<0x41>\n<b>\0\x00231111164\0 ab é<b>";
    let with = |head: [u8; 3], text: &str| [&head[..], text.as_bytes()].concat();
    vec![
        ("bytes", true, with([0, 0, 0b0100_0011], bytes)),
        ("bytes_of_llama", true, with([0, 2, 0b0000_1100], bytes)),
        ("pieces", true, with([1, 4, 0b1100_0001], pieces)),
        ("kind", false, with([2, 0, 0], bytes)),
        ("rules", false, with([0, 5, 0], bytes)),
        ("empty", false, Vec::new()),
        ("merge_of_nothing", false, with([0, 1, 0], "a\nb\0a c\0")),
        ("merge_of_three", false, with([0, 1, 0], "a\nb\0a b c\0")),
        ("twice", false, with([0, 1, 0], "a\na\0\0")),
        ("end_is_none", false, with([0, 1, 0b0000_1000], "a\0\0\0")),
        ("byte_is_none", true, with([1, 4, 0], "<unk>\n<0xZZ>\n<0x4>\na\0\x000661\0aé")),
        ("types_are_few", false, with([0, 1, 0], "a\nb\0\x001\0ab")),
    ]
}

/// Templates that were thought of: name, how many of two ways of asking they render, bytes.
fn rendered() -> Vec<(&'static str, usize, Vec<u8>)> {
    let plain = "{% for m in messages %}{{ m.role }}: {{ m['content'] }}\n{% endfor %}{% if add_generation_prompt %}>{% endif %}";
    let said = "\0\0hello\0\x01hi";
    vec![
        ("plain", 2, [plain, said].concat().into_bytes()),
        ("nobody", 2, plain.into()),
        ("empty", 2, Vec::new()),
        ("unclosed", 0, b"{% for m in messages %}".to_vec()),
        ("refuses", 0, b"{{ raise_exception('no') }}\0\0a".to_vec()),
        ("methods", 2, b"{{ messages[0].content.strip().split('a')[-1].upper() }}\0\0bab".to_vec()),
        ("endless", 0, b"{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}".to_vec()),
        ("deep", 0, "{{ (".repeat(500).into_bytes()),
        ("itself", 0, b"{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}".to_vec()),
        ("large", 0, b"{{ 'a' * 1000000000 }}".to_vec()),
        ("namespace", 2, b"{% set n = namespace(x=0) %}{% for m in messages %}{% set n.x = n.x + 1 %}{% endfor %}{{ n.x }}".to_vec()),
    ]
}

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name)
}

#[test]
fn hostile_tokenizers_are_refused_and_honest_ones_used() {
    for (name, taken, bytes) in made() {
        let found = tokenizers::walk(&bytes);
        assert_eq!(found.is_ok(), taken, "{name}: {:?}", found.map_err(|e| e.to_string()));
    }
}

#[test]
fn hostile_templates_are_refused_and_honest_ones_rendered() {
    for (name, times, bytes) in rendered() {
        assert_eq!(chats::walk(&bytes).unwrap_or(0), times, "{name}");
    }
}

#[test]
fn tokenizers_and_templates_of_the_fuzz_corpora_do_not_panic() {
    let all = hostile::corpus(&folder("tokenizers"));
    assert!(
        all.len() >= made().len() && all.iter().filter(|bytes| tokenizers::walk(bytes).is_ok()).count() > 2
    );
    let all = hostile::corpus(&folder("chats"));
    assert!(
        all.len() >= rendered().len() && all.iter().filter(|bytes| chats::walk(bytes).is_ok()).count() > 2
    );
}

/// Short seeds, cut, joined and changed, without a fuzzer's view of what that reaches.
#[test]
#[ignore = "minutes: a million of each"]
fn a_million_changed_tokenizers_and_templates_do_not_panic() {
    let mut draw = SplitMix64::new(2);
    let (first, second): (Vec<_>, Vec<_>) = (
        made().into_iter().map(|seed| seed.2).collect(),
        rendered().into_iter().map(|seed| seed.2).collect(),
    );
    let mut taken = [0u32; 2];
    for _ in 0..1_000_000 {
        taken[0] += u32::from(tokenizers::walk(&hostile::changed(&first, &mut draw)).is_ok());
        taken[1] += u32::from(chats::walk(&hostile::changed(&second, &mut draw)).is_ok());
    }
    assert!(taken.iter().all(|&n| n > 10_000), "{taken:?} were taken");
}

/// Not a test: writes the seeds of the fuzz targets.
#[test]
#[ignore = "writes into the source tree"]
fn write_the_seeds() {
    hostile::write(&folder("tokenizers"), made().into_iter().map(|(name, _, bytes)| (name, bytes)));
    hostile::write(&folder("chats"), rendered().into_iter().map(|(name, _, bytes)| (name, bytes)));
}
