//! Kernel-side limits and marks. One test in a process of its own: the limit stays.

use sprig_budget::{Arena, BudgetError, Bytes, process};

#[test]
fn the_peak_can_begin_anew_and_the_kernel_refuses_what_passes_the_data_limit() {
    let block = vec![1u8; 64 << 20];
    assert!(process::status().peak_rss.unwrap() >= Bytes::mib(64));
    drop(block);
    if process::reset_peak_rss().is_ok() {
        assert!(process::status().peak_rss.unwrap() < Bytes::mib(64));
    }

    let room = process::status().data.unwrap() + Bytes::mib(64);
    process::set_data_limit(room).unwrap();
    assert!(Arena::new(Bytes::mib(16)).is_ok());
    assert!(matches!(Arena::new(Bytes::mib(128)), Err(BudgetError::OutOfMemory { .. })));
}
