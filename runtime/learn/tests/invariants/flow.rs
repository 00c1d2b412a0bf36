//! Two adapters and their routers (specification of Flow, section 7): one answers as if it were alone, derivatives are
//! derivatives whichever way they run, and a device's round moves what it should.

use super::world::*;
use sprig_engine::adapter::{Adapter, AdapterSpec, Group, Kind, Policy, Routing, Sees};
use sprig_engine::dual::{Pool, Probe};
use sprig_engine::model::PassLayout;
use sprig_learn::data::{DataSet, Target};
use sprig_learn::directions::{Family, Sharing, run_key};
use sprig_learn::estimator::{
    Cut, Estimator, Iteration, Method, Needs, Reverse, ScalarEstimator, Scalars, StepInput,
};
use sprig_learn::flow::{
    Descent, FlowRound, FlowRules, FlowTask, Gates, GlobalLoss, Patterns, Phase, RouterBy,
};
use sprig_learn::guard::Guard;
use sprig_learn::minibatch::Minibatch;
use sprig_learn::outcome::Outcome;
use sprig_learn::session::Session;
use sprig_learn::workload::Workload;

const IDS: [usize; 4] = [0, 3, 5, 6];
const GROUPS: [Group; 3] = [Group::Global, Group::Local, Group::Router];

fn routing(sees: Sees, pool: Pool) -> Routing {
    Routing { sees, pool, follows: true }
}

fn spec_of(kind: Kind, routing: Routing) -> AdapterSpec {
    AdapterSpec { routing: Some(routing), ..spec(kind, 1..3) }
}

/// Two adapters in mid-training, whose routers decide in some way.
fn two(spec: &AdapterSpec) -> Adapter {
    let mut adapter = adapter(spec);
    adapter.follow(Policy::Soft);
    adapter
}

/// A session for passes of four examples either way.
fn session_of(threads: usize, data: &DataSet, spec: &AdapterSpec, cut: Cut) -> Session<'static> {
    let needs = Needs { tangents: cut.tangents, backward: true, features: true, ..Needs::NOTHING };
    let work = Workload { needs, ..workload(data, spec, cut.examples, cut.tangents, threads) };
    let tuning =
        sprig_learn::workload::Tuning { cut, panel_rows: ctx(threads).panel_rows(), streamed: false, run: 1 };
    let g = WORLD.model.geometry();
    let layout = PassLayout::new(g, tuning.pass(g, &work));
    Session::new(&WORLD.model, ctx(threads), room(data, layout, cut.examples), objective(data), None).unwrap()
}

fn all_ways() -> impl Iterator<Item = (&'static DataSet, Kind, Routing)> {
    let routings = [
        routing(Sees::Block, Pool::Prompt),
        routing(Sees::Block, Pool::Prefix),
        routing(Sees::Text, Pool::Prompt),
        routing(Sees::Nothing, Pool::Prompt),
    ];
    let kinds = move |data| KINDS.into_iter().flat_map(move |kind| routings.map(|r| (data, kind, r)));
    both_objectives().into_iter().flat_map(kinds)
}

/// Losses of the examples.
fn losses(session: &mut Session<'_>, adapter: &Adapter, data: &DataSet, ids: &[usize]) -> Vec<f64> {
    let mut outcomes = vec![Outcome::default(); ids.len()];
    session.run(Some(adapter), None, Minibatch::new(data, ids), &mut outcomes, &mut []).unwrap();
    outcomes.iter().map(|o| o.loss).collect()
}

/// The gradient of a group by `estimator`.
fn gradient(
    estimator: &impl Estimator,
    session: &mut Session<'_>,
    adapter: &mut Adapter,
    (data, examples): (&DataSet, usize),
    group: Group,
) -> Vec<f32> {
    adapter.train(group);
    let tensors = adapter.group_tensors(group);
    let needs = estimator.needs();
    let mut scalars = Scalars::new(&needs, IDS.len(), adapter.values().len());
    let mut found = vec![f32::NAN; adapter.range(group).len()];
    let step = StepInput {
        batch: Minibatch::new(data, &IDS),
        cut: Cut { tangents: needs.tangents, examples },
        tensors: &tensors,
        at: Iteration::of_step(0),
        last: &[],
        guard: &mut Guard::default(),
    };
    estimator.gradient(session, adapter, step, &mut scalars, &mut found).unwrap();
    found
}

