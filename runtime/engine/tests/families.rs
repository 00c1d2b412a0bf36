//! Every family of models: texts continued over the cache give what a pass over them gives, a pass's derivatives are those
//! of differences, and a pass backwards gives the gradient that has these derivatives.
#![allow(missing_docs, clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use sprig_budget::Arena;
use sprig_engine::adapter::{Adapter, AdapterSpec, Kind, Tensor};
use sprig_engine::dual::{Attention, Batch, Directions, Gradient, Probe, TensorId};
use sprig_engine::gguf::{Gguf, Meta, Synthetic, SyntheticFamily, TensorType};
use sprig_engine::kernels::Ctx;
use sprig_engine::model::{
    Checkpoints, Family, Generator, Geometry, Module, Pass, PassInput, PassLayout, PassSize, Transformer,
};

const FAMILIES: [SyntheticFamily; 5] = [
    SyntheticFamily::Llama,
    SyntheticFamily::Llama3,
    SyntheticFamily::Qwen2,
    SyntheticFamily::Qwen3,
    SyntheticFamily::Gemma3,
];
const K: usize = 8;
/// Two texts, one of more positions than a local window has.
const STARTS: [usize; 3] = [0, 7, 30];
const POSITIONS: usize = 30;

fn tokens() -> Vec<u32> {
    (0..POSITIONS).map(|i| (i * i * 7 + i * 31) as u32 % 300).collect()
}

fn file(family: SyntheticFamily) -> Vec<u8> {
    Synthetic::tiny_of(family).of_type(TensorType::F32).bytes().unwrap()
}

fn normal(seed: usize, i: usize) -> f32 {
    let mixed = ((seed as u64) << 32 | i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ mixed >> 31).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((mixed ^ mixed >> 29) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
}

/// Directions that are the same for all examples.
struct Noise;

impl Directions for Noise {
    fn fill(&self, tangent: usize, _: usize, tensor: TensorId, out: &mut [f32]) {
        let seed = 1000 * (tangent + 1) + tensor.0 as usize;
        out.iter_mut().enumerate().for_each(|(i, v)| *v = normal(seed, i));
    }
}

fn adapter(model: &Transformer<'_>, ctx: &Ctx) -> Adapter {
    let spec = AdapterSpec {
        kind: Kind::Lora,
        rank: 2,
        alpha: 4.0,
        targets: Module::ALL.to_vec(),
        layers: 0..model.geometry().blocks,
        kept: Vec::new(),
        routing: None,
    };
    let mut adapter = Adapter::new(&spec, model, ctx, |id, out| Noise.fill(90, 0, id, out)).unwrap();
    adapter.values_mut().iter_mut().enumerate().for_each(|(i, v)| *v = 0.2 * normal(7, i));
    adapter
}

fn size(ctx: &Ctx, tangents: usize, kept: Checkpoints) -> PassSize {
    PassSize {
        positions: POSITIONS,
        tangents,
        wanted: POSITIONS,
        candidates: 0,
        rank: 2,
        largest_tensor: 2 * 128,
        masked: 0,
        kept,
        threads: ctx.pool.threads(),
        panel_rows: ctx.panel_rows(),
        head_tile: 64,
        routes: None,
    }
}

/// Positions whose next token is known, and these.
fn wanted() -> (Vec<usize>, Vec<u32>) {
    let rows: Vec<usize> = (0..POSITIONS - 1).filter(|i| !STARTS.contains(&(i + 1))).collect();
    let targets = rows.iter().map(|&row| tokens()[row + 1]).collect();
    (rows, targets)
}

/// The loss of both texts, and its derivatives along K directions.
fn forward(model: &Transformer<'_>, ctx: &Ctx, adapter: &Adapter, tangents: usize) -> (f64, Vec<f64>) {
    let (g, tokens) = (model.geometry(), tokens());
    let (layout, rope) = (PassLayout::new(g, size(ctx, tangents, Checkpoints::NONE)), model.rope(POSITIONS));
    let mut arena = Arena::new(layout.bytes()).unwrap();
    let batch = Batch::new(&tokens, &STARTS, g.vocabulary).unwrap();
    let batch = match tangents {
        0 => batch.plain(),
        _ => batch.along(Probe { directions: &Noise, tangents, first_example: 0 }),
    };
    let input = PassInput { batch, adapter: Some(adapter), integer: false };
    let mut pass = Pass::new(model, &rope, ctx, layout, arena.stack(), input).unwrap();
    pass.embed();
    pass.blocks(0..g.blocks).unwrap();
    let (rows, targets) = wanted();
    let stats = pass.row_statistics(&rows, &targets).unwrap();
    let sum = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) - f64::from(*b)).sum();
    let slope = |k: usize| {
        (0..rows.len())
            .map(|r| f64::from(stats.d_lse[r * tangents + k]) - f64::from(stats.d_target[r * tangents + k]))
            .sum()
    };
    (sum(stats.lse, stats.target), (0..tangents).map(slope).collect())
}

