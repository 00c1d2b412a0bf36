//! What must hold of training whatever the numbers are: derivatives are derivatives, and no cut, thread count, cache or
//! interruption changes a bit. On a synthetic model; T numbers are those of the specification's tests.
// Nobody imports a test: `pub` is between its modules.
#![allow(unreachable_pub)]
#![allow(missing_docs, clippy::unwrap_used)] // helpers of tests may unwrap as tests do

#[path = "invariants/checkpoints.rs"]
mod checkpoints;
#[path = "invariants/derivatives.rs"]
mod derivatives;
#[path = "invariants/dropout.rs"]
mod dropout;
#[path = "invariants/flow.rs"]
mod flow;
#[path = "invariants/flow_mixtures.rs"]
mod flow_mixtures;
#[path = "invariants/flow_routers.rs"]
mod flow_routers;
#[path = "invariants/range.rs"]
mod range;
#[path = "invariants/readout.rs"]
mod readout;
#[path = "invariants/reverse.rs"]
mod reverse;
#[path = "invariants/world.rs"]
mod world;

use sprig_budget::{Bytes, Kind as Memory, Machine};
use sprig_engine::adapter::{AdapterSpec, Kind};
use sprig_engine::dual::Probe;
use sprig_engine::gguf::{Gguf, Mapped, Synthetic};
use sprig_engine::kernels::{Ctx, Isa};
use sprig_engine::model::{Stream, Transformer};
use sprig_learn::checkpoint::{self, Fingerprint};
use sprig_learn::data::DataSet;
use sprig_learn::directions::{Directions, Family, Sharing};
use sprig_learn::dropout::Dropout;
use sprig_learn::estimator::{AnyEstimator, Cut, Estimator, Iteration, ScalarEstimator, Scalars, StepInput};
use sprig_learn::guard::Guard;
use sprig_learn::minibatch::Minibatch;
use sprig_learn::optimiser::{Decay, Rule, Schedule};
use sprig_learn::outcome::Outcome;
use sprig_learn::planner::{Fitted, plan};
use sprig_learn::prefix::{Counts, Origin, PrefixCache};
use sprig_learn::session::Session;
use sprig_learn::trainer::{Settings, State, Trainer};
use sprig_learn::workload::Tuning;
use std::path::Path;
use world::*;

/// T9: K tangents in one pass are K passes of one.
#[test]
fn tangents_of_one_pass_are_those_of_many() {
    const K: usize = 5;
    let ids = [1, 2, 4];
    for data in objectives() {
        for (family, sharing) in FAMILIES.into_iter().flat_map(|f| SHARINGS.map(|s| (f, s))) {
            let spec = spec(Kind::Lora, 0..3);
            let adapter = adapter(&spec);
            let mut session = session(ctx(2), data, &spec, Cut { tangents: K, examples: 3 }, None);
            let tensors = tensors(&adapter);
            let all = forward(family, sharing, K).directions(&tensors, Iteration::of_step(0));
            let mut run = |first_tangent: usize, count: usize| {
                let (mut outcomes, mut found) = ([Outcome::default(); 3], vec![0.0f32; 3 * count]);
                let directions = Directions { first_tangent, ..all };
                let probe = Probe { directions: &directions, tangents: count, first_example: 0 };
                let batch = Minibatch::new(data, &ids);
                session.run(Some(&adapter), Some(probe), batch, &mut outcomes, &mut found).unwrap();
                (outcomes, found)
            };
            let (outcomes, together) = run(0, K);
            for k in 0..K {
                let (again, alone) = run(k, 1);
                assert_eq!(again, outcomes);
                let mine: Vec<f32> = (0..ids.len()).map(|e| together[e * K + k]).collect();
                assert_eq!(bits(&alone), bits(&mine), "{family:?}, {sharing:?}, tangent {k}");
                assert!(k == 0 || together[k] != together[0], "{family:?}: two tangents alike");
            }
        }
    }
}

