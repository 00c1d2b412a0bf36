//! A tokenizer takes the memory that plans count for it, and an encoding that of its longest word. The heap is measured, so
//! everything here is one test.
#![allow(missing_docs, clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use sprig_budget::alloc;
use sprig_engine::gguf::{Gguf, Mapped, Synthetic, SyntheticFamily};
use sprig_engine::tokenizer::{Specials, Tokenizer};
use sprig_testkit::model::real_model;

#[global_allocator]
static ALLOCATOR: sprig_budget::CountingAllocator = sprig_budget::CountingAllocator;

/// Heap that `work` held at most and holds after it, with what it made.
fn held<T>(work: impl FnOnce() -> T) -> (u64, u64, T) {
    let before = alloc::current().0;
    alloc::reset_peak();
    let made = work();
    (alloc::peak().0 - before, alloc::current().0 - before, made)
}

fn within_its_plan(name: &str, bytes: &[u8]) {
    let gguf = Gguf::parse(bytes).unwrap();
    let planned = Tokenizer::bytes(&gguf);
    let (peak, kept, tokenizer) = held(|| Tokenizer::from_gguf(&gguf).unwrap());
    // The rest of what building brings are the header's pages.
    let heap = planned.building.0 - gguf.data_start();
    println!("{name}: {peak} of {heap} while it is built, then {kept} of {}", planned.kept.0);
    assert!(peak <= heap && kept <= planned.kept.0, "{name}");
    let words = "a few words and then more of them,\n".repeat(3000);
    for text in
        [&words, &"x".repeat(300_000), &" ".repeat(300_000), &"日".repeat(100_000), &"<a>".repeat(50_000)]
    {
        let most = Tokenizer::encoding_bytes(text) as u64;
        // What the regular expressions keep from then on.
        tokenizer.encode_first(text, Specials::Parse, 200);
        let (took, _, _) = held(|| tokenizer.encode_first(text, Specials::Parse, 200));
        // Ids of a word and of the tokens wanted.
        assert!(took <= most + (48 << 10), "{name}: {took} of {most} for {:?}", &text[..3]);
    }
}

#[test]
fn tokenizers_take_no_more_than_plans_count() {
    let model = Mapped::open(real_model()).unwrap();
    within_its_plan("SmolLM2", model.bytes());
    let tiny = Synthetic::tiny_of(SyntheticFamily::Gemma3);
    within_its_plan("pieces", &tiny.bytes().unwrap());
    let many = Synthetic { vocab: 262_144, blocks: 1, ..tiny };
    within_its_plan("a vocabulary of 262,144 pieces", &many.bytes().unwrap());
}
