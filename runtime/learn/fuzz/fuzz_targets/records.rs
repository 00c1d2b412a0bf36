//! Any bytes at all as a file of records (JSONL, a JSON array, gzip): `cargo +nightly fuzz run records` in
//! `runtime/learn`. A file that crashes it belongs into `corpus/records`, where the ordinary tests run it for ever after.
#![no_main]

#[path = "../walk.rs"]
mod walk;

thread_local! {
    static INPUT: walk::Input = walk::Input::new(".jsonl");
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    INPUT.with(|input| input.walk(bytes));
});