/// However a batch is cut, the losses and the gradient are the same bits.
#[test]
fn cuts_change_no_bit() {
    let ids = [0, 1, 2, 3, 4, 7];
    for data in objectives() {
        for sharing in SHARINGS {
            let spec = spec(Kind::Lora, 1..3);
            let adapter = adapter(&spec);
            let tensors = tensors(&adapter);
            let estimate = |cut: Cut| {
                let mut session = session(ctx(2), data, &spec, cut, None);
                let (forward, weights) = (forward(Family::Walsh, sharing, 4), adapter.values().len());
                let (mut scalars, mut gradient) =
                    (Scalars::new(&forward.needs(), 6, weights), vec![0.0; weights]);
                let step = StepInput {
                    batch: Minibatch::new(data, &ids),
                    cut,
                    tensors: &tensors,
                    at: Iteration::of_step(11),
                    last: &[],
                    guard: &mut Guard::default(),
                    noise: None,
                };
                forward
                    .gradient(&mut session, &mut adapter.clone(), step, &mut scalars, &mut gradient)
                    .unwrap();
                (scalars.outcomes, bits(&gradient))
            };
            let whole = estimate(Cut { tangents: 4, examples: 6 });
            assert!(whole.1.iter().any(|&b| b << 1 != 0));
            for cut in [6, 3, 2, 1]
                .into_iter()
                .flat_map(|examples| [4, 2, 1].map(|tangents| Cut { tangents, examples }))
            {
                let found = estimate(cut);
                assert_eq!(found.0, whole.0, "{cut:?}");
                assert!(found.1 == whole.1, "{cut:?}, {sharing:?}: another gradient");
            }
        }
    }
}

fn settings(rule: Rule) -> Settings {
    Settings {
        estimator: AnyEstimator::Forward(forward(Family::Walsh, Sharing::PerExample, 4)),
        rule,
        schedule: Schedule { peak: 0.02, warmup: 2, steps: 10, decay: Decay::Cosine },
        batch: 4,
        dropout: Dropout::NONE,
        seed: 5,
    }
}

fn trainer(
    ctx: &'static Ctx,
    data: &'static DataSet,
    spec: &AdapterSpec,
    rule: Rule,
    cut: Cut,
    prefix: Option<PrefixCache>,
) -> Trainer<'static, 'static> {
    let session = session(ctx, data, spec, cut, prefix);
    Trainer::new(session, fresh_adapter(spec), data, settings(rule), cut).unwrap()
}

fn take(trainer: &mut Trainer<'_, '_>, steps: usize) {
    for _ in 0..steps {
        trainer.step().unwrap();
    }
}

/// All that a run leaves behind.
fn result(trainer: &Trainer<'_, '_>) -> (Vec<u32>, State) {
    (bits(trainer.adapter().values()), trainer.state().clone())
}

#[test]
fn threads_and_panels_change_no_bit() {
    for data in objectives() {
        for kind in KINDS {
            let (spec, cut) = (spec(kind, 0..3), Cut { tangents: 4, examples: 4 });
            let run = |ctx: Ctx| {
                let mut trainer = trainer(Box::leak(Box::new(ctx)), data, &spec, ADAMW, cut, None);
                take(&mut trainer, 10);
                result(&trainer)
            };
            let one = run(Ctx::new(1).unwrap());
            assert_ne!(one.0, bits(fresh_adapter(&spec).values()), "nothing was learnt");
            for (threads, panel_rows) in [(2, 64), (3, 64), (1, 16), (2, 16), (3, 16)] {
                let found = run(Ctx::new(threads).unwrap().with_panel_rows(panel_rows).unwrap());
                assert!(found == one, "{kind:?}: {threads} threads, panels of {panel_rows}: another result");
            }
        }
    }
}

