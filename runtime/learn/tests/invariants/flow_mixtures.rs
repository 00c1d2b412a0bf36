//! Two adapters with a fixed share (specification of Flow, 5, 6.1 and 7): what is mixed are updates, and what trains of them is
//! what an ordinary adapter of the same sum would train.

use super::flow::{IDS, gradient, routing, session_of, spec_of, two};
use super::world::*;
use sprig_engine::adapter::{Adapter, AdapterSpec, Group, Kind, Policy, Sees};
use sprig_engine::dual::Pool;
use sprig_learn::data::DataSet;
use sprig_learn::estimator::{AnyEstimator, Cut, Iteration, Reverse, Scalars};
use sprig_learn::flow::{Batch, Descent, Stepper};
use sprig_learn::guard::Guard;
use sprig_learn::minibatch::Minibatch;
use sprig_learn::outcome::Outcome;
use sprig_learn::session::Session;

const WHOLE: Cut = Cut { tangents: 0, examples: 4 };

fn mixed(kind: Kind) -> AdapterSpec {
    spec_of(kind, routing(Sees::Nothing, Pool::Prompt))
}

fn loss(session: &mut Session<'_>, adapter: &Adapter, data: &DataSet) -> f64 {
    let mut outcomes = [Outcome::default(); IDS.len()];
    session.run(Some(adapter), None, Minibatch::new(data, &IDS), &mut outcomes, &mut []).unwrap();
    let rows: f64 = outcomes.iter().map(|o| f64::from(o.rows)).sum();
    outcomes.iter().map(|o| o.loss * f64::from(o.rows)).sum::<f64>() / rows
}

/// One adapter of twice the rank in place of two: of each layer the rows of `down` of two pairs below each other, their columns
/// of `up` beside each other.
fn stacked(two: &Adapter, mut pair: impl FnMut([&[f32]; 4]) -> [Vec<f32>; 4]) -> Adapter {
    let g = WORLD.model.geometry();
    let spec = AdapterSpec { rank: 4, alpha: 8.0, ..spec(Kind::Lora, 1..3) };
    let mut one = fresh_adapter(&spec);
    let half = two.range(Group::Global).len();
    let (global, local) = two.values()[..2 * half].split_at(half);
    let (mut from, mut to) = (0, 0);
    for place in spec.places() {
        let ((out, inp), r) = (place.module.shape(g), 2);
        let (a, b) = (from..from + r * inp, from + r * inp..from + r * (inp + out));
        from = b.end;
        let [a0, b0, a1, b1] = pair([&global[a.clone()], &global[b.clone()], &local[a], &local[b]]);
        let values = &mut one.values_mut()[to..to + 2 * r * (inp + out)];
        to += values.len();
        let (down, up) = values.split_at_mut(2 * r * inp);
        down.copy_from_slice(&[a0, a1].concat());
        for ((up, b0), b1) in up.chunks_exact_mut(2 * r).zip(b0.chunks_exact(r)).zip(b1.chunks_exact(r)) {
            up.copy_from_slice(&[b0, b1].concat());
        }
    }
    one
}

fn scaled(values: &[f32], by: f32) -> Vec<f32> {
    values.iter().map(|v| by * v).collect()
}

