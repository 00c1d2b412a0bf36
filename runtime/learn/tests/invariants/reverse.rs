//! The gradient of a pass backwards: it is the loss's, and nothing that may change while training changes a bit of it.

use super::settings;
use super::world::*;
use sprig_budget::{Bytes, Kind as Memory, Machine};
use sprig_engine::adapter::{Adapter, AdapterSpec, Kind};
use sprig_engine::dual::Probe;
use sprig_engine::gguf::{Gguf, Mapped, Synthetic};
use sprig_engine::kernels::{Ctx, Isa};
use sprig_engine::model::{Module, PassLayout, Stream, Transformer};
use sprig_learn::checkpoint::{self, Fingerprint};
use sprig_learn::data::DataSet;
use sprig_learn::directions::{Family, Sharing};
use sprig_learn::estimator::{
    AnyEstimator, Cut, Estimator, Iteration, Reverse, ScalarEstimator, Scalars, StepInput,
};
use sprig_learn::guard::Guard;
use sprig_learn::minibatch::Minibatch;
use sprig_learn::outcome::Outcome;
use sprig_learn::planner::{Fitted, plan};
use sprig_learn::prefix::{Origin, PrefixCache};
use sprig_learn::session::Session;
use sprig_learn::trainer::{Settings, State, Trainer};
use sprig_learn::workload::{Tuning, Workload};

/// Steps of a run.
const STEPS: usize = 10;

fn work(data: &DataSet, spec: &AdapterSpec, examples: usize, threads: usize) -> Workload {
    Workload { needs: Reverse.needs(), ..workload(data, spec, examples, 1, threads) }
}

fn layout_of(ctx: &Ctx, data: &DataSet, spec: &AdapterSpec, tuning: &Tuning) -> PassLayout {
    let work = work(data, spec, tuning.cut.examples, ctx.pool.threads());
    PassLayout::new(WORLD.model.geometry(), tuning.pass(WORLD.model.geometry(), &work))
}

fn tuning(ctx: &Ctx, examples: usize) -> Tuning {
    let cut = Cut { tangents: 0, examples };
    Tuning { cut, panel_rows: ctx.panel_rows(), streamed: false, run: 1 }
}

fn session_of(
    ctx: &'static Ctx,
    data: &DataSet,
    spec: &AdapterSpec,
    examples: usize,
    prefix: Option<PrefixCache>,
) -> Session<'static> {
    let layout = layout_of(ctx, data, spec, &tuning(ctx, examples));
    Session::new(&WORLD.model, ctx, room(data, layout, examples), objective(data), prefix).unwrap()
}

/// Gradient and outcomes of the examples `ids`, cut into passes as `session` can run them.
fn gradient(
    session: &mut Session<'_>,
    adapter: &mut Adapter,
    data: &DataSet,
    ids: &[usize],
    examples: usize,
) -> (Vec<f32>, Vec<Outcome>) {
    let tensors = tensors(adapter);
    let mut scalars = Scalars::new(&Reverse.needs(), ids.len(), adapter.values().len());
    let mut found = vec![f32::NAN; adapter.values().len()];
    let mut guard = Guard::default();
    let step = StepInput {
        batch: Minibatch::new(data, ids),
        cut: Cut { tangents: 0, examples },
        tensors: &tensors,
        at: Iteration::of_step(0),
        last: &[],
        guard: &mut guard,
        noise: None,
    };
    Reverse.gradient(session, adapter, step, &mut scalars, &mut found).unwrap();
    assert_eq!((guard.seen, guard.skipped, guard.clipped), (1, 0, 0));
    (found, scalars.outcomes)
}

/// Every layer alone, and all: what trains decides how far down a pass goes back.
fn choices() -> Vec<Vec<Module>> {
    Module::ALL.into_iter().map(|module| vec![module]).chain([Module::ALL.to_vec()]).collect()
}

