//! Any bytes at all as a table (CSV): `cargo +nightly fuzz run tables` in
//! `runtime/learn`. A file that crashes it belongs into `corpus/tables`, where the ordinary tests run it for ever after.
#![no_main]

#[path = "../walk.rs"]
mod walk;

thread_local! {
    static INPUT: walk::Input = walk::Input::new(".csv");
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    INPUT.with(|input| input.walk(bytes));
});
