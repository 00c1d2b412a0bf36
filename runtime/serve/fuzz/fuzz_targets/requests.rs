//! Any bytes at all as the body of a request: `cargo +nightly fuzz run requests` in `runtime/serve`. A file that crashes it
//! belongs into `corpus/requests`, where the ordinary tests run it for ever after.
#![no_main]

#[path = "../walk.rs"]
mod walk;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    walk::walk(bytes);
});
