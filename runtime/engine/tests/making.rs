//! Making an adapter takes no more than it says: a plan counts on it.
#![allow(missing_docs, clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use sprig_budget::alloc;
use sprig_engine::adapter::{Adapter, AdapterSpec, Kind};
use sprig_engine::gguf::{Gguf, Synthetic};
use sprig_engine::kernels::Ctx;
use sprig_engine::model::{Module, Transformer};

#[global_allocator]
static ALLOCATOR: alloc::CountingAllocator = alloc::CountingAllocator;

#[test]
fn the_factors_of_an_adapter_take_what_is_planned() {
    let bytes = Synthetic { width: 256, ffn: 512, ..Synthetic::tiny() }.bytes().unwrap();
    let gguf = Gguf::parse(&bytes).unwrap();
    let (model, ctx) = (Transformer::load(&gguf).unwrap(), Ctx::new(2).unwrap());
    let targets = vec![Module::Q, Module::Up, Module::Down];
    for (kind, rank, targets) in [
        (Kind::Xs, 4, targets.clone()),
        (Kind::Xs, 100, targets.clone()),
        (Kind::Xs, 256, vec![Module::Down]),
        (Kind::XsSeeded, 100, targets),
    ] {
        let spec =
            AdapterSpec { kind, rank, alpha: 1.0, targets, layers: 1..3, kept: Vec::new(), routing: None };
        let before = alloc::current();
        alloc::reset_peak();
        let adapter = Adapter::new(&spec, &model, &ctx, |_, out| {
            out.iter_mut().enumerate().for_each(|(i, v)| *v = (i as f32).sin());
        })
        .unwrap();
        let beyond = alloc::peak().0 - before.0 - 4 * adapter.numbers() as u64;
        let planned = spec.making_bytes(model.geometry(), 2, ctx.panel_rows()).0;
        assert!(beyond <= planned + 4096, "rank {rank}: {beyond} of {planned}");
        assert!(beyond + planned / 8 >= planned, "rank {rank}: {beyond} of {planned}");
    }
}
