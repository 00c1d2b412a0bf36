//! Any bytes at all as a chat template and what is said: `cargo +nightly fuzz run chats` in `runtime/engine`. A file that crashes it
//! belongs into `corpus/chats`, where the ordinary tests run it for ever after.
#![no_main]

#[path = "../chats.rs"]
mod walk;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = walk::walk(bytes);
});
