//! The tangent is true, and so is the adjoint: the engine's directional derivatives against ⟨gradient, direction⟩, and its
//! gradient against the whole of that, with candle's autograd, on the real model. The oracle computes in f64, so what is seen
//! is the engine's own rounding.
//!
//! Errors are measured against the typical derivative, its root mean square over the directions (which is |gradient| for
//! normal directions): a direction nearly orthogonal to the gradient has a derivative near zero, where no f32
//! arithmetic keeps a relative error. Candle's own f32 gradient, measured the same way against its f64 one, has an error
//! of 1e-6 to 1e-5 over all directions, and up to 4e-4 of the derivative at a single one.
#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use sprig_budget::Arena;
use sprig_engine::adapter::{Adapter, AdapterSpec, Kind, Tensor};
use sprig_engine::dual::{Batch, Directions, Gradient, Probe, TensorId};
use sprig_engine::gguf::{Gguf, Mapped};
use sprig_engine::kernels::Ctx;
use sprig_engine::model::{Checkpoints, Module, Pass, PassInput, PassLayout, PassSize, Transformer};
use sprig_tests::{DType, Factors, MODULES, Objective, Oracle, Random, real_model};

/// "The capital of France is Paris. …", "Federated …" and noise: three examples of different lengths.
const EXAMPLES: [&[u32]; 3] = [
    &[504, 3575, 282, 4649, 314, 7042, 30, 378, 314, 253, 4183, 1463, 281, 260, 905, 30],
    &[33, 34, 35, 36, 27, 33, 39, 45],
    &[9000, 17, 40_000, 22_222, 5, 31_415, 9000, 17, 40_000, 1618, 2718],
];
const CANDIDATES: [&[u32]; 3] = [&[4183, 905, 260], &[33, 40, 37], &[22_222, 5, 7, 9]];
const PASSES: usize = 4;
const TANGENTS: usize = 5;

/// Normal numbers that depend on (tangent, tensor), and on the example too when `per_example`.
struct Normals {
    first_tangent: usize,
    per_example: bool,
}

impl Directions for Normals {
    fn fill(&self, tangent: usize, example: usize, tensor: TensorId, out: &mut [f32]) {
        let example = if self.per_example { 1 + example as u64 } else { 0 };
        let seed = ((self.first_tangent + tangent) as u64) << 40 | example << 32 | u64::from(tensor.0);
        out.copy_from_slice(&Random::new(Random::new(seed).bits()).normals(out.len(), 1.0));
    }
}

/// Every number of a new adapter, drawn so that no factor is zero.
fn trained(spec: &AdapterSpec, model: &Transformer<'_>, ctx: &Ctx) -> Adapter {
    let normal = |id: TensorId, out: &mut [f32]| {
        out.copy_from_slice(&Random::new(u64::from(id.0)).normals(out.len(), 1.0));
    };
    let mut adapter = Adapter::new(spec, model, ctx, normal).unwrap();
    let values = Random::new(99).normals(adapter.values().len(), 0.04);
    adapter.values_mut().copy_from_slice(&values);
    adapter
}

/// The same adapter for the oracle.
fn mirrored(spec: &AdapterSpec, adapter: &Adapter) -> sprig_tests::Adapter {
    let rank = spec.rank;
    let mut identity = adapter.clone();
    if spec.kind == Kind::Xs {
        // With R = I, A = R·Q shows Q itself.
        let square = rank * rank;
        identity.values_mut().iter_mut().enumerate().for_each(|(i, v)| {
            *v = if i % square / rank == i % square % rank { 1.0 } else { 0.0 };
        });
    }
    let cores = adapter.values().chunks(rank * rank);
    let factors = identity.to_pairs().into_iter().zip(cores).map(|(pair, core)| {
        let factors = match spec.kind {
            Kind::Xs => Factors::Xs { p: pair.b, r: core.to_vec(), q: pair.a },
            _ => Factors::Lora { a: pair.a, b: pair.b },
        };
        ((pair.block, MODULES[pair.module as usize]), factors)
    });
    sprig_tests::Adapter { rank, scale: spec.alpha / rank as f32, factors: factors.collect() }
}

