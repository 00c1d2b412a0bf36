//! Fleets by exact gradients: local steps are those of a device by itself, federated SGD is one step along the mean gradient,
//! and derivatives along directions are those that tangents would have found. On a synthetic model.
// Nobody imports a test: `pub` is between its modules.
#![allow(unreachable_pub)]
#![allow(missing_docs, clippy::unwrap_used)] // helpers of tests may unwrap as tests do

#[allow(dead_code)] // shared with the other tests
#[path = "invariants/world.rs"]
mod world;

use sprig_engine::adapter::{AdapterSpec, Kind};
use sprig_engine::model::PassLayout;
use sprig_learn::data::{DataSet, Examples};
use sprig_learn::directions::{Family, Sharing};
use sprig_learn::dropout::Dropout;
use sprig_learn::estimator::{
    AnyEstimator, Cut, Estimator, Iteration, Projected, Reverse, ScalarEstimator, Scalars, StepInput,
};
use sprig_learn::guard::Guard;
use sprig_learn::minibatch::Minibatch;
use sprig_learn::optimiser::{Decay, Rule, Schedule};
use sprig_learn::session::Session;
use sprig_learn::spry::{
    Assignment, Body, Dealing, Exchange, Layout, LocalRound, LocalUpdate, Member, Rules, Seeds, Server,
    ServerRule, Share, Terms, deal,
};
use sprig_learn::trainer::{Settings, Trainer};
use sprig_learn::workload::{Tuning, Workload};
use world::*;

const AVG: ServerRule = ServerRule::Avg { eta: 1.0 };
const YOGI: ServerRule = ServerRule::Yogi { eta: 0.02, beta1: 0.9, beta2: 0.99, tau: 1e-3 };
const EXACT: AnyEstimator = AnyEstimator::Reverse(Reverse);
const KEY: [u32; 2] = [42, 0];
const WHOLE: Cut = Cut { tangents: 4, examples: 4 };

fn terms(steps: u32) -> Terms {
    Terms {
        exchange: Exchange::PerEpoch { steps },
        batch: 3,
        estimator: EXACT,
        dropout: Dropout::NONE,
        run_key: KEY,
        seeds: Seeds::Own,
        local: ADAMW,
        lr: 0.02,
        server: AVG,
        decay: 0,
    }
}

fn along(sharing: Sharing) -> Projected {
    Projected { along: forward(Family::Walsh, sharing, 4) }
}

fn server(spec: &AdapterSpec, terms: Terms) -> Server {
    let layout = Layout::new(spec, WORLD.model.geometry()).unwrap();
    Server::new(layout, Rules::new(terms).unwrap(), adapter(spec).values().to_vec()).unwrap()
}

/// A session for passes of up to `WHOLE`, forwards and backwards.
fn session_back(data: &DataSet, spec: &AdapterSpec) -> Session<'static> {
    let (ctx, needs) = (ctx(2), Reverse.needs());
    let tuning =
        Tuning { cut: Cut { tangents: 0, ..WHOLE }, panel_rows: ctx.panel_rows(), streamed: false, run: 1 };
    let work = Workload { needs, ..workload(data, spec, WHOLE.examples, 1, 2) };
    let layout = PassLayout::new(WORLD.model.geometry(), tuning.pass(WORLD.model.geometry(), &work));
    Session::new(&WORLD.model, ctx, room(data, layout, WHOLE.examples), objective(data), None).unwrap()
}

/// A device's round, its batches cut into passes of so many examples in turn, and the weights its adapter ends with.
fn train<'d>(
    server: &Server,
    spec: &AdapterSpec,
    data: impl Into<Examples<'d>>,
    assignment: Assignment,
    cuts: &[usize],
) -> (LocalUpdate, Vec<f32>) {
    let (mut adapter, data) = (fresh_adapter(spec), data.into());
    let mut session = session_back(data.set(), spec);
    let mut round = LocalRound::new(server, &mut adapter, data, assignment).unwrap();
    let (mut guard, mut cuts) = (Guard::default(), cuts.iter().cycle());
    loop {
        let cut = Cut { tangents: 0, examples: *cuts.next().unwrap() };
        if !round.step(&mut session, &mut adapter, cut, &mut guard).unwrap() {
            return (round.finish(), adapter.values().to_vec());
        }
    }
}