fn apart(a: &[f32], b: &[f32]) -> f64 {
    let size: f64 = b.iter().map(|b| f64::from(*b).powi(2)).sum();
    let error: f64 = a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    (error / size.max(1e-30)).sqrt()
}

/// T1: of two equal adapters it does not matter which answers, and nothing leads back to who decides.
#[test]
fn equal_adapters_make_routers_idle() {
    for (data, kind, routing) in all_ways() {
        let spec = spec_of(kind, routing);
        let mut adapter = two(&spec);
        adapter.begin_local();
        let mut session = session_of(2, data, &spec, Cut { tangents: 0, examples: 4 });
        let soft = losses(&mut session, &adapter, data, &IDS);
        adapter.follow(Policy::Global);
        let alone = losses(&mut session, &adapter, data, &IDS);
        let far = soft.iter().zip(&alone).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(far < 2e-6, "{kind:?}, {routing:?}: {far:e}");
        adapter.follow(Policy::Soft);
        let g = gradient(&Reverse, &mut session, &mut adapter, (data, 4), Group::Router);
        assert!(g.iter().all(|g| *g == 0.0), "{kind:?}, {routing:?}");
    }
}

/// T2, T3: a router that is certain, a hard one and a fixed share of all or nothing are one adapter alone, bit for bit. And a
/// plain adapter of the same numbers is the global one.
#[test]
fn one_that_has_all_shares_is_alone() {
    for (data, kind, routing) in all_ways() {
        let spec = spec_of(kind, routing);
        let mut adapter = two(&spec);
        let mut session = session_of(2, data, &spec, Cut { tangents: 0, examples: 4 });
        let mut run = |adapter: &mut Adapter, policy: Policy| {
            adapter.follow(policy);
            losses(&mut session, adapter, data, &IDS)
        };
        let [global, local] = [Policy::Global, Policy::Local].map(|policy| run(&mut adapter, policy));
        assert!(global != local);
        let lone = AdapterSpec { routing: None, ..spec.clone() };
        let mut plain = fresh_adapter(&lone);
        let n = plain.values().len();
        plain.values_mut().copy_from_slice(&adapter.values()[..n]);
        assert_eq!(run(&mut plain, Policy::Global), global);
        assert_eq!(run(&mut adapter, Policy::Fixed(1.0)), global);
        assert_eq!(run(&mut adapter, Policy::Fixed(0.0)), local);
        let router = adapter.range(Group::Router);
        for (bias, want) in [(200.0, &global), (-200.0, &local)] {
            let d = routing.width(WORLD.model.geometry());
            for weights in adapter.values_mut()[router.clone()].chunks_exact_mut(d + 1) {
                weights.fill(0.0);
                weights[d] = bias;
            }
            assert_eq!(&run(&mut adapter, Policy::Soft), want);
            assert_eq!(&run(&mut adapter, Policy::Hard), want);
        }
        // Nobody decides: a tie goes to the global one.
        adapter.values_mut()[router].fill(0.0);
        assert_eq!(run(&mut adapter, Policy::Hard), global);
        assert_eq!(run(&mut adapter, Policy::Soft), run(&mut adapter, Policy::Fixed(0.5)));
    }
}

/// T4, T13: what is decided about a text depends neither on its neighbours nor on its answer.
#[test]
fn routes_depend_on_the_prompt_alone() {
    for (data, kind, routing) in all_ways() {
        let spec = spec_of(kind, routing);
        let adapter = two(&spec);
        let mut session = session_of(2, data, &spec, Cut { tangents: 0, examples: 4 });
        let together = losses(&mut session, &adapter, data, &IDS);
        let shares = session.shares().to_vec();
        let blocks = shares.len() / IDS.len();
        assert_eq!(blocks, 2);
        for (e, id) in IDS.into_iter().enumerate() {
            assert_eq!(losses(&mut session, &adapter, data, &[id]), [together[e]]);
            let alone: Vec<f32> = (0..blocks).map(|b| shares[b * IDS.len() + e]).collect();
            assert_eq!(session.shares(), alone);
        }
        assert!(shares.iter().all(|q| (0.0..=1.0).contains(q)));
        let differ = shares[..IDS.len()].windows(2).any(|w| w[0] != w[1]);
        assert_eq!(differ, routing.sees != Sees::Nothing, "{kind:?}, {routing:?}: {shares:?}");
    }
}

