//! What it costs to keep the stream at half its size below the trained blocks, on the real model: logits and derivatives
//! behind a rounding at block 22 of 30, against those of a pass that rounds nothing.
#![allow(missing_docs, clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use half::{bf16, f16};
use sprig_budget::Arena;
use sprig_engine::adapter::{Adapter, AdapterSpec, Kind};
use sprig_engine::dual::{Batch, Directions, HEAD_TILE, Probe, TensorId};
use sprig_engine::gguf::{Gguf, Mapped};
use sprig_engine::kernels::{Ctx, Isa, keep_rows, kept_len};
use sprig_engine::model::{Checkpoints, Module, Pass, PassInput, PassLayout, PassSize, Transformer};
use sprig_engine::tokenizer::{Specials, Tokenizer};

const TEXT: &str = "The committee met on Tuesday, and nobody could say why. A battery lasts two days where it is cold; \
                    the film, on the other hand, lasts for ever.\n\nOptions: film, news, product, tweet\nLabel:";
const CUT: usize = 22;
const K: usize = 4;

struct Waves;

impl Directions for Waves {
    fn fill(&self, tangent: usize, _: usize, tensor: TensorId, out: &mut [f32]) {
        let seed = 1 + tangent + 17 * tensor.0 as usize;
        out.iter_mut().enumerate().for_each(|(i, v)| *v = ((seed * 7919 + i * i % 911 + 5 * i) as f32).sin());
    }
}

/// What a pass gives: each row's log-sum-exp and target logit, and their derivatives.
struct Given {
    logits: Vec<f32>,
    slopes: Vec<f32>,
    largest: f32,
}

fn given(model: &Transformer<'_>, tokens: &[u32], round: impl Fn(&mut [f32], usize)) -> Given {
    let (g, ctx) = (model.geometry(), Ctx::new(2).unwrap());
    let (targets, layers) = (vec![Module::Q, Module::V, Module::O], CUT..g.blocks);
    let spec = AdapterSpec {
        kind: Kind::BOnly,
        rank: 4,
        alpha: 4.0,
        targets,
        layers,
        kept: Vec::new(),
        routing: None,
    };
    let mut adapter = Adapter::new(&spec, model, &ctx, |id, out| Waves.fill(9, 0, id, out)).unwrap();
    adapter.values_mut().iter_mut().enumerate().for_each(|(i, v)| *v = 0.01 * (i as f32).sin());
    let rows: Vec<usize> = (0..tokens.len() - 1).collect();
    let size = PassSize {
        positions: tokens.len(),
        tangents: K,
        wanted: rows.len(),
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
    let (layout, rope, starts) = (PassLayout::new(g, size), model.rope(tokens.len()), [0, tokens.len()]);
    let mut arena = Arena::new(layout.bytes()).unwrap();
    let probe = Probe { directions: &Waves, tangents: K, first_example: 0 };
    let batch = Batch::new(tokens, &starts, g.vocabulary).unwrap().along(probe);
    let input = PassInput { batch, adapter: Some(&adapter), integer: false };
    let mut pass = Pass::new(model, &rope, &ctx, layout, arena.stack(), input).unwrap();
    pass.embed();
    pass.blocks(0..CUT).unwrap();
    let stream = &mut pass.hidden()[..tokens.len() * g.width];
    let largest = stream.iter().fold(0.0f32, |most, v| most.max(v.abs()));
    round(stream, g.width);
    pass.blocks(CUT..g.blocks).unwrap();
    let stats = pass.row_statistics(&rows, &tokens[1..]).unwrap();
    let logits = [&*stats.lse, stats.target].concat();
    Given { logits, slopes: [&*stats.d_lse, stats.d_target].concat(), largest }
}

/// Root mean square of the differences, in parts of that of `want`.
fn apart(found: &[f32], want: &[f32]) -> f64 {
    let square = |v: &mut dyn Iterator<Item = f32>| v.map(|v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    square(&mut found.iter().zip(want).map(|(f, w)| f - w)) / square(&mut want.iter().copied())
}

#[test]
fn half_floats_with_a_scale_cost_the_real_model_least() {
    let map = Mapped::open(sprig_testkit::model::real_model()).unwrap();
    let gguf = Gguf::parse(map.bytes()).unwrap();
    let tokens = Tokenizer::from_gguf(&gguf).unwrap().encode(TEXT, Specials::Plain);
    let model = Transformer::load(&gguf).unwrap();
    let whole = given(&model, &tokens, |_, _| {});
    let scaled = |rows: &mut [f32], width: usize| {
        keep_rows(Isa::Scalar, width, rows, &mut vec![f16::ZERO; rows.len() / width * kept_len(width)]);
    };
    let halves = |rows: &mut [f32], _: usize| rows.iter_mut().for_each(|v| *v = f16::from_f32(*v).to_f32());
    let brains = |rows: &mut [f32], _: usize| rows.iter_mut().for_each(|v| *v = bf16::from_f32(*v).to_f32());
    let cost = |name: &str, found: Given| {
        let cost = [apart(&found.logits, &whole.logits), apart(&found.slopes, &whole.slopes)];
        println!(
            "{name}: logits {:.1e}, derivatives {:.1e}; stream up to {}",
            cost[0], cost[1], found.largest
        );
        cost
    };
    let scaled = cost("a scale a row", given(&model, &tokens, scaled));
    let halves = cost("f16", given(&model, &tokens, halves));
    let brains = cost("bf16", given(&model, &tokens, brains));
    for i in 0..2 {
        assert!(scaled[i] < 2e-3 && scaled[i] <= 1.1 * halves[i], "{scaled:?}, {halves:?}");
        assert!(3.0 * scaled[i] < brains[i], "{scaled:?}, {brains:?}");
    }
}