/// The engine's direction in the oracle's shapes; zero where nothing trains.
fn direction(
    like: &sprig_tests::Adapter,
    adapter: &Adapter,
    directions: &Normals,
    tangent: usize,
    example: usize,
) -> sprig_tests::Adapter {
    let mut direction = like.empty();
    for (key, factors) in &mut direction.factors {
        let module = MODULES.iter().position(|name| *name == key.1).unwrap();
        for (slot, tensor) in factors.trainable_mut().into_iter().enumerate() {
            let id = TensorId(((key.0 * 7 + module) * 2 + slot) as u32);
            if adapter.tensors().any(|trained| trained.id == id) {
                directions.fill(tangent, example, id, tensor);
            }
        }
    }
    direction
}

/// Loss and derivatives of −log softmax at `target` among the logits of one row: (value, tangents…) a logit.
fn cross_entropy(logits: &[f32], target: usize) -> Vec<f64> {
    let group = 1 + TANGENTS;
    let row = |i: usize, k: usize| f64::from(logits[i * group + k]);
    let n = logits.len() / group;
    let z: f64 = (0..n).map(|i| row(i, 0).exp()).sum();
    let loss = z.ln() - row(target, 0);
    let slope = |k: usize| (0..n).map(|i| row(i, 0).exp() / z * row(i, k)).sum::<f64>() - row(target, k);
    std::iter::once(loss).chain((1..group).map(slope)).collect()
}

/// The rows of the examples that have a successor, and what that is.
fn wanted(starts: &[usize], tokens: &[u32]) -> (Vec<usize>, Vec<u32>) {
    let wanted: Vec<usize> = (0..tokens.len()).filter(|i| !starts.contains(&(i + 1))).collect();
    let targets = wanted.iter().map(|i| tokens[i + 1]).collect();
    (wanted, targets)
}