/// Whatever was done before, and however a batch is cut, a device that holds everything takes the steps of a device by itself.
#[test]
fn exact_local_steps_are_those_of_one_device() {
    for (data, kind) in objectives().into_iter().flat_map(|data| KINDS.map(|kind| (data, kind))) {
        let spec = spec(kind, 0..3);
        let server = server(&spec, Terms { batch: 4, ..terms(2) });
        let share = Share::all(server.layout().groups().len());
        let assignment = Assignment { round: 0, number: 3, share };
        let (update, own) = train(&server, &spec, data, assignment, &[4]);
        assert_eq!((update.examples, update.scalars.len()), (8, 0));
        assert_eq!(bits(&update.weights), bits(&own));
        assert_eq!(train(&server, &spec, data, assignment, &[1, 3]), (update, own.clone()), "another cut");
        let settings = Settings {
            estimator: EXACT,
            rule: ADAMW,
            schedule: Schedule { peak: 0.02, warmup: 0, steps: 2, decay: Decay::Constant },
            batch: 4,
            dropout: Dropout::NONE,
            seed: 42,
        };
        let mut trainer =
            Trainer::new(session_back(data, &spec), adapter(&spec), data, settings, WHOLE).unwrap();
        trainer.step().unwrap();
        trainer.step().unwrap();
        assert_eq!(bits(trainer.adapter().values()), bits(&own), "{kind:?}");
    }
}

/// Split: outside of its share nothing moves, and a group whose holders are one is where its holder left it.
#[test]
fn a_split_fleet_takes_exact_steps_of_each_share() {
    let (spec, data) = (spec(Kind::Lora, 0..3), &WORLD.label);
    let members = [Member { number: 4, strength: 1.0 }, Member { number: 9, strength: 2.0 }];
    for (dealing, rule) in [(Dealing::Cyclic, AVG), (Dealing::Contiguous, YOGI)] {
        let mut fleet = server(&spec, Terms { server: rule, ..terms(2) });
        let before = fleet.values().to_vec();
        let shares = deal(dealing, fleet.layout().groups().len(), &members, 8, 0);
        let updates: Vec<(LocalUpdate, Vec<f32>)> = members
            .iter()
            .zip(&shares)
            .map(|(member, &share)| {
                train(&fleet, &spec, data, Assignment { round: 0, number: member.number, share }, &[3])
            })
            .collect();
        let mut step = fleet.begin(0);
        for ((member, share), (update, _)) in members.iter().zip(&shares).zip(&updates) {
            step.add(member.number, *share, update.examples, Body::Dense(&update.weights)).unwrap();
        }
        step.finish();
        for (group, held) in fleet.layout().groups().iter().enumerate() {
            for (share, (_, own)) in shares.iter().zip(&updates) {
                for i in held.weights.clone() {
                    if !share.contains(group) {
                        assert_eq!(own[i].to_bits(), before[i].to_bits(), "a frozen weight moved");
                    } else if rule == AVG {
                        assert!((fleet.values()[i] - own[i]).abs() < 1e-6);
                    }
                }
            }
            assert!(
                held.weights.clone().any(|i| fleet.values()[i] != before[i]),
                "group {group} learnt nothing"
            );
        }
    }
}

/// T12: federated SGD is w − lr·Σ n_m·g_m / Σ n_m, each g_m the mean gradient of its device's examples.
#[test]
fn fedsgd_steps_along_the_mean_gradient() {
    for data in objectives() {
        let spec = spec(Kind::Lora, 1..3);
        let once = Terms { batch: 4, local: Rule::Sgd { momentum: 0.0 }, lr: 0.5, ..terms(1) };
        let mut fleet = server(&spec, once);
        let before = fleet.values().to_vec();
        let share = Share::all(fleet.layout().groups().len());
        let parts: [&[usize]; 3] = [&[0, 1, 2, 3], &[4], &[5, 6, 7]];
        let mut updates = Vec::new();
        for (number, ids) in (1..).zip(parts) {
            let assignment = Assignment { round: 0, number, share };
            updates.push(train(&fleet, &spec, Examples::some(data, ids), assignment, &[4]).0);
        }
        let mut step = fleet.begin(0);
        for (number, update) in (1..).zip(&updates) {
            step.add(number, share, update.examples, Body::Dense(&update.weights)).unwrap();
        }
        step.finish();
        let mut mean = vec![0.0f64; before.len()];
        for ids in parts {
            for (mean, g) in mean.iter_mut().zip(gradient(&spec, data, ids)) {
                *mean += ids.len() as f64 / 8.0 * f64::from(g);
            }
        }
        let size = mean.iter().map(|g| g * g).sum::<f64>().sqrt();
        let step = |i: usize| f64::from(before[i] - fleet.values()[i]) / 0.5;
        let error = mean.iter().enumerate().map(|(i, g)| (g - step(i)).powi(2)).sum::<f64>().sqrt();
        assert!(error < 1e-4 * size && size > 0.0, "{error:e} of {size:e}");
    }
}

