//! Dropout of adapters' inputs: derivatives and gradients are those of the loss under its mask, and nothing that may change
//! while training changes a bit of either. Whatever is judged sees everything.

use super::world::*;
use super::{checkpoint, settings, take};
use checkpoint::Fingerprint;
use sprig_budget::{Bytes, Kind as Memory, Machine};
use sprig_engine::adapter::{Adapter, AdapterSpec, Kind};
use sprig_engine::dual::{
    Batch, DualBatch, DualRows, DualRowsMut, Factor, Keeper, Layer, LinearEnv, LinearScratch, Mask, Probe,
    Site, Stack, TensorId, linear,
};
use sprig_engine::kernels::{Ctx, Matrix, Write};
use sprig_engine::model::PassLayout;
use sprig_learn::data::{DataSet, Examples};
use sprig_learn::directions::{Family, Sharing, initial_normals};
use sprig_learn::dropout::{Dropout, Masks};
use sprig_learn::estimator::{
    AnyEstimator, Cut, Estimator, Iteration, Reverse, ScalarEstimator, Scalars, StepInput,
};
use sprig_learn::guard::Guard;
use sprig_learn::minibatch::Minibatch;
use sprig_learn::outcome::Outcome;
use sprig_learn::planner::{Fitted, plan};
use sprig_learn::recipe::Fraction;
use sprig_learn::session::Session;
use sprig_learn::trainer::{Settings, State, Trainer};
use sprig_learn::workload::{Tuning, Workload};

const K: usize = 12;
const IDS: [usize; 4] = [0, 3, 5, 6];
const STEPS: usize = 8;

fn dropout() -> Dropout {
    Dropout::new(Fraction::of(0.3))
}

fn masks() -> Option<Masks> {
    dropout().masks([42, 0], Iteration::of_step(3))
}

/// Forwards or backwards, of passes of `cut`.
fn estimator(back: bool) -> AnyEstimator {
    match back {
        true => AnyEstimator::Reverse(Reverse),
        false => AnyEstimator::Forward(forward(Family::Walsh, Sharing::PerExample, 4)),
    }
}

fn work(data: &DataSet, spec: &AdapterSpec, cut: Cut, threads: usize, back: bool) -> Workload {
    let work = workload(data, spec, cut.examples, cut.tangents, threads).under(dropout());
    if back { Workload { needs: Reverse.needs(), ..work } } else { work }
}

fn session_of(
    ctx: &'static Ctx,
    data: &DataSet,
    spec: &AdapterSpec,
    cut: Cut,
    back: bool,
) -> Session<'static> {
    let cut = if back { Cut { tangents: 0, ..cut } } else { cut };
    let tuning = Tuning { cut, panel_rows: ctx.panel_rows(), streamed: false, run: 1 };
    let work = work(data, spec, cut, ctx.pool.threads(), back);
    let layout = PassLayout::new(WORLD.model.geometry(), tuning.pass(WORLD.model.geometry(), &work));
    Session::new(&WORLD.model, ctx, room(data, layout, cut.examples), objective(data), None).unwrap()
}

fn losses(session: &mut Session<'_>, adapter: &Adapter, batch: Minibatch<'_>) -> Vec<f64> {
    let mut outcomes = vec![Outcome::default(); batch.len()];
    session.judge(adapter, batch, &mut outcomes).unwrap();
    outcomes.iter().map(|outcome| outcome.loss).collect()
}

/// Weights that stay.
struct Nobody;

impl Keeper for Nobody {
    fn about_to_use(&self, _: &Matrix<'_>, _: Option<&Matrix<'_>>) {}

