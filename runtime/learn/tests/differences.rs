//! Estimators by differences on a model: what they find is what derivatives find, whatever the cut and the threads, and the
//! adapter is where it was. On a synthetic model.
// Nobody imports a test: `pub` is between its modules.
#![allow(unreachable_pub)]
#![allow(missing_docs, clippy::unwrap_used)] // helpers of tests may unwrap as tests do

#[allow(dead_code)] // shared with the other tests
#[path = "invariants/world.rs"]
mod world;

use sprig_budget::Bytes;
use sprig_engine::adapter::{Adapter, AdapterSpec, Kind};
use sprig_engine::kernels::{Ctx, Isa};
use sprig_engine::model::Module;
use sprig_learn::data::DataSet;
use sprig_learn::directions::{Family, Sharing, run_key};
use sprig_learn::dropout::Dropout;
use sprig_learn::estimator::{
    Cut, Differences, Estimator, FwdLlm, Iteration, ScalarEstimator, Scalars, StepInput,
};
use sprig_learn::guard::Guard;
use sprig_learn::minibatch::Minibatch;
use sprig_learn::optimiser::{Decay, Rule, Schedule};
use sprig_learn::outcome::Outcome;
use sprig_learn::prefix::{Origin, PrefixCache};
use sprig_learn::spry::{Layout, Share};
use sprig_learn::trainer::{Settings, Trainer};
use world::*;

const IDS: [usize; 4] = [0, 3, 5, 6];
const WHOLE: Cut = Cut { tangents: 0, examples: IDS.len() };
const FWDLLM: FwdLlm =
    FwdLlm { family: Family::Gaussian, pairs: 3, step: 1e-2, variance_limit: None, run_key: [42, 0] };

fn differences(family: Family, pairs: usize, step: f32) -> Differences {
    Differences { family, pairs, step, run_key: run_key(42) }
}

/// What an estimate of the 7th step at `adapter`'s weights came to.
#[derive(Debug, PartialEq)]
struct Found {
    loss: f64,
    coefficients: Vec<f32>,
    gradient: Vec<f32>,
}

fn estimate(
    estimator: &dyn Estimator,
    ctx: &'static Ctx,
    data: &DataSet,
    spec: &AdapterSpec,
    cut: Cut,
    last: &[f32],
) -> Found {
    let (needs, adapter) = (estimator.needs(), adapter(spec));
    let (tensors, weights) = (tensors(&adapter), adapter.values().len());
    let mut session = session(ctx, data, spec, Cut { tangents: needs.tangents, ..cut }, None);
    let (mut scalars, mut gradient) = (Scalars::new(&needs, IDS.len(), weights), vec![0.0; weights]);
    let mut moved = adapter.clone();
    let step = StepInput {
        batch: Minibatch::new(data, &IDS),
        cut: Cut { tangents: needs.tangents, ..cut },
        tensors: &tensors,
        at: Iteration::of_step(7),
        last,
        guard: &mut Guard::default(),
        noise: None,
    };
    estimator.gradient(&mut session, &mut moved, step, &mut scalars, &mut gradient).unwrap();
    assert_eq!(bits(moved.values()), bits(adapter.values()), "the adapter was moved");
    Found { loss: scalars.loss(), coefficients: scalars.coefficients, gradient }
}

