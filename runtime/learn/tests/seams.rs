//! A new objective is a file and an estimator another: the objectives here, which the product does not have, and its
//! estimators by differences know nothing of session, planner and trainer but their interfaces, and run through all three.
// Nobody imports a test: `pub` is between its modules.
#![allow(unreachable_pub)]
#![allow(missing_docs, clippy::unwrap_used)] // helpers of tests may unwrap as tests do

#[path = "seams/objectives.rs"]
mod objectives;
#[path = "seams/preferences.rs"]
mod preferences;
#[allow(dead_code)] // shared with the other tests
#[path = "invariants/world.rs"]
mod world;

use objectives::{LabelAndMargin, Preference, Unknown};
use sprig_budget::{Bytes, Kind as Memory, Machine};
use sprig_engine::adapter::{Adapter, AdapterSpec, Kind};
use sprig_engine::dual::{Directions as _, Probe};
use sprig_engine::kernels::{Ctx, Isa};
use sprig_engine::model::PassLayout;
use sprig_learn::LearnError;
use sprig_learn::data::DataSet;
use sprig_learn::directions::{Family, Sharing, run_key};
use sprig_learn::dropout::Dropout;
use sprig_learn::estimator::{Cut, Differences, Estimator, Iteration, Needs, ScalarEstimator};
use sprig_learn::minibatch::Minibatch;
use sprig_learn::objective::{Answer, CausalLm, LabelLoss, Objective};
use sprig_learn::optimiser::{Decay, Schedule};
use sprig_learn::outcome::Outcome;
use sprig_learn::planner::plan;
use sprig_learn::prefix::{Origin, PrefixCache};
use sprig_learn::session::Session;
use sprig_learn::trainer::{Settings, Trainer};
use sprig_learn::workload::{Tuning, Workload};
use std::sync::Arc;
use world::*;

const IDS: [usize; 4] = [0, 3, 5, 6];
const K: usize = 6;
const CUT: Cut = Cut { tangents: K, examples: IDS.len() };

/// Losses of `objective` in passes of up to [`CUT`].
fn judging(objective: impl Objective + 'static, data: &DataSet, spec: &AdapterSpec) -> Session<'static> {
    session_of(Arc::new(objective), ctx(2), data, spec, CUT)
}

/// A session for passes of up to `cut` by `objective`.
fn session_of(
    objective: Arc<dyn Objective>,
    ctx: &'static Ctx,
    data: &DataSet,
    spec: &AdapterSpec,
    cut: Cut,
) -> Session<'static> {
    let needs = Needs { tangents: cut.tangents, ..Needs::NOTHING };
    let work = work(objective.clone(), data, spec, cut.examples, needs);
    let layout =
        PassLayout::new(WORLD.model.geometry(), Tuning::widest(&work).pass(WORLD.model.geometry(), &work));
    Session::new(&WORLD.model, ctx, work.room(layout), objective, None).unwrap()
}

fn work(
    objective: Arc<dyn Objective>,
    data: &DataSet,
    spec: &AdapterSpec,
    batch: usize,
    needs: Needs,
) -> Workload {
    Workload { objective, needs, ..workload(data, spec, batch, 1, 2) }
}

fn losses(session: &mut Session<'_>, adapter: &Adapter, data: &DataSet) -> Vec<Outcome> {
    let mut outcomes = vec![Outcome::default(); IDS.len()];
    session.run(Some(adapter), None, Minibatch::new(data, &IDS), &mut outcomes, &mut []).unwrap();
    outcomes
}

/// What a pass along directions calls derivatives of `objective` are those of its loss, part by part.
fn check_derivatives(objective: impl Objective + Clone + 'static, data: &DataSet) {
    let spec = spec(Kind::Lora, 0..3);
    let adapter = adapter(&spec);
    let (tensors, n) = (tensors(&adapter), adapter.values().len());
    let parts = objective.weights().len();
    let mut session = judging(objective, data, &spec);
    let all = forward(Family::Rademacher, Sharing::PerExample, K).directions(&tensors, Iteration::of_step(3));
    let (mut outcomes, mut found) = ([Outcome::default(); IDS.len()], [0.0f32; IDS.len() * K]);
    let probe = Probe { directions: &all, tangents: K, first_example: 0 };
    session.run(Some(&adapter), Some(probe), Minibatch::new(data, &IDS), &mut outcomes, &mut found).unwrap();
    let of_parts: Vec<f64> = session.parts().iter().map(|part| part.d).collect();
    assert_eq!(of_parts.len(), if parts > 1 { IDS.len() * K * parts } else { 0 });
    assert_eq!(losses(&mut session, &adapter, data), outcomes);
    let h = 0.02 / (n as f32).sqrt();
    let (mut error, mut size) = (0.0, 0.0);
    for (e, k) in (0..IDS.len()).flat_map(|e| (0..K).map(move |k| (e, k))) {
        let mut at = |step: f32| {
            let mut moved = adapter.clone();
            for tensor in &tensors {
                let values = &mut moved.values_mut()[tensor.range.clone()];
                let mut v = vec![0.0; values.len()];
                all.fill(k, e, tensor.id, &mut v);
                values.iter_mut().zip(v).for_each(|(w, v)| *w += step * v);
            }
            let loss = losses(&mut session, &moved, data)[e].loss;
            let part: Vec<f64> = session.parts().iter().map(|part| part.v).collect();
            (loss, part.get(e * parts..(e + 1) * parts).map(<[f64]>::to_vec).unwrap_or_default())
        };
        let [(far_below, _), (below, less), (above, more), (far_above, _)] =
            [-2.0 * h, -h, h, 2.0 * h].map(&mut at);
        let h = f64::from(h);
        let slope = (4.0 * (above - below) / (2.0 * h) - (far_above - far_below) / (4.0 * h)) / 3.0;
        error += (f64::from(found[e * K + k]) - slope).powi(2);
        size += slope.powi(2);
        for (p, (less, more)) in less.iter().zip(&more).enumerate() {
            let (found, slope) = (of_parts[(e * K + k) * parts + p], (more - less) / (2.0 * h));
            assert!((found - slope).abs() < 0.02 * (1.0 + slope.abs()), "part {p}: {found} and {slope}");
        }
    }
    let relative = (error / size).sqrt();
    println!("relative error {relative:.1e}");
    assert!(size > 1e-3 && relative < 1e-3, "{relative} of {size}");
}

