//! Any bytes at all as a tokenizer's metadata: `cargo +nightly fuzz run tokenizers` in `runtime/engine`. A file that crashes it
//! belongs into `corpus/tokenizers`, where the ordinary tests run it for ever after.
#![no_main]

#[path = "../tokenizers.rs"]
mod walk;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = walk::walk(bytes);
});