/// The gradient of the mean loss of the examples `ids`.
fn gradient(spec: &AdapterSpec, data: &DataSet, ids: &[usize]) -> Vec<f32> {
    let mut adapter = adapter(spec);
    let (tensors, mut found) = (tensors(&adapter), vec![0.0; adapter.values().len()]);
    let mut scalars = Scalars::new(&Reverse.needs(), ids.len(), found.len());
    let cut = Cut { tangents: 0, examples: 4 };
    let (batch, at) = (Minibatch::new(data, ids), Iteration::of_step(0));
    let step =
        StepInput { batch, cut, tensors: &tensors, at, last: &[], guard: &mut Guard::default(), noise: None };
    Reverse.gradient(&mut session_back(data, spec), &mut adapter, step, &mut scalars, &mut found).unwrap();
    found
}

/// What `estimator` finds of four examples.
fn coefficients(
    estimator: &dyn ScalarEstimator,
    session: &mut Session<'_>,
    spec: &AdapterSpec,
    data: &DataSet,
) -> Vec<f32> {
    let mut adapter = adapter(spec);
    let tensors = tensors(&adapter);
    let mut scalars = Scalars::new(&estimator.needs(), 4, adapter.values().len());
    let (batch, at) = (Minibatch::new(data, &[1, 2, 5, 7]), Iteration::of_step(9));
    let step = StepInput {
        batch,
        cut: WHOLE,
        tensors: &tensors,
        at,
        last: &[],
        guard: &mut Guard::default(),
        noise: None,
    };
    estimator.measure(session, &mut adapter, step, &mut scalars).unwrap();
    scalars.coefficients
}

/// One gradient gives the derivatives along all directions: those of the batch are what tangents find, and where each
/// example has its own directions the batch has all of them, B·K instead of K.
#[test]
fn derivatives_from_the_gradient_are_those_of_tangents() {
    for data in objectives() {
        let spec = spec(Kind::Lora, 1..3);
        let projected = along(Sharing::Shared);
        let mut tangents = session(ctx(2), data, &spec, WHOLE, None);
        let found = coefficients(&projected, &mut session_back(data, &spec), &spec, data);
        let wanted = coefficients(&projected.along, &mut tangents, &spec, data);
        assert_eq!((found.len(), wanted.len()), (4, 4));
        let size = wanted.iter().fold(0.0f32, |most, c| most.max(c.abs()));
        for (found, wanted) in found.iter().zip(&wanted) {
            assert!((found - wanted).abs() < 1e-4 * size, "{found} and {wanted}");
        }
        // 16 directions of the batch: each coefficient is ⟨g, v⟩ / 16.
        let projected = along(Sharing::PerExample);
        let found = coefficients(&projected, &mut session_back(data, &spec), &spec, data);
        let mut g = gradient(&spec, data, &[1, 2, 5, 7]);
        let tensors = tensors(&adapter(&spec));
        let all = projected.directions(&tensors, Iteration::of_step(9));
        assert_eq!(found.len(), 16);
        for (i, found) in found.iter().enumerate() {
            let part =
                |t: &sprig_engine::adapter::Tensor| all.project(i % 4, i / 4, t.id, &mut g[t.range.clone()]);
            let along: f64 = tensors.iter().map(part).sum();
            assert!((f64::from(*found) - along / 16.0).abs() < 1e-6 * along.abs().max(1.0), "{i}");
        }
    }
}

/// Scalars from exact gradients are replayed like all others: device, coordinator and a second device end in the same bits.
#[test]
fn scalars_of_exact_gradients_are_replayed_to_the_same_bits() {
    let (spec, data) = (spec(Kind::Xs, 1..3), &WORLD.label);
    for exchange in [Exchange::PerIteration, Exchange::PerEpoch { steps: 2 }] {
        for sharing in SHARINGS {
            let estimator = AnyEstimator::Projected(along(sharing));
            let terms = Terms { exchange, estimator, server: YOGI, ..terms(1) };
            let mut parties = [(); 2].map(|()| server(&spec, terms));
            for round in 0..2 {
                let share = Share { first: round as u16, step: 2, count: 3 };
                let assignment = Assignment { round, number: 5, share };
                let (update, own) = train(&parties[0], &spec, data, assignment, &[2, 1]);
                assert_eq!(update.scalars.len(), parties[0].rules().scalar_count(update.examples));
                let again = train(&parties[1], &spec, data, assignment, &[3]);
                assert_eq!((again.0, bits(&again.1)), (update.clone(), bits(&own)));
                for party in &mut parties {
                    let before = party.digest();
                    let mut step = party.begin(round);
                    step.add(5, share, update.examples, Body::Scalars(&update.scalars)).unwrap();
                    step.finish();
                    assert_ne!(party.digest(), before);
                }
            }
            assert_eq!(parties[0].digest(), parties[1].digest());
        }
    }
}