/// Both sorts of what a pass gives, in two parts.
#[test]
fn an_objective_of_rows_and_candidates_has_its_derivatives() {
    check_derivatives(LabelAndMargin { weights: [0.5, 2.0] }, &WORLD.label);
}

/// The answer among all tokens, and among the candidates, from one and the same pass.
#[test]
fn answers_have_their_derivatives_by_either_loss() {
    for loss in [LabelLoss::Full, LabelLoss::Labels] {
        check_derivatives(Answer { loss }, &WORLD.label);
    }
}

/// A loss that is no sum over rows, of two sequences that do not see each other.
#[test]
fn an_objective_of_two_sequences_has_its_derivatives() {
    check_derivatives(Preference { beta: 0.1 }, &WORLD.lm);
}

/// A sequence of its own is what the same tokens are alone.
#[test]
fn sequences_of_an_example_do_not_see_each_other() {
    let (spec, data) = (spec(Kind::Lora, 0..3), &WORLD.lm);
    let adapter = adapter(&spec);
    let apart = losses(&mut judging(objectives::SecondHalf { alone: true }, data, &spec), &adapter, data);
    let within = losses(&mut judging(objectives::SecondHalf { alone: false }, data, &spec), &adapter, data);
    for e in 0..IDS.len() {
        assert_ne!(apart[e].loss, within[e].loss, "example {e}: what stands before is seen");
    }
    // The same tokens as the only ones of a pass.
    for (e, &id) in IDS.iter().enumerate() {
        let tokens = data.example(id).tokens;
        let alone = objectives::likelihood(&adapter, &tokens[tokens.len() / 2..]);
        assert_eq!(alone, apart[e].loss, "example {e}");
    }
}

/// Those served from the cache of the frozen prefix are as they were, sequence by sequence.
#[test]
fn sequences_come_from_the_prefix_cache_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let (spec, data, cut) = (spec(Kind::BOnly, 2..3), &WORLD.lm, Cut { tangents: 2, examples: 4 });
    let adapter = adapter(&spec);
    let (tensors, width) = (tensors(&adapter), WORLD.model.geometry().width);
    let all = forward(Family::Walsh, Sharing::PerExample, 2).directions(&tensors, Iteration::of_step(0));
    let needs = Needs { tangents: cut.tangents, ..Needs::NOTHING };
    let objective: Arc<dyn Objective> = Arc::new(Preference { beta: 0.1 });
    let work = work(objective.clone(), data, &spec, cut.examples, needs);
    let layout =
        PassLayout::new(WORLD.model.geometry(), Tuning::widest(&work).pass(WORLD.model.geometry(), &work));
    let run = |limit: Bytes, passes: &[&[usize]]| {
        let origin = Origin { model: "tiny", data: data.digest(), blocks: 2, width, isa: Isa::Scalar };
        let cache = PrefixCache::open(&dir.path().join("a.prefix"), limit, &origin, LENGTH);
        let mut session =
            Session::new(&WORLD.model, ctx(2), work.room(layout), objective.clone(), Some(cache)).unwrap();
        let mut found = Vec::new();
        for ids in passes {
            let (mut outcomes, mut slopes) = (vec![Outcome::default(); ids.len()], vec![0.0; 2 * ids.len()]);
            let probe = Probe { directions: &all, tangents: 2, first_example: 0 };
            let batch = Minibatch::new(data, ids);
            session.run(Some(&adapter), Some(probe), batch, &mut outcomes, &mut slopes).unwrap();
            found = outcomes
                .iter()
                .map(|o| o.loss.to_bits())
                .chain(bits(&slopes).into_iter().map(u64::from))
                .collect();
        }
        (found, session.prefix().unwrap().counts())
    };
    let (straight, _) = run(Bytes::ZERO, &[&IDS]);
    // Half of them held, then all.
    let (half, counts) = run(Bytes::mib(1), &[&IDS[1..3], &IDS]);
    assert_eq!((counts.hits, counts.misses), (2, 4));
    let (whole, counts) = run(Bytes::mib(1), &[&IDS]);
    assert_eq!((counts.hits, counts.misses), (4, 0));
    assert!(straight == half && straight == whole);
}