struct Sums(Vec<Tensor>, Vec<f32>);

impl Gradient for Sums {
    fn of(&mut self, tensor: TensorId) -> Option<&mut [f32]> {
        let found = self.0.iter().find(|t| t.id == tensor)?;
        Some(&mut self.1[found.range.clone()])
    }
}

/// The gradient of the same loss.
fn backward(model: &Transformer<'_>, ctx: &Ctx, adapter: &Adapter, kept: Checkpoints) -> Vec<f32> {
    let (g, tokens) = (model.geometry(), tokens());
    let (layout, rope) = (PassLayout::new(g, size(ctx, 0, kept)), model.rope(POSITIONS));
    let mut arena = Arena::new(layout.bytes()).unwrap();
    let batch = Batch::new(&tokens, &STARTS, g.vocabulary).unwrap().plain();
    let input = PassInput { batch, adapter: Some(adapter), integer: false };
    let pass = Pass::new(model, &rope, ctx, layout, arena.stack(), input).unwrap();
    let mut pass = pass.keeping(0).unwrap();
    pass.embed();
    pass.blocks(0..g.blocks).unwrap();
    let ((rows, targets), lists) = (wanted(), std::iter::empty::<(usize, &[u32])>());
    let read = pass.read(&rows, &targets, lists.clone()).unwrap();
    // ∂loss/∂(lse, target, rival), one kind after another.
    let n = rows.len();
    read.slopes.iter_mut().enumerate().for_each(|(i, s)| *s = [1.0, -1.0, 0.0][i % 3]);
    assert_eq!(read.slopes.len(), 3 * n);
    let mut sums = Sums(adapter.tensors().cloned().collect(), vec![0.0; adapter.values().len()]);
    pass.backward(&rows, &targets, lists, None, &mut sums).unwrap();
    sums.1
}

/// Direction `k` as one vector over the adapter's numbers.
fn direction(adapter: &Adapter, k: usize) -> Vec<f32> {
    let mut v = vec![0.0; adapter.values().len()];
    for tensor in adapter.tensors() {
        Noise.fill(k, 0, tensor.id, &mut v[tensor.range.clone()]);
    }
    v
}

fn rms(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.fold((0.0, 0), |(sum, n), v| (sum + v * v, n + 1));
    (sum / f64::from(n)).sqrt()
}

/// Root mean square of the differences, in parts of that of `want`.
fn apart(found: &[f64], want: &[f64]) -> f64 {
    rms(found.iter().zip(want).map(|(f, w)| f - w)) / rms(want.iter().copied())
}

