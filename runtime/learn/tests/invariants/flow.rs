//! Two adapters and their routers (specification of Flow, section 7): one answers as if it were alone, derivatives are
//! derivatives whichever way they run, and a device's round moves what it should.

use super::world::*;
use sprig_engine::adapter::{Adapter, AdapterSpec, Group, Kind, Policy, Routing, Sees};
use sprig_engine::dual::{Pool, Probe};
use sprig_engine::model::PassLayout;
use sprig_learn::data::DataSet;
use sprig_learn::directions::{Family, Sharing};
use sprig_learn::estimator::{
    Cut, Estimator, Iteration, Needs, Reverse, ScalarEstimator, Scalars, StepInput,
};
use sprig_learn::guard::Guard;
use sprig_learn::minibatch::Minibatch;
use sprig_learn::outcome::Outcome;
use sprig_learn::session::Session;
use sprig_learn::workload::Workload;

pub const IDS: [usize; 4] = [0, 3, 5, 6];
pub const GROUPS: [Group; 3] = [Group::Global, Group::Local, Group::Router];

pub fn routing(sees: Sees, pool: Pool) -> Routing {
    Routing { sees, pool, follows: true }
}

pub fn spec_of(kind: Kind, routing: Routing) -> AdapterSpec {
    AdapterSpec { routing: Some(routing), ..spec(kind, 1..3) }
}

/// Two adapters in mid-training, whose routers decide in some way.
pub fn two(spec: &AdapterSpec) -> Adapter {
    let mut adapter = adapter(spec);
    adapter.follow(Policy::Soft);
    adapter
}

/// A session for passes of four examples either way.
pub fn session_of(threads: usize, data: &DataSet, spec: &AdapterSpec, cut: Cut) -> Session<'static> {
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
    // A mean over what stands before does not go on from a prompt that branches share.
    let branching =
        |(data, _, r): &(&DataSet, Kind, Routing)| std::ptr::eq(*data, &WORLD.pair) && r.pool == Pool::Prefix;
    objectives().into_iter().flat_map(kinds).filter(move |way| !branching(way))
}

/// Losses of the examples.
fn losses(session: &mut Session<'_>, adapter: &Adapter, data: &DataSet, ids: &[usize]) -> Vec<f64> {
    let mut outcomes = vec![Outcome::default(); ids.len()];
    session.run(Some(adapter), None, Minibatch::new(data, ids), &mut outcomes, &mut []).unwrap();
    outcomes.iter().map(|o| o.loss).collect()
}

/// The gradient of a group by `estimator`.
pub fn gradient(
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
        noise: None,
    };
    estimator.gradient(session, adapter, step, &mut scalars, &mut found).unwrap();
    found
}

pub fn apart(a: &[f32], b: &[f32]) -> f64 {
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
        assert!(far < 4e-6, "{kind:?}, {routing:?}: {far:e}");
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

/// Blocks above the adapted ones have no routers, and take nothing from what those below decided.
#[test]
fn shares_of_lower_blocks_are_told_at_the_end() {
    let data = &WORLD.label;
    let spec = AdapterSpec { layers: 0..2, ..spec_of(Kind::BOnly, routing(Sees::Block, Pool::Prompt)) };
    let adapter = two(&spec);
    let mut session = session_of(2, data, &spec, Cut { tangents: 2, examples: 4 });
    losses(&mut session, &adapter, data, &IDS);
    assert_eq!(session.shares().len(), 2 * IDS.len());
    assert_eq!(session.mean_shares().len(), 2);
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