fn error(found: &[f32], exact: &[f32]) -> f64 {
    let square = |v: &mut dyn Iterator<Item = f32>| v.map(|v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    square(&mut exact.iter().zip(found).map(|(a, b)| a - b)) / square(&mut exact.iter().copied())
}

/// Differences along the same directions give the gradient and the loss that derivatives give.
#[test]
fn differences_find_what_derivatives_find() {
    for (data, family) in objectives().into_iter().flat_map(|d| FAMILIES.map(|f| (d, f))) {
        let spec = spec(Kind::Lora, 0..3);
        let of = |estimator: &dyn Estimator| estimate(estimator, ctx(2), data, &spec, WHOLE, &[]);
        let exact = of(&forward(family, Sharing::Shared, 6));
        let found = of(&differences(family, 6, 2e-4));
        let error = error(&found.gradient, &exact.gradient);
        println!("lm {}, {family:?}: {error:.1e}, losses {} and {}", data.is_lm(), exact.loss, found.loss);
        assert!(error < 2e-3, "lm {}, {family:?}: {error}", data.is_lm());
        assert!((found.loss - exact.loss).abs() < 1e-4 * exact.loss);
    }
}

/// T12 on a model: along as many orthogonal directions as there are weights, MeZO's and BAFFLE+'s estimates are the
/// gradient, but for the curvature within h and the rounding of losses over it.
#[test]
fn published_steps_find_the_gradient() {
    let mut spec = spec(Kind::Xs, 2..3);
    (spec.rank, spec.targets) = (4, vec![Module::Q, Module::V, Module::O, Module::Down]);
    for data in objectives() {
        let of = |estimator: &dyn Estimator| estimate(estimator, ctx(2), data, &spec, WHOLE, &[]);
        let exact = of(&forward(Family::Walsh, Sharing::Shared, 64));
        assert_eq!(exact.gradient.len(), 64);
        for (step, most) in [(1e-3, 2e-3), (1e-4, 2e-2)] {
            let error = error(&of(&differences(Family::Walsh, 64, step)).gradient, &exact.gradient);
            println!("lm {}, h = {step}: {error:.1e}", data.is_lm());
            assert!(error < most, "lm {}, h = {step}: {error}", data.is_lm());
        }
    }
}

/// However a batch is cut and on however many threads, all bits are the same.
#[test]
fn cuts_and_threads_change_no_bit() {
    let last: Vec<f32> =
        (0..adapter(&spec(Kind::Lora, 1..3)).values().len()).map(|i| (i as f32).sin()).collect();
    for data in objectives() {
        let spec = spec(Kind::Lora, 1..3);
        for estimator in [&differences(Family::Gaussian, 2, 1e-3) as &dyn Estimator, &FWDLLM] {
            let whole = estimate(estimator, ctx(1), data, &spec, WHOLE, &last);
            assert!(whole.gradient.iter().any(|g| *g != 0.0));
            for (examples, threads) in [(4, 3), (3, 1), (1, 2)] {
                let cut = Cut { examples, ..WHOLE };
                assert_eq!(estimate(estimator, ctx(threads), data, &spec, cut, &last), whole);
            }
        }
    }
}

/// Plain passes start from the prefix cache as those with tangents do: with none of a batch held, half of it, or all, the
/// bits are the same.
#[test]
fn the_prefix_cache_changes_no_bit() {
    let dir = tempfile::tempdir().unwrap();
    let (spec, width) = (spec(Kind::BOnly, 2..3), WORLD.model.geometry().width);
    for (data, name) in objectives().into_iter().zip(["a", "b"]) {
        let adapter = adapter(&spec);
        let (tensors, estimator) = (tensors(&adapter), differences(Family::Gaussian, 2, 1e-3));
        let estimate = |limit: Bytes, held: &[usize]| {
            let origin = Origin { model: "tiny", data: data.digest(), blocks: 2, width, isa: Isa::Scalar };
            let cache = PrefixCache::open(&dir.path().join(name), limit, &origin, data.longest());
            let mut session = session(ctx(2), data, &spec, WHOLE, Some(cache));
            let mut outcomes = vec![Outcome::default(); held.len()];
            session.judge(&adapter, Minibatch::new(data, held), &mut outcomes).unwrap();
            let mut scalars = Scalars::new(&estimator.needs(), IDS.len(), adapter.values().len());
            let step = StepInput {
                batch: Minibatch::new(data, &IDS),
                cut: WHOLE,
                tensors: &tensors,
                at: Iteration::of_step(0),
                last: &[],
                guard: &mut Guard::default(),
                noise: None,
            };
            estimator.measure(&mut session, &mut adapter.clone(), step, &mut scalars).unwrap();
            (session.prefix().unwrap().counts(), scalars.loss().to_bits(), bits(&scalars.coefficients))
        };
        let (none, half) = (estimate(Bytes::ZERO, &IDS[..1]), estimate(Bytes::mib(1), &IDS[1..3]));
        let all = estimate(Bytes::mib(1), &IDS[..1]);
        // Four passes along two directions, after the first.
        assert_eq!((none.0.hits, half.0.hits, half.0.misses), (0, 14, 4));
        assert_eq!((all.0.hits, all.0.misses), (17, 0));
        assert!((&none.1, &none.2) == (&half.1, &half.2) && (&half.1, &half.2) == (&all.1, &all.2));
    }
}

/// Only the share of a device is moved, and its place in the adapter found.
#[test]
fn a_share_is_estimated_as_within_the_whole() {
    let (spec, data) = (spec(Kind::Lora, 0..3), &WORLD.label);
    let layout = Layout::new(&spec, WORLD.model.geometry()).unwrap();
    let part = layout.part(Share { first: 1, step: 2, count: 2 });
    let mut adapter = adapter(&spec);
    let before = adapter.clone();
    let mut session = session(ctx(2), data, &spec, WHOLE, None);
    let mut coefficients = |estimator: &dyn ScalarEstimator, adapter: &mut Adapter, tangents: usize| {
        let mut scalars = Scalars::new(&estimator.needs(), IDS.len(), part.len);
        let step = StepInput {
            batch: Minibatch::new(data, &IDS),
            cut: Cut { tangents, ..WHOLE },
            tensors: &part.tensors,
            at: Iteration::of_step(0),
            last: &[],
            guard: &mut Guard::default(),
            noise: None,
        };
        estimator.measure(&mut session, adapter, step, &mut scalars).unwrap();
        scalars.coefficients
    };
    let found = coefficients(&differences(Family::Rademacher, 2, 1e-3), &mut adapter, 0);
    assert_eq!(bits(adapter.values()), bits(before.values()));
    // The same directions of the same groups by derivatives.
    let mut session = self::session(ctx(2), data, &spec, Cut { tangents: 2, ..WHOLE }, None);
    adapter.perturb(|group| group == 1 || group == 3);
    let forward = forward(Family::Rademacher, Sharing::Shared, 2);
    let mut scalars = Scalars::new(&forward.needs(), IDS.len(), part.len);
    let step = StepInput {
        batch: Minibatch::new(data, &IDS),
        cut: Cut { tangents: 2, ..WHOLE },
        tensors: &part.tensors,
        at: Iteration::of_step(0),
        last: &[],
        guard: &mut Guard::default(),
        noise: None,
    };
    forward.measure(&mut session, &mut adapter, step, &mut scalars).unwrap();
    assert!(error(&found, &scalars.coefficients) < 1e-2, "{found:?} and {:?}", scalars.coefficients);
}

fn take(trainer: &mut Trainer<'_, '_, FwdLlm>) {
    for _ in 0..3 {
        trainer.step().unwrap();
    }
}

/// FwdLLM+'s choice depends on the last update, and a run that is resumed still knows it.
#[test]
fn a_resumed_run_chooses_as_it_would_have() {
    let (spec, data) = (spec(Kind::Xs, 1..3), &WORLD.label);
    let rule = Rule::Sgd { momentum: 0.9 };
    let schedule = Schedule { peak: 0.02, warmup: 0, steps: 8, decay: Decay::Constant };
    let settings = Settings { estimator: FWDLLM, rule, schedule, batch: 4, dropout: Dropout::NONE, seed: 5 };
    let begin = || {
        let session = session(ctx(1), data, &spec, WHOLE, None);
        Trainer::new(session, fresh_adapter(&spec), data, settings, WHOLE).unwrap()
    };
    let mut straight = begin();
    take(&mut straight);
    let (values, mut state) = (straight.adapter().values().to_vec(), straight.state().clone());
    let goes_on = |state| {
        let mut resumed = begin();
        resumed.make_room();
        resumed.restore(values.clone(), state).unwrap();
        take(&mut resumed);
        bits(resumed.adapter().values())
    };
    take(&mut straight);
    assert_eq!(goes_on(state.clone()), bits(straight.adapter().values()));
    state.last.fill(0.0);
    assert_ne!(goes_on(state), bits(straight.adapter().values()), "the last update makes no difference");
}

/// A batch whose estimates scatter beyond the limit leads nowhere, and is counted.
#[test]
fn a_scattered_batch_is_dropped() {
    let (spec, data) = (spec(Kind::Xs, 1..3), &WORLD.label);
    let of = |variance_limit| {
        let found = estimate(&FwdLlm { variance_limit, ..FWDLLM }, ctx(1), data, &spec, WHOLE, &[]);
        found.coefficients.iter().filter(|c| **c != 0.0).count()
    };
    assert_eq!((of(None), of(Some(1e9)), of(Some(1e-9))), (3, 3, 0));
}

#[test]
fn work_is_counted_in_plain_passes() {
    let passes = |estimator: &dyn Estimator, tangents| {
        // A quarter of the blocks carry tangents.
        estimator.needs().passes(tangents, 0.25)
    };
    let forward = forward(Family::Walsh, Sharing::PerExample, 4);
    // With 2 of 4 tangents a pass, values are computed twice.
    assert_eq!((passes(&forward, 4), passes(&forward, 2)), (2.0, 3.0));
    assert_eq!((passes(&differences(Family::Gaussian, 1, 1e-3), 0), passes(&FWDLLM, 0)), (2.0, 6.0));
}