#[test]
fn derivatives_of_every_family_are_those_of_its_loss_and_its_gradient() {
    for family in FAMILIES {
        let bytes = file(family);
        let model = Transformer::load(&Gguf::parse(&bytes).unwrap()).unwrap();
        let ctx = Ctx::new(2).unwrap();
        let mut adapter = adapter(&model, &ctx);
        let (_, found) = forward(&model, &ctx, &adapter, K);
        let at = adapter.values().to_vec();
        let directions: Vec<Vec<f32>> = (0..K).map(|k| direction(&adapter, k)).collect();
        let mut moved = |v: &[f32], h: f32| {
            let to = adapter.values_mut().iter_mut().zip(&at).zip(v);
            to.for_each(|((value, at), v)| *value = at + h * v);
            forward(&model, &ctx, &adapter, 0).0
        };
        let slope = |v: &Vec<f32>| {
            let h = 2e-3;
            let mut between = |h: f32| moved(v, h) - moved(v, -h);
            (8.0 * between(h) - between(2.0 * h)) / (12.0 * f64::from(h))
        };
        let differences: Vec<f64> = directions.iter().map(slope).collect();
        let forward_error = apart(&found, &differences);
        adapter.values_mut().copy_from_slice(&at);
        let gradient = backward(&model, &ctx, &adapter, Checkpoints::all(3));
        let along = |v: &Vec<f32>| v.iter().zip(&gradient).map(|(v, g)| f64::from(*v) * f64::from(*g)).sum();
        let products: Vec<f64> = directions.iter().map(along).collect();
        let reverse_error = apart(&products, &found);
        println!("{family:?}: forward {forward_error:.1e} of differences, reverse {reverse_error:.1e} of it");
        assert!(forward_error < 1e-3, "{family:?}: {found:?} for {differences:?}");
        assert!(reverse_error < 1e-5, "{family:?}: {products:?} for {found:?}");
        // One input is kept, and the two blocks above are computed anew.
        let fewer = backward(&model, &ctx, &adapter, Checkpoints { blocks: 3, run: 3 });
        assert!(fewer == gradient, "{family:?}: checkpoints change the gradient");
        for threads in [1, 3] {
            let ctx = Ctx::new(threads).unwrap();
            assert!(backward(&model, &ctx, &adapter, Checkpoints::all(3)) == gradient, "{family:?}: threads");
        }
    }
}

#[test]
fn a_cached_text_of_every_family_gives_what_a_pass_over_it_gives() {
    for family in FAMILIES {
        let bytes = file(family);
        let model = Transformer::load(&Gguf::parse(&bytes).unwrap()).unwrap();
        let (ctx, tokens, vocabulary) = (Ctx::new(2).unwrap(), tokens(), model.geometry().vocabulary);
        let whole = |n: usize| {
            let mut generator = Generator::new(&model, None, &ctx, n, false).unwrap();
            generator.feed(&tokens[..n]).unwrap().to_vec()
        };
        for feeds in [vec![1; POSITIONS], vec![3, 1, 20, 6]] {
            let mut generator = Generator::new(&model, None, &ctx, POSITIONS, false).unwrap();
            let mut done = 0;
            for n in feeds {
                let found = generator.feed(&tokens[done..done + n]).unwrap();
                done += n;
                let want = whole(done);
                assert_eq!(found.len(), vocabulary);
                let most = want.iter().fold(0.0f32, |most, w| most.max(w.abs()));
                let worst = found.iter().zip(&want).fold(0.0f32, |worst, (f, w)| worst.max((f - w).abs()));
                // Keys and values are rounded to 11 bits.
                assert!(worst < 2e-3 * most, "{family:?}, after {done}: {worst} of {most}");
            }
        }
    }
}

