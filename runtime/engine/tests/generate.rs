//! Texts continued over the cache give what a pass over the whole text gives; positions are scaled as the file says; and
//! a file with more than is computed is refused.
#![allow(missing_docs, clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use sprig_budget::Arena;
use sprig_engine::dual::Batch;
use sprig_engine::gguf::{Gguf, Synthetic, TensorType, Writer};
use sprig_engine::kernels::Ctx;
use sprig_engine::model::{
    Checkpoints, Generator, Geometry, Pass, PassInput, PassLayout, PassSize, Transformer,
};

const VOCABULARY: usize = 300;
/// Difference of logits, in parts of the largest: keys and values are rounded to 11 bits.
const LIMIT: f32 = 2e-3;

/// A text of `n` tokens in which no two neighbours are alike.
fn text(n: usize) -> Vec<u32> {
    (0..n).map(|i| (i * i * 7 + i * 31) as u32 % VOCABULARY as u32).collect()
}

/// F32 weights: nothing but the keys and values in f16 tells the two ways apart.
fn synthetic(heads: usize, kv_heads: usize) -> Synthetic {
    Synthetic { heads, kv_heads, context: 2048, ..Synthetic::tiny().of_type(TensorType::F32) }
}

fn file(writer: Writer<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    writer.write_to(&mut bytes).unwrap();
    bytes
}

/// Logits after each of `places` by one pass over the whole text, nothing cached.
fn at_once(model: &Transformer<'_>, ctx: &Ctx, tokens: &[u32], places: &[usize]) -> Vec<Vec<f32>> {
    let g = model.geometry();
    let size = PassSize {
        positions: tokens.len(),
        tangents: 0,
        wanted: 0,
        candidates: 0,
        rank: 0,
        largest_tensor: 0,
        masked: 0,
        kept: Checkpoints::NONE,
        threads: ctx.pool.threads(),
        panel_rows: ctx.panel_rows(),
        head_tile: 0,
        routes: None,
    };
    let (layout, rope, starts) = (PassLayout::new(g, size), model.rope(tokens.len()), [0, tokens.len()]);
    let mut arena = Arena::new(layout.bytes()).unwrap();
    let batch = Batch::new(tokens, &starts, g.vocabulary).unwrap().plain();
    let input = PassInput { batch, adapter: None, integer: false };
    let mut pass = Pass::new(model, &rope, ctx, layout, arena.stack(), input).unwrap();
    pass.embed();
    pass.blocks(0..g.blocks).unwrap();
    let logits = |&place: &usize| {
        let mut out = vec![0.0; g.vocabulary];
        pass.logits(place, &mut out);
        out
    };
    places.iter().map(logits).collect()
}

/// Largest difference, in parts of the largest magnitude of `want`.
fn apart(found: &[f32], want: &[f32]) -> f32 {
    let most = want.iter().fold(0.0f32, |most, w| most.max(w.abs()));
    found.iter().zip(want).fold(0.0f32, |worst, (f, w)| worst.max((f - w).abs())) / most
}

#[test]
fn a_cached_text_gives_what_a_pass_over_it_gives() {
    for (heads, kv_heads) in [(4, 4), (4, 2), (4, 1)] {
        let bytes = synthetic(heads, kv_heads).bytes().unwrap();
        let gguf = Gguf::parse(&bytes).unwrap();
        let model = Transformer::load(&gguf).unwrap();
        // Single rows from the second token on; then more rows at a time than one tile of keys, over the prefill's chunk.
        for (n, feeds) in [(40, vec![1; 40]), (700, vec![3, 1, 590, 1, 64, 41])] {
            let (tokens, ctx) = (text(n), Ctx::new(2).unwrap());
            let ends: Vec<usize> = (1..=feeds.len()).map(|i| feeds[..i].iter().sum::<usize>() - 1).collect();
            let want = at_once(&model, &ctx, &tokens, &ends);
            let mut generator = Generator::new(&model, None, &ctx, n, false).unwrap();
            for ((end, n), want) in ends.iter().zip(feeds).zip(want) {
                let found = generator.feed(&tokens[end + 1 - n..=*end]).unwrap();
                let apart = apart(found, &want);
                assert!(apart < LIMIT, "{heads}:{kv_heads}, after {end}: {apart}");
            }
        }
    }
}