/// ⟨gradient, v⟩ is what a forward pass finds along v, for 20 directions; losses and hits are those of that pass.
#[test]
fn the_gradient_is_that_of_all_derivatives() {
    const K: usize = 20;
    let ids = [0, 3, 5, 6];
    for (data, kind) in objectives().into_iter().flat_map(|data| KINDS.map(|kind| (data, kind))) {
        for (targets, first) in choices().into_iter().zip([0, 1].into_iter().cycle()) {
            let spec = AdapterSpec { targets, ..spec(kind, first..3) };
            let mut adapter = adapter(&spec);
            let all_tensors = tensors(&adapter);
            let forward = forward(Family::Gaussian, Sharing::Shared, K);
            let all = forward.directions(&all_tensors, Iteration::of_step(3));
            let (mut outcomes, mut slopes) = ([Outcome::default(); 4], [0.0f32; 4 * K]);
            let probe = Probe { directions: &all, tangents: K, first_example: 0 };
            let mut dual = session(ctx(2), data, &spec, Cut { tangents: K, examples: 4 }, None);
            let batch = Minibatch::new(data, &ids);
            dual.run(Some(&adapter), Some(probe), batch, &mut outcomes, &mut slopes).unwrap();
            let mut session = session_of(ctx(2), data, &spec, 4, None);
            let (g, found) = gradient(&mut session, &mut adapter, data, &ids, 4);
            assert_eq!(found, outcomes);
            let rows: f64 = outcomes.iter().map(|o| f64::from(o.rows)).sum();
            let (mut error, mut size) = (0.0, 0.0);
            for k in 0..K {
                let weigh = |e: usize| f64::from(slopes[e * K + k]) * f64::from(outcomes[e].rows) / rows;
                let expected: f64 = (0..4).map(weigh).sum();
                let mut v = vec![0.0f32; g.len()];
                for tensor in &all_tensors {
                    all.accumulate(k, 0, tensor, 1.0, &mut v[tensor.range.clone()]);
                }
                let along: f64 = g.iter().zip(&v).map(|(g, v)| f64::from(*g) * f64::from(*v)).sum();
                error += (along - expected).powi(2);
                size += expected.powi(2);
            }
            let error = (error / size).sqrt();
            let lm = data.is_lm();
            println!("lm {lm}, {kind:?}, {:?} from block {first}: {error:.1e}", spec.targets);
            assert!(size > 0.0 && error < 1e-5, "lm {lm}, {kind:?}, {:?}, {first}: {error:e}", spec.targets);
        }
    }
}

/// Of part of an adapter the gradient is that part of the whole one, and nothing below its lowest layer is gone through.
#[test]
fn layers_that_are_not_chosen_have_no_gradient() {
    for data in objectives() {
        let spec = spec(Kind::Lora, 0..3);
        let mut adapter = adapter(&spec);
        let mut session = session_of(ctx(2), data, &spec, 4, None);
        let (whole, _) = gradient(&mut session, &mut adapter, data, &[0, 1, 2, 7], 4);
        let (places, all): (Vec<_>, Vec<_>) = (adapter.places().collect(), tensors(&adapter));
        for chosen in [2..3, 9..15, 20..21] {
            adapter.perturb(|site| chosen.contains(&site));
            let (part, _) = gradient(&mut session, &mut adapter, data, &[0, 1, 2, 7], 4);
            let name = |(block, module): (usize, Module)| (block * 7 + module as usize) * 2;
            for tensor in &all {
                let trains = places[chosen.clone()].iter().any(|p| name(*p) == tensor.id.0 as usize & !1);
                let (part, whole) = (&part[tensor.range.clone()], &whole[tensor.range.clone()]);
                assert!(
                    if trains { part == whole } else { part.iter().all(|g| *g == 0.0) },
                    "{:?}",
                    tensor.id
                );
                assert!(whole.iter().any(|g| *g != 0.0), "{:?}", tensor.id);
            }
        }
    }
}

#[test]
fn cuts_threads_and_panels_change_no_bit_of_the_gradient() {
    let ids = [4, 1, 0, 7, 3, 2, 6];
    for (data, kind) in objectives().into_iter().flat_map(|data| KINDS.map(|kind| (data, kind))) {
        let spec = spec(kind, 0..3);
        let mut adapter = adapter(&spec);
        let mut find = |ctx: Ctx, examples: usize| {
            let ctx = Box::leak(Box::new(ctx));
            let mut session = session_of(ctx, data, &spec, examples, None);
            gradient(&mut session, &mut adapter, data, &ids, examples)
        };
        let whole = find(Ctx::new(1).unwrap(), 7);
        for (examples, threads, panel_rows) in
            [(1, 1, 64), (2, 1, 64), (5, 2, 64), (7, 2, 16), (3, 3, 32), (7, 16, 64)]
        {
            let ctx = Ctx::new(threads).unwrap().with_panel_rows(panel_rows).unwrap();
            let found = find(ctx, examples);
            assert_eq!(found.1, whole.1);
            let same = bits(&found.0) == bits(&whole.0);
            assert!(
                same,
                "{kind:?}: {examples} examples, {threads} threads, panels of {panel_rows}: other bits"
            );
        }
    }
}

fn trainer(
    ctx: &'static Ctx,
    data: &'static DataSet,
    spec: &AdapterSpec,
    examples: usize,
    prefix: Option<PrefixCache>,
) -> Trainer<'static, 'static> {
    let session = session_of(ctx, data, spec, examples, prefix);
    let cut = Cut { tangents: 0, examples };
    Trainer::new(session, fresh_adapter(spec), data, reverse_settings(), cut).unwrap()
}

fn reverse_settings() -> Settings {
    Settings { estimator: AnyEstimator::Reverse(Reverse), ..settings(ADAMW) }
}

fn end(mut trainer: Trainer<'_, '_>, steps: usize) -> (Vec<u32>, State) {
    for _ in 0..steps {
        trainer.step().unwrap();
    }
    (bits(trainer.adapter().values()), trainer.state().clone())
}