/// Every rung of the ladder, and the way between them while a run is under way: memory pressure takes it.
#[test]
fn residency_and_retuning_change_no_bit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tiny.gguf");
    Synthetic::tiny().write_atomic(&path).unwrap();
    let map: &'static Mapped = Box::leak(Box::new(Mapped::open(&path).unwrap()));
    let gguf = Gguf::parse(map.bytes()).unwrap();
    let streamed =
        Transformer::load_streamed(&gguf, Stream::new(map, &gguf, WORLD.model.geometry()).unwrap()).unwrap();
    let streamed: &'static Transformer<'static> = Box::leak(Box::new(streamed));
    for data in objectives() {
        let (spec, cut) = (spec(Kind::Lora, 0..3), Cut { tangents: 4, examples: 4 });
        let mut resident = trainer(ctx(2), data, &spec, ADAMW, cut, None);
        take(&mut resident, 10);
        let ctx = ctx(2);
        let widest = Tuning { cut, panel_rows: 64, streamed: true, run: 1 };
        let shape = layout(ctx, data, &spec, &widest);
        let room = room(data, shape, cut.examples);
        let session = Session::new(streamed, ctx, room, objective(data), None).unwrap();
        let mut moving = Trainer::new(session, fresh_adapter(&spec), data, settings(ADAMW), cut).unwrap();
        for step in 0..10 {
            let cut = [cut, Cut { tangents: 1, ..cut }, Cut { examples: 1, ..cut }][step % 3];
            let panel_rows = [64, 16][step % 2];
            let tuning = Tuning { cut, panel_rows, streamed: step % 4 != 3, run: 1 };
            moving.retune(&tuning, layout(ctx, data, &spec, &tuning)).unwrap();
            take(&mut moving, 1);
        }
        assert!(result(&moving) == result(&resident), "another result");
    }
}

/// T8: the prefix cache changes how fast a run is, never its result.
#[test]
fn the_prefix_cache_changes_no_bit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.gguf.prefix");
    let width = WORLD.model.geometry().width;
    for data in objectives() {
        // Header, and for each example a checksum and its rows, each with its exponent.
        let size = |examples| 40 + 8 * examples + 2 * (1 + width) * data.tokens_before(examples);
        let cache = |path: &Path, examples: usize| {
            let origin = Origin { model: "tiny", data: data.digest(), blocks: 2, width, isa: Isa::Scalar };
            let limit = if examples == 0 { 0 } else { size(examples) };
            PrefixCache::open(path, Bytes(limit as u64), &origin, data.longest())
        };
        for examples in [4, 3, 1] {
            let cut = Cut { tangents: 2, examples };
            let run_from = |block: usize, prefix: Option<PrefixCache>| {
                let mut trainer = trainer(ctx(2), data, &spec(Kind::BOnly, block..3), ADAMW, cut, prefix);
                take(&mut trainer, 10);
                (result(&trainer), trainer.prefix().map(PrefixCache::counts))
            };
            let straight = run_from(2, Some(cache(&path, 0))).0;
            // 5 epochs of 8 examples, each visited by two passes of 2 tangents.
            let check = |what: &str, prefix: PrefixCache, hits: u64, corrupt: u64| {
                let (found, counts) = run_from(2, Some(prefix));
                assert_eq!(counts, Some(Counts { hits, misses: 80 - hits, corrupt }), "{what}");
                assert!(found == straight, "{what}, {examples} a pass: another result");
            };
            check("a full cache", cache(&path, 8), 72, 0);
            assert_eq!(std::fs::metadata(&path).unwrap().len(), size(8) as u64);
            check("what it left", cache(&path, 8), 80, 0);
            // Every other example damaged: batches are half held, in many patterns.
            let mut bytes = std::fs::read(&path).unwrap();
            (0..8).step_by(2).for_each(|e| bytes[size(e) + 20] ^= 4);
            std::fs::write(&path, &bytes).unwrap();
            check("a damaged cache", cache(&path, 8), 76, 4);
            check("a repaired cache", cache(&path, 8), 80, 0);
            std::fs::remove_file(&path).unwrap();
            check("a cache of the first half", cache(&path, 4), 36, 0);
            check("one example of what that left", cache(&path, 1), 10, 0);
            check("no cache", cache(&path, 0), 0, 0);
            check("an unwritable cache", cache(Path::new("/nonexistent/prefix"), 8), 0, 0);
            // The test sees the cache: without its rounding, or with other contents, the result is another.
            assert!(run_from(2, None).0 != straight, "the cache rounds nothing");
            run_from(1, Some(cache(&path, 8)));
            assert!(run_from(2, Some(cache(&path, 8))).0 != straight, "the cache is never read");
            std::fs::remove_file(&path).unwrap();
        }
    }
}