#[test]
fn answers_that_the_model_has_no_logits_of_are_refused() {
    let spec = spec(Kind::Lora, 0..3);
    let adapter = adapter(&spec);
    for unknown in [Unknown::Candidate, Unknown::Target] {
        let mut session = judging(unknown, &WORLD.label, &spec);
        let mut outcomes = [Outcome::default(); IDS.len()];
        let batch = Minibatch::new(&WORLD.label, &IDS);
        let refused = session.run(Some(&adapter), None, batch, &mut outcomes, &mut []).unwrap_err();
        assert!(matches!(refused, LearnError::Batch(_)), "{refused:?}");
        assert!(refused.to_string().contains("token id 300"), "{refused}");
    }
}

#[test]
fn records_of_another_task_are_refused() {
    let spec = spec(Kind::Lora, 0..3);
    let mut session = judging(CausalLm, &WORLD.label, &spec);
    let batch = Minibatch::new(&WORLD.label, &IDS);
    let refused = session.run(None, None, batch, &mut [Outcome::default(); 4], &mut []).unwrap_err();
    assert!(matches!(&refused, LearnError::Settings(why) if why.contains("task lm")), "{refused:?}");
}

/// A training by another estimator of another objective, planned as any other: nothing but the two names differs, and a
/// step fills the arena that was planned for them.
#[test]
fn both_are_planned_and_train() {
    let (spec, data, batch) = (spec(Kind::BOnly, 1..3), &WORLD.label, 8);
    let schedule = Schedule { peak: 0.02, warmup: 0, steps: 60, decay: Decay::Constant };
    let estimator = Differences { family: Family::Rademacher, pairs: 8, step: 1e-3, run_key: run_key(42) };
    let objective: Arc<dyn Objective> = Arc::new(LabelAndMargin { weights: [0.5, 1.0] });
    let work = work(objective.clone(), data, &spec, batch, estimator.needs());
    let machine = Machine { limit: None, ..Machine::measure() };
    let fitted = plan(&model_size(), &work, &machine, Bytes::mib(64)).unwrap();
    let planned: Bytes =
        fitted.plan.regions.iter().filter(|r| r.kind == Memory::Arena).map(|r| r.bytes).sum();
    let settings = Settings { estimator, rule: ADAMW, schedule, batch, dropout: Dropout::NONE, seed: 5 };
    let session = Session::new(&WORLD.model, ctx(2), work.room(fitted.layout), objective, None).unwrap();
    let mut trainer = Trainer::new(session, fresh_adapter(&spec), data, settings, fitted.tuning.cut).unwrap();
    let before = trainer.step().unwrap().loss;
    assert_eq!(trainer.session().0.arena_high_water(), (planned, planned));
    let after = (0..59).map(|_| trainer.step().unwrap().loss).last().unwrap();
    println!("{before} to {after}");
    assert!(after < 0.8 * before, "{before} to {after}");
}

/// Learnt over the whole vocabulary, a label is what the model says.
#[test]
fn answers_are_planned_and_said() {
    let (spec, data, batch) = (spec(Kind::Lora, 0..3), &WORLD.label, 8);
    let estimator = forward(Family::Walsh, Sharing::PerExample, 8);
    let schedule = Schedule { peak: 0.02, warmup: 0, steps: 100, decay: Decay::Constant };
    let objective: Arc<dyn Objective> = Arc::new(Answer { loss: LabelLoss::Full });
    let work = work(objective.clone(), data, &spec, batch, estimator.needs());
    let machine = Machine { limit: None, ..Machine::measure() };
    let fitted = plan(&model_size(), &work, &machine, Bytes::mib(64)).unwrap();
    let planned: Bytes =
        fitted.plan.regions.iter().filter(|r| r.kind == Memory::Arena).map(|r| r.bytes).sum();
    let settings = Settings { estimator, rule: ADAMW, schedule, batch, dropout: Dropout::NONE, seed: 5 };
    let session = Session::new(&WORLD.model, ctx(2), work.room(fitted.layout), objective, None).unwrap();
    let mut trainer = Trainer::new(session, fresh_adapter(&spec), data, settings, fitted.tuning.cut).unwrap();
    let before = trainer.judge(data.into(), |_| true).unwrap().unwrap();
    let first = trainer.step().unwrap().loss;
    assert_eq!(trainer.session().0.arena_high_water(), (planned, planned));
    assert!((first - before.loss).abs() < 1e-5, "{first} and {}", before.loss);
    (0..99).for_each(|_| assert!(trainer.step().is_ok()));
    let after = trainer.judge(data.into(), |_| true).unwrap().unwrap();
    println!("{before:?} to {after:?}");
    assert!(before.answered == Some(0.0) && after.answered > Some(0.6) && after.loss < 0.5 * before.loss);
}
