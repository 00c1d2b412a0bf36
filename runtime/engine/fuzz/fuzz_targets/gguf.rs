//! Any bytes at all: `cargo +nightly fuzz run gguf` in `runtime/engine`. A file that crashes it belongs
//! into `corpus/gguf`, where the ordinary tests run it for ever after.
#![no_main]

#[path = "../walk.rs"]
mod walk;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = walk::walk(bytes);
});