#[test]
fn long_prompts_give_the_same_bits_however_they_are_fed() {
    let bytes = synthetic(4, 2).bytes().unwrap();
    let gguf = Gguf::parse(&bytes).unwrap();
    let (model, tokens) = (Transformer::load(&gguf).unwrap(), text(1100));
    let fed = |parts: &[usize], threads: usize| {
        let ctx = Ctx::new(threads).unwrap();
        let mut generator = Generator::new(&model, None, &ctx, tokens.len(), false).unwrap();
        let mut at = 0;
        for n in parts {
            generator.feed(&tokens[at..at + n]).unwrap();
            at += n;
        }
        generator.feed(&tokens[at..]).unwrap().iter().map(|l| l.to_bits()).collect::<Vec<_>>()
    };
    let whole = fed(&[], 1);
    assert!(whole == fed(&[512, 512], 3), "the prompt's own chunks");
    assert!(whole == fed(&[], 2));
}

#[test]
fn positions_are_scaled_as_the_file_says() {
    let model = synthetic(4, 2);
    let half = model.width / model.heads / 2;
    let logits = |writer: Writer<'_>| {
        let bytes = file(writer);
        let model = Gguf::parse(&bytes).unwrap();
        let (model, ctx) = (Transformer::load(&model).unwrap(), Ctx::new(1).unwrap());
        let all = at_once(&model, &ctx, &text(20), &[19]);
        all[0].iter().map(|l| l.to_bits()).collect::<Vec<_>>()
    };
    let plain = || model.writer().unwrap();
    let (fours, ones) = (vec![4.0f32; half], vec![1.0f32; half]);
    let factors = |values: &[f32]| logits(plain().tensor_f32("rope_freqs.weight", &[half as u64], values));
    let unscaled = logits(plain());
    let linear = logits(
        plain().metadata("llama.rope.scaling.type", "linear").metadata("llama.rope.scaling.factor", 4.0f32),
    );
    assert!(linear != unscaled);
    assert!(factors(&fours) == linear, "Llama 3's factors, all alike, are a linear scale");
    assert!(factors(&ones) == unscaled);
    let mut rising = ones;
    rising[half - 1] = 8.0;
    assert!(factors(&rising) != unscaled && factors(&rising) != linear, "each pair has its own");
    assert!(logits(plain().metadata("llama.rope.scale_linear", 4.0f32)) == linear, "the key before");
    assert!(logits(plain().metadata("llama.rope.scaling.factor", 4.0f32)) == linear, "linear is understood");
    let none =
        plain().metadata("llama.rope.scaling.type", "none").metadata("llama.rope.scaling.factor", 4.0f32);
    assert!(logits(none) == unscaled);
}

#[test]
fn a_tensor_that_would_be_left_out_is_refused_by_name() {
    let refused = |names: &[&str]| {
        let values = [0.0f32; 16];
        let writer = names
            .iter()
            .fold(synthetic(4, 2).writer().unwrap(), |writer, name| writer.tensor_f32(*name, &[16], &values));
        let bytes = file(writer);
        let gguf = Gguf::parse(&bytes).unwrap();
        Geometry::read(&gguf).unwrap();
        Transformer::load(&gguf).err().unwrap().to_string()
    };
    for name in [
        "blk.0.attn_q.bias",
        "blk.3.attn_k_norm.weight",
        "blk.99.attn_q.weight",
        "blk.01.attn_q.weight",
        "output.bias",
    ] {
        let message = refused(&[name]);
        assert!(message.contains(&format!("`{name}` is in the file")), "{message}");
    }
    let message = refused(&["blk.0.attn_q.bias", "blk.0.attn_k.bias", "blk.0.attn_v.bias"]);
    assert!(message.contains("`blk.0.attn_q.bias` (and 2 more)"), "{message}");
}
