//! The counting allocator, installed. One test: the counters belong to the whole process.

use sprig_budget::{Arena, BudgetError, Bytes, CountingAllocator, Timeline, alloc, process};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[test]
fn counts_peaks_limits_and_steps_without_allocation() {
    alloc::limit_arenas();
    const BIG: usize = 32 << 20;
    let before = alloc::current();

    alloc::reset_peak();
    let block = vec![1u8; BIG];
    assert!(alloc::current() - before >= Bytes::from(BIG));
    let resident = process::status().anon.unwrap();
    drop(block);
    assert!(alloc::current() - before < Bytes::mib(1));
    assert!(alloc::peak() - before >= Bytes::from(BIG));
    alloc::reset_peak();
    assert!(alloc::peak() - before < Bytes::mib(1));

    // With the threshold fixed, a big block goes back to the kernel when it is freed.
    assert!(resident - process::status().anon.unwrap() >= Bytes::mib(31));

    // Many small blocks lie on the heap proper; trimming returns them. One at the top stays, as in life.
    let mut blocks: Vec<Vec<u8>> = (0..1 << 14).map(|_| vec![1u8; 2048]).collect();
    let held = process::status().anon.unwrap();
    blocks.drain(..blocks.len() - 1);
    alloc::release_free_memory();
    if cfg!(target_env = "gnu") {
        assert!(held - process::status().anon.unwrap() >= Bytes::mib(28));
    }

    // Growing in place or by moving is counted once.
    let mut grown: Vec<u8> = Vec::with_capacity(1000);
    let small = alloc::current();
    grown.reserve_exact(5000);
    assert_eq!(alloc::current() - small, Bytes(4000));

    alloc::set_soft_limit(alloc::current() + Bytes::mib(1));
    assert!(alloc::check().is_ok());
    let over = vec![0u8; 2 << 20];
    let err = alloc::check().unwrap_err();
    assert!(matches!(err, BudgetError::HeapLimit { heap, limit } if heap > limit), "{err}");
    drop(over);
    assert!(alloc::check().is_ok());

    alloc::set_soft_limit(Bytes(u64::MAX));
    // What a step does at its boundary: take from the arena, look at memory, write it down.
    let mut arena = Arena::new(Bytes::mib(1)).unwrap();
    let mut timeline = Timeline::new(8);
    let calls = alloc::allocations();
    for step in 0..100 {
        let mut stack = arena.stack();
        stack.take(1000).unwrap().fill(1.0);
        stack.scope().take_u16(1000).unwrap().fill(1);
        timeline.record(step);
        alloc::check().unwrap();
    }
    assert_eq!(alloc::allocations(), calls);
}