/// 10 steps are 5, a checkpoint, and 5 in a new process.
#[test]
fn a_resumed_run_ends_in_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.ckpt");
    let fingerprint = Fingerprint::from([("seed".to_owned(), "5".to_owned())]);
    for data in objectives() {
        for rule in [ADAMW, Rule::Sgd { momentum: 0.9 }, Rule::Sgd { momentum: 0.0 }] {
            let (spec, cut) = (spec(Kind::Lora, 1..3), Cut { tangents: 4, examples: 2 });
            let begin = || trainer(ctx(2), data, &spec, rule, cut, None);
            let mut straight = begin();
            take(&mut straight, 10);
            let mut first = begin();
            take(&mut first, 5);
            checkpoint::save(&path, &fingerprint, first.adapter().values(), first.state(), None, "").unwrap();
            let found = checkpoint::load(&path, &fingerprint).unwrap().unwrap();
            let mut second = begin();
            second.restore(found.values, found.state).unwrap();
            take(&mut second, 5);
            assert!(result(&second) == result(&straight), "{rule:?}: another result");
            assert!(result(&first).0 != result(&straight).0, "{rule:?}: five steps changed nothing");
        }
    }
}

/// The plan's arena regions are the arena, and a step fills it to the last byte.
#[test]
fn the_plan_is_the_arena() {
    let model = model_size();
    for data in objectives() {
        for (kind, tangents, batch) in [
            (Kind::Lora, 1, 4),
            (Kind::Xs, 4, 4),
            (Kind::BOnly, 1, 1),
            (Kind::Lora, 4, 1),
            (Kind::Lora, 4, 8),
        ] {
            let spec = spec(kind, 0..3);
            let work = workload(data, &spec, batch, tangents, 2);
            let machine = Machine { limit: None, code: Bytes::mib(8), divided: true };
            let fit = |budget| plan(&model, &work, &machine, budget).unwrap();
            let roomy = fit(Bytes(1 << 30)).plan;
            // The roomy plan and the smallest one there is: every rung of the ladder taken.
            for budget in [roomy.budget, roomy.smallest_budget] {
                let Fitted { tuning, layout, plan } = fit(budget);
                let arena = plan.regions.iter().filter(|r| r.kind == Memory::Arena);
                let planned: Bytes = arena.map(|r| r.bytes).sum();
                let ctx =
                    Box::leak(Box::new(Ctx::new(2).unwrap().with_panel_rows(tuning.panel_rows).unwrap()));
                let room = room(data, layout, batch);
                let session = Session::new(&WORLD.model, ctx, room, objective(data), None).unwrap();
                assert_eq!(session.arena_high_water(), (Bytes::ZERO, planned));
                let estimator = forward(Family::Walsh, Sharing::PerExample, tangents);
                let estimator = AnyEstimator::Forward(estimator);
                let settings = Settings { estimator, batch, ..settings(ADAMW) };
                let mut trainer =
                    Trainer::new(session, fresh_adapter(&spec), data, settings, tuning.cut).unwrap();
                take(&mut trainer, 1);
                let lm = data.is_lm();
                let used = trainer.session().0.arena_high_water();
                assert_eq!(used, (planned, planned), "lm {lm}, {kind:?}, K {tangents}, {tuning:?}");
            }
        }
    }
}