/// ⟨gradient, v⟩ is what forward passes find along v, for each group; no cut and no thread changes a bit of it.
#[test]
fn gradients_are_those_of_all_derivatives() {
    const K: usize = 12;
    for (data, kind, routing) in all_ways() {
        let spec = spec_of(kind, routing);
        let mut adapter = two(&spec);
        let mut back = session_of(2, data, &spec, Cut { tangents: 0, examples: 4 });
        let mut dual = session(ctx(2), data, &spec, Cut { tangents: K, examples: 4 }, None);
        for group in GROUPS {
            let g = gradient(&Reverse, &mut back, &mut adapter, (data, 4), group);
            let tensors = adapter.group_tensors(group);
            let forward = forward(Family::Gaussian, Sharing::Shared, K);
            let all = forward.directions(&tensors, Iteration::of_step(3));
            let (mut outcomes, mut slopes) = ([Outcome::default(); 4], [0.0f32; 4 * K]);
            let probe = Probe { directions: &all, tangents: K, first_example: 0 };
            dual.run(Some(&adapter), Some(probe), Minibatch::new(data, &IDS), &mut outcomes, &mut slopes)
                .unwrap();
            let rows: f64 = outcomes.iter().map(|o| f64::from(o.rows)).sum();
            let (mut error, mut size) = (0.0, 0.0);
            for k in 0..K {
                let weigh = |e: usize| f64::from(slopes[e * K + k]) * f64::from(outcomes[e].rows) / rows;
                let expected: f64 = (0..4).map(weigh).sum();
                let mut v = vec![0.0f32; g.len()];
                for tensor in &tensors {
                    all.accumulate(k, 0, tensor, 1.0, &mut v[tensor.range.clone()]);
                }
                let along: f64 = g.iter().zip(&v).map(|(g, v)| f64::from(*g) * f64::from(*v)).sum();
                error += (along - expected).powi(2);
                size += expected.powi(2);
            }
            let error = (error / size).sqrt();
            assert!(size > 0.0 && error < 2e-5, "{kind:?}, {routing:?}, {group:?}: {error:e}");
            let mut single = session_of(1, data, &spec, Cut { tangents: 0, examples: 1 });
            let cut = gradient(&Reverse, &mut single, &mut adapter, (data, 1), group);
            assert!(bits(&cut) == bits(&g), "{kind:?}, {routing:?}, {group:?}: other bits");
        }
    }
}

/// T9: the loss moves as its derivatives say; with `follows` off, as if routers had decided before.
#[test]
fn gradients_are_those_of_differences() {
    for (data, routing) in
        [(&WORLD.lm, routing(Sees::Block, Pool::Prefix)), (&WORLD.label, routing(Sees::Block, Pool::Prompt))]
    {
        let spec = spec_of(Kind::Lora, routing);
        let mut adapter = two(&spec);
        let mut session = session_of(2, data, &spec, Cut { tangents: 0, examples: 4 });
        for group in GROUPS {
            let g = gradient(&Reverse, &mut session, &mut adapter, (data, 4), group);
            let norm = g.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
            let (range, kept) = (adapter.range(group), adapter.values().to_vec());
            let mut at = |h: f64| {
                let values = &mut adapter.values_mut()[range.clone()];
                for ((v, kept), g) in values.iter_mut().zip(&kept[range.clone()]).zip(&g) {
                    *v = (f64::from(*kept) + h * f64::from(*g) / norm) as f32;
                }
                let mut outcomes = [Outcome::default(); 4];
                session
                    .run(Some(&adapter), None, Minibatch::new(data, &IDS), &mut outcomes, &mut [])
                    .unwrap();
                let rows: f64 = outcomes.iter().map(|o| f64::from(o.rows)).sum();
                outcomes.iter().map(|o| o.loss * f64::from(o.rows)).sum::<f64>() / rows
            };
            let h = 2e-2;
            let slope = (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h);
            adapter.values_mut().copy_from_slice(&kept);
            assert!((slope / norm - 1.0).abs() < 2e-3, "{routing:?}, {group:?}: {slope} for {norm}");
        }
    }
}

