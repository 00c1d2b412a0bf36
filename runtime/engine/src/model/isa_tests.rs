//! A model runs with the instructions it is told to use, all of it, and gives the same bits with any: those of the
//! arithmetic's revision.

use super::{Checkpoints, Generator, Module, Pass, PassInput, PassLayout, PassSize, Transformer};
use crate::adapter::{Adapter, AdapterSpec, Kind, Tensor};
use crate::dual::{Batch, Directions, Gradient, Probe, TensorId};
use crate::gguf::{Gguf, Synthetic};
use crate::kernels::{Ctx, DISPATCHED, Isa};
use sha2::{Digest, Sha256};
use sprig_budget::Arena;

const TOKENS: [u32; 9] = [3, 77, 150, 20, 299, 8, 41, 41, 260];

/// Revision of the arithmetic and SHA-256 of what it gives here.
const PINNED: (u32, &str) = (1, "491e9637fa770e1d39870de763c5f028cb684ebee3228f366519ee88c74624c2");

struct Waves;

impl Directions for Waves {
    fn fill(&self, tangent: usize, example: usize, tensor: TensorId, out: &mut [f32]) {
        let seed = 1 + tangent + 3 * example + 17 * tensor.0 as usize;
        out.iter_mut().enumerate().for_each(|(i, v)| *v = ((seed * 7919 + i * i * 31) as f32).sin());
    }
}

fn adapter(model: &Transformer<'_>, ctx: &Ctx) -> Adapter {
    let spec = AdapterSpec {
        kind: Kind::Xs,
        rank: 4,
        alpha: 4.0,
        targets: Module::ALL.to_vec(),
        layers: 1..3,
        kept: Vec::new(),
        routing: None,
    };
    let mut adapter = Adapter::new(&spec, model, ctx, |id, out| Waves.fill(9, 9, id, out)).unwrap();
    adapter.values_mut().iter_mut().enumerate().for_each(|(i, v)| *v = 0.1 * (i as f32).sin());
    adapter
}

/// Every number that a training pass, and a text continued over the cache, give.
fn run(model: &Transformer<'_>, isa: Isa) -> Vec<u32> {
    let ctx = Ctx::new(1).unwrap().with_isa(isa);
    let (adapter, g) = (adapter(model, &ctx), model.geometry());
    let size = PassSize {
        positions: TOKENS.len(),
        tangents: 2,
        wanted: TOKENS.len(),
        candidates: 0,
        rank: adapter.rank(),
        largest_tensor: 16,
        masked: 0,
        kept: Checkpoints::NONE,
        threads: 1,
        panel_rows: ctx.panel_rows(),
        head_tile: 64,
        routes: None,
    };
    let (layout, rope) = (PassLayout::new(g, size), model.rope(TOKENS.len()));
    let mut arena = Arena::new(layout.bytes()).unwrap();
    let probe = Probe { directions: &Waves, tangents: 2, first_example: 0 };
    let input = PassInput {
        batch: Batch::new(&TOKENS, &[0, 5, 9], g.vocabulary).unwrap().along(probe),
        adapter: Some(&adapter),
        integer: false,
    };
    let mut pass = Pass::new(model, &rope, &ctx, layout, arena.stack(), input).unwrap();
    pass.embed();
    pass.blocks(0..g.blocks).unwrap();
    let stats = pass.row_statistics(&[0, 1, 2, 3, 4, 5, 6, 7], &TOKENS[1..]).unwrap();
    let mut found: Vec<f32> = [&*stats.lse, &*stats.d_lse, &*stats.d_target, &*stats.d_rival].concat();
    for integer in [false, true] {
        let mut generator = Generator::new(model, Some(&adapter), &ctx, TOKENS.len(), integer).unwrap();
        for tokens in [&TOKENS[..5], &TOKENS[5..8], &TOKENS[8..]] {
            found.extend(generator.feed(tokens).unwrap());
        }
    }
    found.into_iter().map(f32::to_bits).collect()
}

/// The sums of a pass backwards, tensor after tensor.
struct Sums(Vec<Tensor>, Vec<f32>);

impl Gradient for Sums {
    fn of(&mut self, tensor: TensorId) -> Option<&mut [f32]> {
        let found = self.0.iter().find(|t| t.id == tensor)?;
        Some(&mut self.1[found.range.clone()])
    }
}

/// The gradient that a pass backwards gives.
fn go_back(model: &Transformer<'_>, isa: Isa) -> Vec<u32> {
    let ctx = Ctx::new(1).unwrap().with_isa(isa);
    let (adapter, g) = (adapter(model, &ctx), model.geometry());
    let size = PassSize {
        positions: TOKENS.len(),
        tangents: 0,
        wanted: TOKENS.len(),
        candidates: 3,
        rank: adapter.rank(),
        largest_tensor: 16,
        masked: 0,
        kept: Checkpoints::all(2),
        threads: 1,
        panel_rows: ctx.panel_rows(),
        head_tile: 64,
        routes: None,
    };
    let (layout, rope) = (PassLayout::new(g, size), model.rope(TOKENS.len()));
    let mut arena = Arena::new(layout.bytes()).unwrap();
    let batch = Batch::new(&TOKENS, &[0, 5, 9], g.vocabulary).unwrap().plain();
    let input = PassInput { batch, adapter: Some(&adapter), integer: false };
    let pass = Pass::new(model, &rope, &ctx, layout, arena.stack(), input).unwrap();
    let mut pass = pass.keeping(1).unwrap();
    pass.embed();
    pass.blocks(0..g.blocks).unwrap();
    let (rows, lists) = ([0, 1, 2, 3, 4, 5, 6, 7], [(8, &[5, 70, 299][..])]);
    let read = pass.read(&rows, &TOKENS[1..], lists.into_iter()).unwrap();
    read.slopes.iter_mut().enumerate().for_each(|(i, s)| *s = (i as f32).cos());
    let mut sums = Sums(adapter.tensors().cloned().collect(), vec![0.0; adapter.values().len()]);
    pass.backward(&rows, &TOKENS[1..], lists.into_iter(), None, &mut sums).unwrap();
    sums.1.into_iter().map(f32::to_bits).collect()
}

#[test]
fn a_gradient_has_the_same_bits_with_any_instructions() {
    let bytes = Synthetic::tiny().bytes().unwrap();
    let model = Transformer::load(&Gguf::parse(&bytes).unwrap()).unwrap();
    let scalar = go_back(&model, Isa::Scalar);
    assert!(scalar.iter().all(|g| f32::from_bits(*g) != 0.0));
    for isa in Isa::available() {
        DISPATCHED.take();
        assert!(go_back(&model, isa) == scalar, "{isa}");
        assert_eq!(DISPATCHED.take().into_iter().collect::<Vec<_>>(), [isa]);
    }
}

#[test]
fn all_of_a_model_runs_with_the_instructions_asked_for() {
    let bytes = Synthetic::tiny().bytes().unwrap();
    let gguf = Gguf::parse(&bytes).unwrap();
    let model = Transformer::load(&gguf).unwrap();
    let scalar = run(&model, Isa::Scalar);
    let digest = Sha256::digest(bytemuck::cast_slice::<u32, u8>(&scalar));
    assert_eq!(
        (crate::ARITHMETIC, &*format!("{digest:x}")),
        PINNED,
        "other bits: raise ARITHMETIC, and pin them"
    );
    for isa in Isa::available() {
        DISPATCHED.take();
        assert!(run(&model, isa) == scalar, "{isa}");
        assert_eq!(DISPATCHED.take().into_iter().collect::<Vec<_>>(), [isa]);
    }
}