/// What is left out changes the answer: the description says of each family what its files have.
#[test]
fn what_a_family_has_not_is_refused_and_what_it_lacks_is_missed() {
    let load = |family: SyntheticFamily, name: &'static str, n: usize| {
        let values = vec![1.0f32; n];
        let writer = Synthetic::tiny_of(family).writer().unwrap().tensor_f32(name, &[n as u64], &values);
        let mut bytes = Vec::new();
        writer.write_to(&mut bytes).unwrap();
        let gguf = Gguf::parse(&bytes).unwrap();
        Transformer::load(&gguf).err().unwrap().to_string()
    };
    use SyntheticFamily::{Gemma3, Llama as Plain, Qwen2, Qwen3};
    for (family, name, n) in [
        (Plain, "blk.0.attn_q.bias", 64),
        (Qwen2, "blk.1.attn_q_norm.weight", 16),
        (Qwen2, "blk.1.attn_output.bias", 64),
        (Qwen2, "rope_freqs.weight", 8),
        (Qwen3, "blk.2.attn_k.bias", 64),
        (Qwen3, "blk.2.post_ffw_norm.weight", 64),
        (Gemma3, "blk.0.attn_v.bias", 64),
    ] {
        let message = load(family, name, n);
        assert!(message.contains(&format!("`{name}` is in the file")), "{message}");
    }
    // A Llama that calls itself a Qwen has not what a Qwen has.
    let renamed = |to: &str| {
        let mut bytes = Vec::new();
        let tiny = Synthetic::tiny();
        let plain = tiny.writer().unwrap();
        plain.write_to(&mut bytes).unwrap();
        for at in 0..bytes.len() - 5 {
            if &bytes[at..at + 5] == b"llama" {
                bytes[at..at + 5].copy_from_slice(to.as_bytes());
            }
        }
        Transformer::load(&Gguf::parse(&bytes).unwrap()).err().unwrap().to_string()
    };
    assert!(renamed("qwen2").contains("attn_q.bias"), "{}", renamed("qwen2"));
    assert!(renamed("qwen3").contains("attn_q_norm.weight"), "{}", renamed("qwen3"));
    let unknown = renamed("mamba");
    assert!(unknown.contains("`mamba`") && Family::NAMES.iter().all(|n| unknown.contains(n)), "{unknown}");
}

#[test]
fn heads_may_have_a_width_of_their_own() {
    let bytes = file(SyntheticFamily::Qwen3);
    let g = Geometry::read(&Gguf::parse(&bytes).unwrap()).unwrap();
    assert_eq!((g.width, g.heads, g.head_dim, g.q_width(), g.kv_width()), (64, 4, 32, 128, 64));
    assert_eq!((g.architecture(), Module::O.shape(&g)), ("qwen3", (64, 128)));
}

/// Two blocks of three see 16 positions, the last all of them; and a file may say otherwise.
#[test]
fn windows_and_bases_are_those_of_the_metadata() {
    let bytes = file(SyntheticFamily::Gemma3);
    let g = Geometry::read(&Gguf::parse(&bytes).unwrap()).unwrap();
    assert_eq!([0, 1, 2].map(|b| g.attention(b).window), [16, 16, Attention::ALL]);
    assert_eq!((g.window.unwrap().rope_base, g.rope_base, g.rope_numbers()), (10_000.0, 1_000_000.0, 64));
    let read = |key: &str, value: Meta| {
        let mut bytes = Vec::new();
        let tiny = Synthetic::tiny_of(SyntheticFamily::Gemma3);
        tiny.writer().unwrap().metadata(format!("gemma3.{key}"), value).write_to(&mut bytes).unwrap();
        Geometry::read(&Gguf::parse(&bytes).unwrap()).map_err(|e| e.to_string())
    };
    assert_eq!(read("rope.freq_base_swa", 500.0f32.into()).unwrap().window.unwrap().rope_base, 500.0);
    for (key, value, say) in [
        ("final_logit_softcapping", 30.0f32, "soft caps are not computed with"),
        ("attn_logit_softcapping", 50.0, "soft caps are not computed with"),
        ("rope.freq_base_swa", -1.0, "a positive number"),
    ] {
        let message = read(key, value.into()).unwrap_err();
        assert!(message.contains(say) && message.contains(key), "{message}");
    }
}