    fn done_with(&self, _: &Matrix<'_>) {}
}

/// A linear layer is, on the mean over its masks, what it is without them.
#[test]
fn the_mean_over_masks_is_the_layer_without_dropout() {
    const IN: usize = 16;
    const OUT: usize = 6;
    const RANK: usize = 2;
    const ROWS: usize = 3;
    const DRAWS: u32 = 20_000;
    let noise = |seed: u32, n: usize| {
        let mut values = vec![0.0; n];
        initial_normals([seed, 0], TensorId(0), &mut values);
        values
    };
    let (w, x) = (noise(1, OUT * IN), noise(2, ROWS * IN));
    let (d, u) = (noise(3, RANK * IN), noise(4, OUT * RANK));
    let weight = Matrix::from_f32(OUT, IN, &w).unwrap();
    let (tokens, starts) = ([0; ROWS], [0, 1, ROWS]);
    let rows = Batch::new(&tokens, &starts, 1).unwrap();
    let frozen = |values| Factor { values, tensor: None };
    let site = Site { layer: 9, rank: RANK, scale: 2.0, down: frozen(&d), core: None, up: frozen(&u) };
    let ctx = ctx(1);
    let value = |masks: Option<Masks>| {
        let mask = masks.as_ref().map(|masks| masks as &dyn Mask);
        let batch = DualBatch { rows, probe: None, mask };
        let env = LinearEnv { ctx, batch, keeper: &Nobody, integer: false };
        let [mut panels, mut low, mut masked] = [8192, ROWS * RANK, ROWS * IN].map(|n| vec![0.0; n]);
        let scratch = &mut LinearScratch {
            panels: &mut panels,
            low: &mut low,
            core: &mut [],
            shared: &mut [],
            directions: &mut [],
            adjoints: &mut [],
            masked: &mut masked,
        };
        let (mut y, stack) = (vec![0.0; ROWS * OUT], Stack::plain(ROWS));
        let out = DualRowsMut::new(&mut y, OUT, stack);
        let layer = Layer { weight: &weight, site: Some(site), blend: None };
        linear(&env, layer, DualRows::new(&x, IN, stack), out, Write::Set, scratch);
        y
    };
    let (plain, mut mean, mut square) = (value(None), vec![0.0; ROWS * OUT], vec![0.0; ROWS * OUT]);
    for number in 0..DRAWS {
        let found = value(dropout().masks([7, 7], Iteration { round: 1, number, device: 2 }));
        for ((mean, square), (found, plain)) in mean.iter_mut().zip(&mut square).zip(found.iter().zip(&plain))
        {
            let apart = f64::from(found - plain);
            *mean += apart / f64::from(DRAWS);
            *square += apart * apart / f64::from(DRAWS);
        }
    }
    for (mean, square) in mean.into_iter().zip(square) {
        let error: f64 = (square / f64::from(DRAWS)).sqrt();
        assert!(square > 0.01 && mean.abs() < 4.5 * error, "{mean} of {error}");
    }
}

/// Along 12 directions: what tangents carry, and what the gradient of the pass backwards says, against differences of the
/// loss under the same mask.
#[test]
fn derivatives_and_gradients_are_those_of_the_loss_under_its_mask() {
    for (data, kind) in objectives().into_iter().flat_map(|data| KINDS.map(|kind| (data, kind))) {
        let (spec, cut) = (spec(kind, 0..3), Cut { tangents: K, examples: 4 });
        let mut adapter = adapter(&spec);
        let (tensors, n) = (tensors(&adapter), adapter.values().len());
        let batch = Minibatch::new(data, &IDS).under(masks());
        let mut session = session_of(ctx(2), data, &spec, cut, false);
        let all = forward(Family::Rademacher, Sharing::Shared, K);
        let all = all.directions(&tensors, Iteration::of_step(3));
        let (mut outcomes, mut slopes) = ([Outcome::default(); 4], [0.0f32; 4 * K]);
        let probe = Probe { directions: &all, tangents: K, first_example: 0 };
        session.run(Some(&adapter), Some(probe), batch, &mut outcomes, &mut slopes).unwrap();
        let seen: Vec<f64> = outcomes.iter().map(|outcome| outcome.loss).collect();
        assert_eq!(seen, losses(&mut session, &adapter, batch));
        assert_ne!(seen, losses(&mut session, &adapter, Minibatch::new(data, &IDS)), "nothing is dropped");
        let (mut scalars, mut gradient) = (Scalars::new(&Reverse.needs(), 4, n), vec![0.0; n]);
        let at = Iteration::of_step(3);
        let guard = &mut Guard::default();
        let step = StepInput {
            batch,
            cut: Cut { tangents: 0, ..cut },
            tensors: &tensors,
            at,
            last: &[],
            guard,
            noise: None,
        };
        let mut back = session_of(ctx(2), data, &spec, cut, true);
        Reverse.gradient(&mut back, &mut adapter, step, &mut scalars, &mut gradient).unwrap();
        assert_eq!(scalars.outcomes, outcomes);
        let rows: f64 = outcomes.iter().map(|o| f64::from(o.rows)).sum();
        let mean = |of: &dyn Fn(usize) -> f64| -> f64 {
            (0..4).map(|e| of(e) * f64::from(outcomes[e].rows) / rows).sum()
        };
        let (mut size, mut by_tangents, mut by_gradient) = (0.0, 0.0, 0.0);
        for k in 0..K {
            let mut v = vec![0.0f32; n];
            tensors.iter().for_each(|t| all.accumulate(k, 0, t, 1.0, &mut v[t.range.clone()]));
            let h = 0.1 / (n as f32).sqrt();
            let mut moved = |by: f32| {
                let mut adapter = adapter.clone();
                adapter.values_mut().iter_mut().zip(&v).for_each(|(w, v)| *w += by * v);
                losses(&mut session, &adapter, batch)
            };
            let [a, b, c, d] = [moved(h), moved(-h), moved(2.0 * h), moved(-2.0 * h)];
            let slope = |e: usize| (8.0 * (a[e] - b[e]) - (c[e] - d[e])) / (12.0 * f64::from(h));
            let wanted = mean(&slope);
            let along: f64 = gradient.iter().zip(&v).map(|(g, v)| f64::from(*g) * f64::from(*v)).sum();
            size += wanted.powi(2);
            by_tangents += (mean(&|e| f64::from(slopes[e * K + k])) - wanted).powi(2);
            by_gradient += (along - wanted).powi(2);
        }
        let errors = [by_tangents, by_gradient].map(|error| (error / size).sqrt());
        println!("lm {}, {kind:?}: relative errors {:.1e} and {:.1e}", data.is_lm(), errors[0], errors[1]);
        assert!(size > 1e-6 && errors.iter().all(|error| *error < 2e-3), "{kind:?}: {errors:?} of {size}");
    }
}

fn trainer(ctx: Ctx, data: &'static DataSet, cut: Cut, back: bool) -> Trainer<'static, 'static> {
    let spec = spec(Kind::Lora, 1..3);
    let session = session_of(Box::leak(Box::new(ctx)), data, &spec, cut, back);
    let settings = Settings { estimator: estimator(back), dropout: dropout(), ..settings(ADAMW) };
    let cut = if back { Cut { tangents: 0, ..cut } } else { cut };
    Trainer::new(session, fresh_adapter(&spec), data, settings, cut).unwrap()
}

fn end(mut trainer: Trainer<'_, '_>, steps: usize) -> (Vec<u32>, State) {
    take(&mut trainer, steps);
    (bits(trainer.adapter().values()), trainer.state().clone())
}

#[test]
fn neither_threads_nor_cuts_nor_resuming_change_a_bit_under_dropout() {
    let dir = tempfile::tempdir().unwrap();
    let (path, fingerprint) = (dir.path().join("run.ckpt"), Fingerprint::new());
    let whole = Cut { tangents: 4, examples: 4 };
    for (data, back) in objectives().into_iter().flat_map(|data| [(data, false), (data, true)]) {
        let straight = end(trainer(Ctx::new(1).unwrap(), data, whole, back), STEPS);
        for (threads, panel_rows, tangents, examples) in [(2, 64, 4, 4), (3, 16, 1, 3), (1, 16, 2, 1)] {
            let ctx = Ctx::new(threads).unwrap().with_panel_rows(panel_rows).unwrap();
            let found = end(trainer(ctx, data, Cut { tangents, examples }, back), STEPS);
            assert!(found == straight, "{threads} threads, {examples} examples: another result");
        }
        let ctx = || Ctx::new(2).unwrap();
        let mut first = trainer(ctx(), data, whole, back);
        take(&mut first, STEPS / 2);
        checkpoint::save(&path, &fingerprint, first.adapter().values(), first.state(), None, "").unwrap();
        let found = checkpoint::load(&path, &fingerprint).unwrap().unwrap();
        let mut second = trainer(ctx(), data, Cut { examples: 2, ..whole }, back);
        second.restore(found.values, found.state).unwrap();
        assert!(end(second, STEPS - STEPS / 2) == straight, "resumed: another result");
    }
}

/// A run is judged by all that its adapter knows: the losses are those of a session that has never heard of dropout.
#[test]
fn evaluation_drops_nothing() {
    let whole = Cut { tangents: 4, examples: 4 };
    for data in objectives() {
        let mut dropping = trainer(Ctx::new(2).unwrap(), data, whole, false);
        take(&mut dropping, STEPS);
        let found = dropping.judge(Examples::from(data), |_| true).unwrap().unwrap();
        let spec = spec(Kind::Lora, 1..3);
        let plain = session(ctx(2), data, &spec, whole, None);
        let adapter = dropping.adapter().clone();
        let mut plain = Trainer::new(plain, adapter, data, settings(ADAMW), whole).unwrap();
        assert_eq!(plain.judge(Examples::from(data), |_| true).unwrap().unwrap(), found);
    }
}

/// The plan knows what dropout takes, and its arena is filled to the last byte.
#[test]
fn the_plan_of_a_run_with_dropout_is_the_arena() {
    let (model, machine) = (model_size(), Machine { limit: None, code: Bytes::mib(8), divided: true });
    let spec = spec(Kind::Lora, 1..3);
    for (data, back) in objectives().into_iter().flat_map(|data| [(data, false), (data, true)]) {
        let work = work(data, &spec, Cut { tangents: 4, examples: 4 }, 2, back);
        let fit = |budget| plan(&model, &work, &machine, budget).unwrap();
        let roomy = fit(Bytes(1 << 30)).plan;
        for budget in [roomy.budget, roomy.smallest_budget] {
            let Fitted { tuning, layout, plan } = fit(budget);
            let arena = plan.regions.iter().filter(|r| r.kind == Memory::Arena);
            let planned: Bytes = arena.map(|r| r.bytes).sum();
            assert!(plan.regions.iter().any(|r| r.name.contains("dropout")), "{plan}");
            let ctx = Box::leak(Box::new(Ctx::new(2).unwrap().with_panel_rows(tuning.panel_rows).unwrap()));
            let session =
                Session::new(&WORLD.model, ctx, room(data, layout, 4), objective(data), None).unwrap();
            let settings = Settings { estimator: estimator(back), dropout: dropout(), ..settings(ADAMW) };
            let mut trainer =
                Trainer::new(session, fresh_adapter(&spec), data, settings, tuning.cut).unwrap();
            trainer.step().unwrap();
            assert_eq!(trainer.session().0.arena_high_water(), (planned, planned), "{back}, {tuning:?}");
        }
    }
}