/// T7: one logit at a time gives the router's gradient, regulariser and all; however it is cut.
#[test]
fn logits_moved_one_by_one_give_the_gradient() {
    for sees in Sees::ALL {
        let (data, routing) = (&WORLD.label, routing(sees, Pool::Prompt));
        let spec = spec_of(Kind::BOnly, routing);
        let mut adapter = two(&spec);
        for gamma in [0.0, 0.7] {
            let mut back = session_of(2, data, &spec, Cut { tangents: 0, examples: 4 });
            back.hold(gamma, 2);
            let want = gradient(&Reverse, &mut back, &mut adapter, (data, 4), Group::Router);
            let exact = Gates { patterns: Patterns::OneByOne, tangents: 2, gamma, run_key: [1, 2] };
            let mut dual = session_of(2, data, &spec, Cut { tangents: 2, examples: 4 });
            let found = gradient(&exact, &mut dual, &mut adapter, (data, 4), Group::Router);
            let apart = apart(&found, &want);
            assert!(apart < 1e-4, "{sees}, gamma {gamma}: {apart:e}");
            let cut = gradient(&exact, &mut dual, &mut adapter, (data, 3), Group::Router);
            assert!(super::flow::apart(&cut, &found) < 1e-5);
            assert_eq!(adapter.group(), Group::Router);
        }
    }
    let spec = spec_of(Kind::BOnly, routing(Sees::Block, Pool::Prefix));
    let mut adapter = two(&spec);
    let gates = Gates { patterns: Patterns::Signs, tangents: 2, gamma: 0.0, run_key: [1, 2] };
    let mut session = session_of(1, &WORLD.label, &spec, Cut { tangents: 2, examples: 4 });
    adapter.train(Group::Router);
    let tensors = adapter.group_tensors(Group::Router);
    let step = StepInput {
        batch: Minibatch::new(&WORLD.label, &IDS),
        cut: Cut { tangents: 2, examples: 4 },
        tensors: &tensors,
        at: Iteration::of_step(0),
        last: &[],
        guard: &mut Guard::default(),
    };
    let mut scalars = Scalars::new(&gates.needs(), 4, 0);
    let mut found = vec![0.0; adapter.range(Group::Router).len()];
    let refused = gates.gradient(&mut session, &mut adapter, step, &mut scalars, &mut found).unwrap_err();
    assert!(refused.to_string().contains("every position"), "{refused}");
}

/// T7, T8: random signs give the gradient on average, with the variance of the specification's 6.5.
#[test]
fn random_signs_are_unbiased_with_the_stated_variance() {
    const DRAWS: u32 = 4000;
    let (data, routing) = (&WORLD.label, routing(Sees::Nothing, Pool::Prompt));
    let spec = spec_of(Kind::BOnly, routing);
    let mut adapter = two(&spec);
    let mut session = session_of(2, data, &spec, Cut { tangents: 2, examples: 4 });
    let exact = Gates { patterns: Patterns::OneByOne, tangents: 2, gamma: 0.0, run_key: [1, 2] };
    let signs = Gates { patterns: Patterns::Signs, tangents: 1, ..exact };
    let want = gradient(&exact, &mut session, &mut adapter, (data, 4), Group::Router);
    // df/dz of each example and block, one by one.
    let slopes: Vec<[f64; 2]> = IDS
        .iter()
        .map(|id| {
            let tensors = adapter.group_tensors(Group::Router);
            let step = StepInput {
                batch: Minibatch::new(data, std::slice::from_ref(id)),
                cut: Cut { tangents: 2, examples: 1 },
                tensors: &tensors,
                at: Iteration::of_step(0),
                last: &[],
                guard: &mut Guard::default(),
            };
            let (mut scalars, mut g) = (Scalars::new(&exact.needs(), 1, 0), [0.0f32; 2]);
            exact.gradient(&mut session, &mut adapter, step, &mut scalars, &mut g).unwrap();
            g.map(f64::from)
        })
        .collect();
    // Without features |φ| of each block is its 1: the sum over j of the squares of the others.
    let stated: f64 = slopes.iter().map(|[a, b]| a * a + b * b).sum::<f64>() / 16.0;
    let (mut mean, mut spread) = ([0.0; 2], 0.0);
    let tensors = adapter.group_tensors(Group::Router);
    let mut guard = Guard::default();
    for number in 0..DRAWS {
        let step = StepInput {
            batch: Minibatch::new(data, &IDS),
            cut: Cut { tangents: 1, examples: 4 },
            tensors: &tensors,
            at: Iteration { round: 0, number, device: 0 },
            last: &[],
            guard: &mut guard,
        };
        let (mut scalars, mut g) = (Scalars::new(&signs.needs(), 4, 0), [0.0f32; 2]);
        signs.gradient(&mut session, &mut adapter, step, &mut scalars, &mut g).unwrap();
        for (i, g) in g.into_iter().enumerate() {
            mean[i] += f64::from(g) / f64::from(DRAWS);
            spread += (f64::from(g) - f64::from(want[i])).powi(2) / f64::from(DRAWS);
        }
    }
    assert!((spread / stated - 1.0).abs() < 0.05, "variance {spread:e}, stated {stated:e}");
    let off = mean.iter().zip(&want).map(|(m, w)| (m - f64::from(*w)).powi(2)).sum::<f64>();
    assert!(off < 9.0 * stated / f64::from(DRAWS), "bias {off:e}, deviation {:e}", stated / f64::from(DRAWS));
}

