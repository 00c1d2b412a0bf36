//! T1 on quantised activations: derivatives of the real model whose layers multiply 8-bit activations in integers, against those
//! of f32 activations, along the same directions.
#![allow(missing_docs, clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use sprig_budget::Arena;
use sprig_engine::adapter::{Adapter, AdapterSpec, Kind};
use sprig_engine::dual::{Batch, Directions, HEAD_TILE, Probe, TensorId};
use sprig_engine::gguf::{Gguf, Mapped};
use sprig_engine::kernels::Ctx;
use sprig_engine::model::{Checkpoints, Module, Pass, PassInput, PassLayout, PassSize, Transformer};
use sprig_engine::tokenizer::{Specials, Tokenizer};

const DIRECTIONS: usize = 64;

/// Signs from a hash of direction, tensor and element.
struct Signs(usize);

impl Directions for Signs {
    fn fill(&self, _: usize, _: usize, tensor: TensorId, out: &mut [f32]) {
        for (i, v) in out.iter_mut().enumerate() {
            let seed = (self.0 as u64) << 40 | u64::from(tensor.0) << 20 | i as u64;
            let mixed = seed.wrapping_add(0x9e37_79b9).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ mixed >> 29).wrapping_mul(0x94d0_49bb_1331_11eb);
            *v = if mixed >> 63 == 1 { 1.0 } else { -1.0 };
        }
    }
}

/// Value and tangent of a text of two tokens are four rows, the most that layers take in integers: the loss of the second
/// token, and its derivative along each direction.
fn slopes(
    model: &Transformer<'_>,
    adapter: &Adapter,
    spec: &AdapterSpec,
    tokens: &[u32],
    integer: bool,
) -> Vec<f64> {
    let (g, ctx) = (model.geometry(), Ctx::new(2).unwrap());
    let size = PassSize {
        positions: 2,
        tangents: 1,
        wanted: 1,
        candidates: 0,
        rank: spec.rank,
        largest_tensor: spec.largest_tensor(g),
        masked: 0,
        kept: Checkpoints::NONE,
        threads: 2,
        panel_rows: ctx.panel_rows(),
        head_tile: HEAD_TILE,
        routes: None,
    };
    let (layout, rope) = (PassLayout::new(g, size), model.rope(2));
    let mut arena = Arena::new(layout.bytes()).unwrap();
    let mut slope = |direction: usize| {
        let directions = Signs(direction);
        let probe = Probe { directions: &directions, tangents: 1, first_example: 0 };
        let batch = Batch::new(tokens, &[0, 2], g.vocabulary).unwrap().along(probe);
        let input = PassInput { batch, adapter: Some(adapter), integer };
        let mut pass = Pass::new(model, &rope, &ctx, layout, arena.stack(), input).unwrap();
        pass.embed();
        pass.blocks(0..g.blocks).unwrap();
        let stats = pass.row_statistics(&[0], &tokens[1..]).unwrap();
        f64::from(stats.d_lse[0]) - f64::from(stats.d_target[0])
    };
    (0..DIRECTIONS).map(&mut slope).collect()
}

#[test]
fn quantised_activations_give_the_derivatives_of_f32_ones() {
    let map = Mapped::open(sprig_testkit::model::real_model()).unwrap();
    let gguf = Gguf::parse(map.bytes()).unwrap();
    let tokens = Tokenizer::from_gguf(&gguf).unwrap().encode("The committee", Specials::Plain);
    let (model, ctx) = (Transformer::load(&gguf).unwrap(), Ctx::new(2).unwrap());
    let blocks = model.geometry().blocks;
    let spec = AdapterSpec {
        kind: Kind::Lora,
        rank: 1,
        alpha: 1.0,
        targets: vec![Module::Q, Module::V],
        layers: 0..blocks,
        kept: Vec::new(),
        routing: None,
    };
    let mut adapter = Adapter::new(&spec, &model, &ctx, |id, out| Signs(99).fill(0, 0, id, out)).unwrap();
    // B is no longer 0, so that A has derivatives too.
    adapter.values_mut().iter_mut().enumerate().for_each(|(i, v)| *v += 0.02 * (i as f32).sin());
    assert_eq!(tokens.len(), 2, "{tokens:?}");
    let [single, quantised] = [false, true].map(|integer| slopes(&model, &adapter, &spec, &tokens, integer));
    assert_ne!(single, quantised, "nothing was quantised");
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let apart = |v: &[f64]| -> Vec<f64> { v.iter().map(|x| x - mean(v)).collect() };
    let (a, b) = (apart(&single), apart(&quantised));
    let correlation = dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt();
    println!("correlation {correlation:.6} over {DIRECTIONS} directions");
    assert!(correlation >= 0.99, "{correlation}");
}