fn sum(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

/// T5: two pairs of factors with a share each are one pair of both.
#[test]
fn a_mixture_is_the_stacked_adapter() {
    for data in objectives() {
        let spec = mixed(Kind::Lora);
        let mut two = two(&spec);
        two.follow(Policy::Fixed(0.3));
        let mut session = session_of(2, data, &spec, WHOLE);
        let ours = loss(&mut session, &two, data);
        let one =
            stacked(&two, |[a0, b0, a1, b1]| [a0.to_vec(), scaled(b0, 0.3), a1.to_vec(), scaled(b1, 0.7)]);
        let mut wide =
            session_of(2, data, &AdapterSpec { rank: 4, ..super::world::spec(Kind::Lora, 1..3) }, WHOLE);
        let theirs = loss(&mut wide, &one, data);
        assert!((ours - theirs).abs() < 1e-5, "{ours} and {theirs}");
    }
}

/// T6: the mean of factors errs by −q0·q1·(B_g − B_l)(A_g − A_l); with one A it does not err.
#[test]
fn mixed_factors_err_by_their_difference() {
    const Q: f32 = 0.3;
    let data = &WORLD.label;
    let spec = mixed(Kind::Lora);
    let mut two = two(&spec);
    two.follow(Policy::Fixed(Q));
    let mut session = session_of(2, data, &spec, WHOLE);
    let ours = loss(&mut session, &two, data);
    let wide = AdapterSpec { rank: 4, ..super::world::spec(Kind::Lora, 1..3) };
    let mut wide = session_of(2, data, &wide, WHOLE);
    let mean = |a: &[f32], b: &[f32]| sum(&scaled(a, Q), &scaled(b, 1.0 - Q));
    let less = |a: &[f32], b: &[f32]| sum(a, &scaled(b, -1.0));
    let factors = |share: f32| {
        move |[a0, b0, a1, b1]: [&[f32]; 4]| {
            [mean(a0, a1), mean(b0, b1), less(a0, a1), scaled(&less(b0, b1), share)]
        }
    };
    let whole = loss(&mut wide, &stacked(&two, factors(Q * (1.0 - Q))), data);
    let short = loss(&mut wide, &stacked(&two, factors(0.0)), data);
    assert!((ours - whole).abs() < 1e-5, "{ours} and {whole}");
    assert!((ours - short).abs() > 1e-4, "the test cannot tell them apart: {ours} and {short}");
    // With one frozen A, the mean of the Bs is the whole of it.
    let spec = mixed(Kind::BOnly);
    let mut two = super::flow::two(&spec);
    two.follow(Policy::Fixed(Q));
    let mut session = session_of(2, data, &spec, WHOLE);
    let ours = loss(&mut session, &two, data);
    let [global, local] = [Group::Global, Group::Local].map(|group| two.values()[two.range(group)].to_vec());
    let range = two.range(Group::Global);
    two.values_mut()[range].copy_from_slice(&mean(&global, &local));
    two.follow(Policy::Global);
    let theirs = loss(&mut session, &two, data);
    assert!((ours - theirs).abs() < 1e-6, "{ours} and {theirs}");
}

/// T14: the step of APFL's own adapter v is that of f(α·v + (1 − α)·w) in v, with the factor α in it.
#[test]
fn an_own_adapter_in_a_mixture_steps_by_its_part() {
    const ALPHA: f32 = 0.25;
    let data = &WORLD.lm;
    let spec = mixed(Kind::BOnly);
    let mut adapter = two(&spec);
    adapter.follow(Policy::Fixed(1.0 - ALPHA));
    let mut session = session_of(2, data, &spec, WHOLE);
    let g = gradient(&Reverse, &mut session, &mut adapter, (data, 4), Group::Local);
    let norm = g.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
    let (range, kept) = (adapter.range(Group::Local), adapter.values().to_vec());
    let mut at = |h: f64| {
        for ((v, kept), g) in adapter.values_mut()[range.clone()].iter_mut().zip(&kept[range.clone()]).zip(&g)
        {
            *v = (f64::from(*kept) + h * f64::from(*g) / norm) as f32;
        }
        loss(&mut session, &adapter, data)
    };
    let h = 2e-2;
    let slope = (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h);
    assert!((slope / norm - 1.0).abs() < 2e-3, "{slope} for {norm}");
}

/// T15: with a fixed share of 1, the global adapter's steps are those of averaging over the same examples, bit for bit; a local
/// adapter beside it changes nothing.
#[test]
fn a_share_of_one_is_averaging() {
    for (data, kind) in objectives().into_iter().flat_map(|d| KINDS.map(|k| (d, k))) {
        let spec = mixed(kind);
        let ended = |policy: Policy| {
            let mut adapter = two(&spec);
            let mut session = session_of(2, data, &spec, WHOLE);
            let mut stepper = Stepper::new(&adapter, Group::Global, Descent { rule: ADAMW, lr: 0.02 });
            let (mut scalars, mut guard) =
                (Scalars::new(&sprig_learn::estimator::Needs::NOTHING, 4, 0), Guard::default());
            for step in 0..3 {
                let batch = Batch {
                    examples: Minibatch::new(data, &IDS),
                    cut: WHOLE,
                    at: Iteration::of_step(step),
                    policy,
                };
                let place = (&mut session, &mut adapter);
                let estimator = AnyEstimator::Reverse(Reverse);
                stepper.step(&estimator, place, batch, (&mut scalars, &mut guard), |_, _| ()).unwrap();
            }
            bits(&adapter.values()[adapter.range(Group::Global)])
        };
        let averaged = ended(Policy::Global);
        assert!(ended(Policy::Fixed(1.0)) == averaged, "{kind:?}");
        assert!(ended(Policy::Fixed(0.5)) != averaged, "{kind:?}: the share has no effect");
    }
}
