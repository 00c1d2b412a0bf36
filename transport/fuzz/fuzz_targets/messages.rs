//! Any bytes at all: `cargo +nightly fuzz run messages` in `transport`. A file that crashes it belongs into
//! `corpus/messages`, where the ordinary tests run it for ever after.
#![no_main]

#[path = "../walk.rs"]
mod walk;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    walk::walk(bytes);
});
