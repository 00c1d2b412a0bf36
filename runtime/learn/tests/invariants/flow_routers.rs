//! Routers learnt by their logits, and a device's round (specification of Flow, section 7).

use super::flow::*;
use super::world::*;
use sprig_engine::adapter::{Adapter, Group, Kind, Policy, Sees};
use sprig_engine::dual::Pool;
use sprig_learn::data::Target;
use sprig_learn::directions::run_key;
use sprig_learn::estimator::{Cut, Estimator, Iteration, Method, Reverse, Scalars, StepInput};
use sprig_learn::flow::{
    Descent, FlowRound, FlowRules, FlowTask, Gates, GlobalLoss, Patterns, Phase, RouterBy,
};
use sprig_learn::guard::Guard;
use sprig_learn::minibatch::Minibatch;

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
            let far = apart(&found, &want);
            assert!(far < 1e-4, "{sees}, gamma {gamma}: {far:e}");
            let cut = gradient(&exact, &mut dual, &mut adapter, (data, 3), Group::Router);
            assert!(apart(&cut, &found) < 1e-5);
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
        noise: None,
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
                noise: None,
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
            noise: None,
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