#[test]
fn residency_retuning_and_resuming_change_no_bit_of_a_reverse_run() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tiny.gguf");
    Synthetic::tiny().write_atomic(&path).unwrap();
    let map: &'static Mapped = Box::leak(Box::new(Mapped::open(&path).unwrap()));
    let gguf = Gguf::parse(map.bytes()).unwrap();
    let streamed =
        Transformer::load_streamed(&gguf, Stream::new(map, &gguf, WORLD.model.geometry()).unwrap()).unwrap();
    let streamed: &'static Transformer<'static> = Box::leak(Box::new(streamed));
    let (checkpoint, fingerprint) = (dir.path().join("run.ckpt"), Fingerprint::new());
    for data in objectives() {
        let (spec, ctx) = (spec(Kind::Lora, 0..3), ctx(2));
        let straight = end(trainer(ctx, data, &spec, 4, None), STEPS);
        assert_ne!(straight.0, bits(fresh_adapter(&spec).values()), "nothing was learnt");
        let widest = Tuning { streamed: true, ..tuning(ctx, 4) };
        let room = room(data, layout_of(ctx, data, &spec, &widest), 4);
        let session = Session::new(streamed, ctx, room, objective(data), None).unwrap();
        let mut moving =
            Trainer::new(session, fresh_adapter(&spec), data, reverse_settings(), widest.cut).unwrap();
        for step in 0..STEPS {
            let examples = [4, 1, 2][step % 3];
            let (panel_rows, run) = ([64, 16][step % 2], [2, 1, 3][step % 3]);
            let tuning = Tuning { streamed: step % 4 != 3, panel_rows, run, ..tuning(ctx, examples) };
            moving.retune(&tuning, layout_of(ctx, data, &spec, &tuning)).unwrap();
            moving.step().unwrap();
        }
        assert!(end(moving, 0) == straight, "moving up and down the ladder: another result");
        let mut first = trainer(ctx, data, &spec, 2, None);
        for _ in 0..STEPS / 2 {
            first.step().unwrap();
        }
        checkpoint::save(&checkpoint, &fingerprint, first.adapter().values(), first.state(), None, "")
            .unwrap();
        let found = checkpoint::load(&checkpoint, &fingerprint).unwrap().unwrap();
        let mut second = trainer(ctx, data, &spec, 4, None);
        second.restore(found.values, found.state).unwrap();
        assert!(end(second, STEPS - STEPS / 2) == straight, "resumed: another result");
    }
}

#[test]
fn the_prefix_cache_changes_no_bit_of_a_reverse_run() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.gguf.prefix");
    let width = WORLD.model.geometry().width;
    for data in objectives() {
        let cache = |limit: u64| {
            let origin = Origin { model: "tiny", data: data.digest(), blocks: 2, width, isa: Isa::Scalar };
            Some(PrefixCache::open(&path, Bytes(limit), &origin, data.longest()))
        };
        let run = |examples: usize, prefix| {
            end(trainer(ctx(2), data, &spec(Kind::Lora, 2..3), examples, prefix), STEPS)
        };
        let straight = run(4, cache(0));
        assert!(run(4, None) != straight, "the cache rounds nothing");
        for examples in [4, 3] {
            assert!(run(examples, cache(1 << 20)) == straight, "a cache under way: another result");
            assert!(run(examples, cache(1 << 20)) == straight, "a full cache: another result");
        }
        std::fs::remove_file(&path).unwrap();
    }
}

/// The plan's arena regions are the arena, and a step fills it to the last byte.
#[test]
fn the_plan_of_a_reverse_run_is_the_arena() {
    let (model, machine) = (model_size(), Machine { limit: None, code: Bytes::mib(8), divided: true });
    for data in objectives() {
        for (kind, layers, batch) in [(Kind::Lora, 0..3, 4), (Kind::Xs, 2..3, 8), (Kind::BOnly, 1..3, 1)] {
            let spec = spec(kind, layers);
            let work = work(data, &spec, batch, 2);
            let fit = |budget| plan(&model, &work, &machine, budget).unwrap();
            let roomy = fit(Bytes(1 << 30)).plan;
            for budget in [roomy.budget, roomy.smallest_budget] {
                let Fitted { tuning, layout, plan } = fit(budget);
                let arena = plan.regions.iter().filter(|r| r.kind == Memory::Arena);
                let planned: Bytes = arena.map(|r| r.bytes).sum();
                let ctx =
                    Box::leak(Box::new(Ctx::new(2).unwrap().with_panel_rows(tuning.panel_rows).unwrap()));
                let room = room(data, layout, batch);
                let session = Session::new(&WORLD.model, ctx, room, objective(data), None).unwrap();
                let settings = Settings { batch, ..reverse_settings() };
                let mut trainer =
                    Trainer::new(session, fresh_adapter(&spec), data, settings, tuning.cut).unwrap();
                trainer.step().unwrap();
                let used = trainer.session().0.arena_high_water();
                assert_eq!(used, (planned, planned), "lm {}, {kind:?}, {tuning:?}", data.is_lm());
            }
        }
    }
}