/// The pass over all examples, at its end, with `tangents` tangents along `directions` or about to go backwards.
fn pass<T>(
    model: &Transformer<'_>,
    ctx: &Ctx,
    adapter: &Adapter,
    directions: Option<&Normals>,
    read: impl FnOnce(Pass<'_>, &[usize], &[u32]) -> T,
) -> T {
    let tokens = EXAMPLES.concat();
    let starts: Vec<usize> =
        (0..=EXAMPLES.len()).map(|e| EXAMPLES[..e].iter().map(|x| x.len()).sum()).collect();
    let geometry = model.geometry();
    let size = PassSize {
        positions: tokens.len(),
        tangents: if directions.is_some() { TANGENTS } else { 0 },
        wanted: tokens.len(),
        candidates: CANDIDATES.concat().len(),
        rank: adapter.rank(),
        largest_tensor: adapter.tensors().map(|t| t.range.len()).max().unwrap(),
        masked: 0,
        kept: Checkpoints::all(if directions.is_some() { 0 } else { geometry.blocks }),
        threads: ctx.pool.threads(),
        panel_rows: ctx.panel_rows(),
        head_tile: 512,
        routes: None,
    };
    let layout = PassLayout::new(geometry, size);
    let mut arena = Arena::new(layout.bytes()).unwrap();
    let rope = model.rope(tokens.len());
    let batch = Batch::new(&tokens, &starts, geometry.vocabulary).unwrap();
    let batch = match directions {
        Some(directions) => batch.along(Probe { directions, tangents: TANGENTS, first_example: 0 }),
        None => batch.plain(),
    };
    let input = PassInput { batch, adapter: Some(adapter), integer: false };
    let mut pass = Pass::new(model, &rope, ctx, layout, arena.stack(), input).unwrap();
    if directions.is_none() {
        pass = pass.keeping(adapter.lowest_block()).unwrap();
    }
    pass.embed();
    pass.blocks(0..geometry.blocks).unwrap();
    read(pass, &starts, &tokens)
}

/// Mean over the examples of each example's mean loss, and its derivatives, by the engine.
fn engine(mut pass: Pass<'_>, starts: &[usize], tokens: &[u32], language: bool) -> Vec<f64> {
    let mut sum = vec![0.0; 1 + TANGENTS];
    let mut add = |numbers: &[f64], weight: f64| {
        sum.iter_mut().zip(numbers).for_each(|(s, n)| *s += n * weight / EXAMPLES.len() as f64);
    };
    if language {
        let (wanted, targets) = wanted(starts, tokens);
        let stats = pass.row_statistics(&wanted, &targets).unwrap();
        for (row, position) in wanted.iter().enumerate() {
            let example = starts.partition_point(|start| start <= position) - 1;
            let mut numbers = vec![f64::from(stats.lse[row]) - f64::from(stats.target[row])];
            numbers.extend((0..TANGENTS).map(|k| {
                f64::from(stats.d_lse[row * TANGENTS + k]) - f64::from(stats.d_target[row * TANGENTS + k])
            }));
            add(&numbers, 1.0 / (EXAMPLES[example].len() - 1) as f64);
        }
    } else {
        let wanted: Vec<usize> = starts[1..].iter().map(|end| end - 1).collect();
        let lists = wanted.into_iter().zip(CANDIDATES);
        let mut logits = pass.read(&[], &[], lists).unwrap().logits;
        for candidates in CANDIDATES {
            let (row, rest) = logits.split_at(candidates.len() * (1 + TANGENTS));
            add(&cross_entropy(row, 1), 1.0);
            logits = rest;
        }
    }
    sum
}

/// The sums of each tensor, by its place in the adapter.
struct Sums(Vec<Tensor>, Vec<f32>);

impl Gradient for Sums {
    fn of(&mut self, tensor: TensorId) -> Option<&mut [f32]> {
        let found = self.0.iter().find(|t| t.id == tensor)?;
        Some(&mut self.1[found.range.clone()])
    }
}

/// The gradient of the same mean, by the engine, going backwards.
fn backwards(
    mut pass: Pass<'_>,
    (starts, tokens): (&[usize], &[u32]),
    adapter: &Adapter,
    language: bool,
) -> Vec<f32> {
    let n = EXAMPLES.len() as f32;
    let mut sums = Sums(adapter.tensors().cloned().collect(), vec![0.0; adapter.values().len()]);
    if language {
        let (wanted, targets) = wanted(starts, tokens);
        let read = pass.read(&wanted, &targets, std::iter::empty()).unwrap();
        for (position, slopes) in wanted.iter().zip(read.slopes.chunks_exact_mut(3)) {
            let example = starts.partition_point(|start| start <= position) - 1;
            let weight = 1.0 / n / (EXAMPLES[example].len() - 1) as f32;
            slopes.copy_from_slice(&[weight, -weight, 0.0]);
        }
        pass.backward(&wanted, &targets, std::iter::empty(), None, &mut sums).unwrap();
    } else {
        let lists = || starts[1..].iter().map(|end| end - 1).zip(CANDIDATES);
        let read = pass.read(&[], &[], lists()).unwrap();
        let mut at = 0;
        for candidates in CANDIDATES {
            let range = at..at + candidates.len();
            at = range.end;
            let z: f32 = read.logits[range.clone()].iter().map(|l| l.exp()).sum();
            for (i, place) in range.enumerate() {
                let right = if i == 1 { 1.0 } else { 0.0 };
                read.slopes[place] = (read.logits[place].exp() / z - right) / n;
            }
        }
        pass.backward(&[], &[], lists(), None, &mut sums).unwrap();
    }
    sums.1
}

/// What of the oracle's gradient the adapter trains, in the adapter's order.
fn trained_part(gradient: &sprig_tests::Adapter, adapter: &Adapter) -> Vec<f64> {
    let of = |tensor: &Tensor| {
        let (site, slot) = (tensor.id.0 as usize / 2, tensor.id.0 as usize % 2);
        let factors = &gradient.factors[&(site / 7, MODULES[site % 7])];
        factors.trainable()[slot].iter().map(|g| f64::from(*g)).collect::<Vec<_>>()
    };
    adapter.tensors().flat_map(of).collect()
}

/// Holds the engine's gradient to 1e-4 of the oracle's.
fn check_gradient(what: &str, found: &[f32], gradients: &[(f64, sprig_tests::Adapter)], adapter: &Adapter) {
    let mut expected = vec![0.0; found.len()];
    for (_, gradient) in gradients {
        let part = trained_part(gradient, adapter);
        assert_eq!(part.len(), expected.len());
        expected.iter_mut().zip(part).for_each(|(sum, g)| *sum += g / gradients.len() as f64);
    }
    let square = |numbers: &mut dyn Iterator<Item = f64>| numbers.map(|x| x * x).sum::<f64>();
    let error = square(&mut found.iter().zip(&expected).map(|(f, e)| f64::from(*f) - e));
    let error = (error / square(&mut expected.iter().copied())).sqrt();
    println!("{what}: error of the whole gradient {error:.1e}");
    assert!(error < 1e-4, "{what}: error {error:e} of the whole gradient");
}

fn spec(kind: Kind, rank: usize, targets: &[Module], layers: std::ops::Range<usize>) -> AdapterSpec {
    AdapterSpec {
        kind,
        rank,
        alpha: 16.0,
        targets: targets.to_vec(),
        layers,
        kept: Vec::new(),
        routing: None,
    }
}

fn check(spec: AdapterSpec, per_example: bool) {
    let oracle = Oracle::load(&real_model(), DType::F64).unwrap();
    let map = Mapped::open(real_model()).unwrap();
    let gguf = Gguf::parse(map.bytes()).unwrap();
    let (model, ctx) = (Transformer::load(&gguf).unwrap(), Ctx::new(2).unwrap());
    let adapter = trained(&spec, &model, &ctx);
    let mirror = mirrored(&spec, &adapter);
    for language in [true, false] {
        let gradients: Vec<(f64, sprig_tests::Adapter)> = EXAMPLES
            .iter()
            .zip(CANDIDATES)
            .map(|(tokens, candidates)| {
                let targets = vec![true; tokens.len()];
                let label = Objective::Label { position: tokens.len() - 1, candidates, label: 1 };
                let objective = if language { Objective::Language { targets: &targets } } else { label };
                oracle.gradient(tokens, &mirror, objective).unwrap()
            })
            .collect();
        let n = EXAMPLES.len() as f64;
        let expected_loss: f64 = gradients.iter().map(|(loss, _)| loss / n).sum();
        let mut pairs = Vec::with_capacity(PASSES * TANGENTS);
        for number in 0..PASSES {
            let directions = Normals { first_tangent: number * TANGENTS, per_example };
            let read =
                |pass: Pass<'_>, starts: &[usize], tokens: &[u32]| engine(pass, starts, tokens, language);
            let found = pass(&model, &ctx, &adapter, Some(&directions), read);
            assert!((found[0] - expected_loss).abs() < 1e-4, "loss {} is not {expected_loss}", found[0]);
            for (k, found) in found[1..].iter().enumerate() {
                let slope = |(e, (_, gradient)): (usize, &(f64, sprig_tests::Adapter))| {
                    gradient.dot(&direction(&mirror, &adapter, &directions, k, e)) / n
                };
                pairs.push((*found, gradients.iter().enumerate().map(slope).sum::<f64>()));
            }
        }
        let rms = |value: fn(&(f64, f64)) -> f64| {
            (pairs.iter().map(|pair| value(pair).powi(2)).sum::<f64>() / pairs.len() as f64).sqrt()
        };
        let worst = |scale: &dyn Fn(f64) -> f64| {
            pairs
                .iter()
                .map(|(found, expected)| (found - expected).abs() / scale(*expected))
                .fold(0.0, f64::max)
        };
        let typical = rms(|(_, expected)| *expected);
        let overall = rms(|(found, expected)| found - expected) / typical;
        let (largest, relative) = (worst(&|_| typical), worst(&f64::abs));
        let what =
            format!("{} {:?} {:?}", if language { "language" } else { "label" }, spec.kind, spec.targets);
        let read = |pass: Pass<'_>, starts: &[usize], tokens: &[u32]| {
            backwards(pass, (starts, tokens), &adapter, language)
        };
        check_gradient(&what, &pass(&model, &ctx, &adapter, None, read), &gradients, &adapter);
        println!(
            "{what}: error over all {overall:.1e}, largest {largest:.1e}, relative to its own {relative:.1e}"
        );
        assert!(overall < 3e-5, "{what}: error {overall:e} over all directions");
        assert!(largest < 1e-4, "{what}: error {largest:e} at one direction");
    }
}

// One test a case: nextest runs them apart, and each stays far from its time limit.

#[test]
fn lora_on_q_and_v() {
    check(spec(Kind::Lora, 8, &[Module::Q, Module::V], 0..30), false);
}

#[test]
fn lora_on_q_and_v_of_the_top_blocks_per_example() {
    check(spec(Kind::Lora, 8, &[Module::Q, Module::V], 26..30), true);
}

#[test]
fn lora_on_all_linears() {
    check(spec(Kind::Lora, 4, &Module::ALL, 0..30), false);
}

#[test]
fn b_only_on_o_and_down_per_example() {
    check(spec(Kind::BOnly, 4, &[Module::O, Module::Down], 10..20), true);
}

#[test]
fn lora_xs_per_example() {
    check(spec(Kind::Xs, 4, &[Module::Q, Module::V], 22..30), true);
}