/// T11: a round moves the local adapter first and alone, then router and global one, and never what is frozen; whoever serves
/// leaves the global one.
#[test]
fn a_round_moves_what_it_should() {
    let (data, routing) = (&WORLD.label, routing(Sees::Block, Pool::Prompt));
    let spec = spec_of(Kind::BOnly, routing);
    let descent = |lr| Descent { rule: ADAMW, lr };
    for (router, global_loss) in [
        (RouterBy::Reverse, GlobalLoss::Mixture),
        (RouterBy::OneByOne, GlobalLoss::Both),
        (RouterBy::Signs, GlobalLoss::Pure),
    ] {
        let rules = FlowRules {
            local_epochs: 2,
            shared_epochs: 1,
            batch: 2,
            gamma: 1e-3,
            global_loss,
            adapters: Method::Reverse,
            router,
            tangents: 2,
            local: descent(0.01),
            global: descent(0.01),
            routing: descent(0.1),
            run_key: run_key(3),
        };
        for global in [true, false] {
            let mut adapter = two(&spec);
            let mut session = session_of(2, data, &spec, Cut { tangents: 2, examples: 2 });
            let task = FlowTask { round: 1, number: 2, seed: 5, global };
            let ids: Vec<usize> = (0..data.len()).collect();
            let mut round = FlowRound::new(rules, &mut adapter, data, &ids, task).unwrap();
            assert_eq!(round.shared_examples(), 4);
            let part = |adapter: &Adapter, group| adapter.values()[adapter.range(group)].to_vec();
            assert!(part(&adapter, Group::Local) == part(&adapter, Group::Global));
            let (mut steps, mut moved) = (0, [0; 3]);
            loop {
                let before = GROUPS.map(|group| part(&adapter, group));
                let cut = Cut { tangents: 2, examples: 2 };
                let Some((phase, loss)) =
                    round.step(&mut session, &mut adapter, cut, &mut Guard::default()).unwrap()
                else {
                    break;
                };
                steps += 1;
                assert!(loss.is_finite());
                let after = GROUPS.map(|group| part(&adapter, group));
                let place = match phase {
                    Phase::Global => 0,
                    Phase::Local => 1,
                    Phase::Router => 2,
                };
                assert!(
                    phase == Phase::Local || moved[1] == 4,
                    "{phase:?} before the local adapter was done"
                );
                moved[place] += 1;
                for (i, (before, after)) in before.iter().zip(&after).enumerate() {
                    assert_eq!(before != after, i == place, "{phase:?} moved group {i}");
                }
            }
            let both = if global_loss == GlobalLoss::Both { 4 } else { 2 };
            assert_eq!((steps, moved), (round.steps(), [if global { both } else { 0 }, 4, 2]));
            assert_eq!(adapter.policy(), Policy::Soft);
        }
        // A lone example has no local adapter: the global one learns from it.
        let mut adapter = two(&spec);
        let mut session = session_of(2, data, &spec, Cut { tangents: 2, examples: 2 });
        let task = FlowTask { round: 1, number: 2, seed: 5, global: true };
        let mut round = FlowRound::new(rules, &mut adapter, data, &[3], task).unwrap();
        let cut = Cut { tangents: 2, examples: 2 };
        let found = round.step(&mut session, &mut adapter, cut, &mut Guard::default()).unwrap();
        assert!(matches!(found, Some((Phase::Global, _))) && round.steps() == 1);
        assert!(round.step(&mut session, &mut adapter, cut, &mut Guard::default()).unwrap().is_none());
        assert_eq!(adapter.policy(), Policy::Global);
    }
    assert!(matches!(data.example(0).target, Target::Label { .. }));
}
