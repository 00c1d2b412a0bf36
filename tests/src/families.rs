//! Models of every family, of random weights: what Sprig gives after each token of a text, and how far that is from what
//! somebody else gives.

use sprig_budget::Arena;
use sprig_engine::adapter::{Adapter, AdapterMeta, AdapterSpec, Kind};
use sprig_engine::dual::Batch;
use sprig_engine::gguf::SyntheticFamily;
use sprig_engine::kernels::Ctx;
use sprig_engine::model::{Checkpoints, Module, Pass, PassInput, PassLayout, PassSize, Transformer};
use std::path::Path;

/// The families.
pub const FAMILIES: [SyntheticFamily; 5] = [
    SyntheticFamily::Llama,
    SyntheticFamily::Llama3,
    SyntheticFamily::Qwen2,
    SyntheticFamily::Qwen3,
    SyntheticFamily::Gemma3,
];
/// Tokens of the text: more than a tile of keys has.
pub const TOKENS: usize = 150;

/// The text, as ids below 300.
pub fn text() -> Vec<u32> {
    (0..TOKENS).map(|i| (i * i * 7 + i * 31) as u32 % 300).collect()
}

/// Logits after every token of the text: tokens × vocabulary.
///
/// # Panics
/// The engine refuses the model, which is our bug.
pub fn logits(model: &Transformer<'_>, ctx: &Ctx, adapter: Option<&Adapter>) -> Vec<f32> {
    let (g, ids) = (model.geometry(), text());
    let size = PassSize {
        positions: TOKENS,
        tangents: 0,
        wanted: TOKENS,
        candidates: 0,
        rank: adapter.map_or(0, Adapter::rank),
        largest_tensor: 0,
        masked: 0,
        kept: Checkpoints::NONE,
        threads: ctx.pool.threads(),
        panel_rows: ctx.panel_rows(),
        head_tile: 512,
        routes: None,
    };
    let (layout, rope, starts) = (PassLayout::new(g, size), model.rope(TOKENS), [0, TOKENS]);
    let mut arena = Arena::new(layout.bytes()).expect("random weights are a model");
    let batch = Batch::new(&ids, &starts, g.vocabulary).expect("random weights are a model").plain();
    let input = PassInput { batch, adapter, integer: false };
    let mut pass =
        Pass::new(model, &rope, ctx, layout, arena.stack(), input).expect("random weights are a model");
    pass.embed();
    pass.blocks(0..g.blocks).expect("random weights are a model");
    let mut all = vec![0.0; TOKENS * g.vocabulary];
    all.chunks_mut(g.vocabulary).enumerate().for_each(|(i, out)| pass.logits(i, out));
    all
}

/// An adapter on every linear layer that changes the answers a good deal, written to `path`.
///
/// # Panics
/// It cannot be written.
pub fn adapter(model: &Transformer<'_>, ctx: &Ctx, path: &Path) -> Adapter {
    let spec = AdapterSpec {
        kind: Kind::Lora,
        rank: 4,
        alpha: 8.0,
        targets: Module::ALL.to_vec(),
        layers: 0..model.geometry().blocks,
        kept: Vec::new(),
        routing: None,
    };
    let mut adapter = Adapter::new(&spec, model, ctx, |_, _| ()).expect("random weights are a model");
    adapter.values_mut().iter_mut().enumerate().for_each(|(i, v)| *v = 0.1 * (1.7 * i as f32).sin());
    let architecture = model.geometry().architecture().into();
    let meta = AdapterMeta { architecture, base_digest: None, asking: None, routers: None };
    adapter.write(path, &meta).expect("random weights are a model");
    adapter
}

/// Root mean square.
pub fn rms(values: &[f32]) -> f32 {
    (values.iter().map(|v| v * v).sum::<f32>() / values.len() as f32).sqrt()
}

/// Root mean square of the differences after the token where it is largest, in parts of that of all `want`.
pub fn apart(found: &[f32], want: &[f32]) -> f32 {
    let each = want.len() / TOKENS;
    let differences = difference(found, want);
    differences.chunks(each).map(rms).fold(0.0, f32::max) / rms(want)
}

/// What `a` has more than `b`.
pub fn difference(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}
