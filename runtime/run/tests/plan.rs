//! What a plan is, whatever the process: a function of its inputs, and guards that go with it.

#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use proptest::prelude::*;
use sprig_budget::{Bytes, Kind as Memory, Machine, process};
use sprig_engine::adapter::{AdapterSpec, Kind};
use sprig_engine::gguf::{Mapped, Synthetic};
use sprig_engine::model::Module;
use sprig_learn::LearnError;
use sprig_learn::data::Task;
use sprig_learn::estimator::Forward;
use sprig_learn::objective::{LabelLoss, of_task};
use sprig_learn::optimiser::Rule;
use sprig_learn::planner::{Fitted, plan};
use sprig_learn::workload::{Adapted, Means, Residency, Workload};
use sprig_run::Base;

fn base() -> Base<'static> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    Synthetic::tiny().write_atomic(&path).unwrap();
    Base::open(Box::leak(Box::new(Mapped::open(path).unwrap()))).unwrap()
}

/// Work of every kind.
fn work() -> impl Strategy<Value = Workload> {
    let residency = prop_oneof![Just(Residency::Auto), Just(Residency::Resident), Just(Residency::Streamed)];
    let kind = prop_oneof![Just(Kind::Lora), Just(Kind::BOnly), Just(Kind::Xs), Just(Kind::XsSeeded)];
    let task = prop_oneof![Just(Task::Lm), Just(Task::Label), Just(Task::Choice)];
    let loss = prop_oneof![Just(LabelLoss::Full), Just(LabelLoss::Labels)];
    (residency, kind, task, loss, 0..3, 1usize..9, 2usize..100, 1usize..5, 1usize..5).prop_map(
        |(residency, kind, task, loss, what, batch, length, tangents, threads)| {
            let (means, objective) = (Means { threads, residency }, of_task(task, loss));
            let spec = AdapterSpec {
                kind,
                rank: tangents,
                alpha: 1.0,
                targets: vec![Module::Q],
                layers: 1..3,
                kept: Vec::new(),
                routing: None,
            };
            let read = Adapted::Read {
                rank: batch,
                bytes: Bytes::kib(length as u64),
                loading: Bytes::ZERO,
                routes: None,
            };
            match what {
                0 => {
                    let (needs, rule) = (Forward::needs_for(tangents), Some(Rule::Sgd { momentum: 0.9 }));
                    Workload::training(objective, spec, batch, needs, rule, means).foreseen(task, length)
                }
                1 => Workload::evaluation(objective, read, batch, means).foreseen(task, length),
                _ => Workload::generation(read, length, means),
            }
        },
    )
}

proptest! {
    /// The process that asks has no part in it: heap taken, guards set and threads started in between change nothing.
    #[test]
    fn the_same_work_machine_and_budget_give_the_same_plan(
        work in work(),
        budget in 1u64..200,
        limit in proptest::option::of(1u64..1000),
    ) {
        let (base, budget) = (base(), Bytes::mib(budget));
        let machine = Machine { limit: limit.map(Bytes::mib), ..base.machine };
        let model = base.size().unwrap();
        let ask = || plan(&model, &work, &machine, budget).map(|fitted| (fitted.tuning, fitted.plan));
        let first = ask();
        let held = vec![1u8; 1 << 20];
        let guarded = base.plan(work.clone(), Bytes::mib(1 << 20), None).unwrap();
        let second = std::thread::scope(|scope| scope.spawn(ask).join().unwrap());
        prop_assert_eq!(held.len(), 1 << 20);
        drop(guarded);
        match (first, second) {
            (Ok(first), Ok(second)) => prop_assert_eq!(first, second),
            (Err(first), Err(second)) => prop_assert_eq!(first.to_string(), second.to_string()),
            (first, second) => prop_assert!(false, "{first:?}, then {second:?}"),
        }
    }

    /// What a plan lists fits, or the refusal names what would; and a control group only ever adds its share.
    #[test]
    fn a_refusal_names_a_budget_that_does(work in work()) {
        let base = base();
        let model = base.size().unwrap();
        let alone = Machine { limit: None, ..base.machine };
        let grouped = Machine { limit: Some(Bytes::mib(64)), ..base.machine };
        let smallest = |machine: &Machine| {
            plan(&model, &work, machine, Bytes(u64::MAX)).unwrap().plan.smallest_budget
        };
        let (least, most) = (smallest(&alone), smallest(&grouped));
        prop_assert_eq!(most.0 - least.0, grouped.group().unwrap().0);
        prop_assert!(plan(&model, &work, &alone, least).unwrap().plan.fits());
        prop_assert!(plan(&model, &work, &alone, Bytes(least.0 - 1)).is_err());
    }
}

#[test]
fn guards_are_set_with_a_plan_and_lifted_when_it_goes() {
    let before = process::data_limit();
    let base = base();
    let means = Means { threads: 1, residency: Residency::Auto };
    let work = Workload::generation(Adapted::Plain, 16, means);
    let first = base.plan(work.clone(), Bytes::mib(64), None).unwrap();
    let roomy = process::data_limit().unwrap();
    let heap = Bytes::mib(64).0 - first.plan.of_kind(Memory::Mapped).0;
    assert!(roomy.0 > heap && roomy.0 < 1 << 40, "{roomy}");
    // A newer plan's guards take the place of these, and outlive them.
    let second = base.plan(work.clone(), Bytes::mib(64), Some(Bytes::mib(1))).unwrap();
    let tight = process::data_limit().unwrap();
    assert!(tight < roomy);
    drop(first);
    assert_eq!(process::data_limit(), Some(tight));
    drop(second);
    assert_eq!(process::data_limit(), before);
    // What is refused is not guarded either.
    let refused = base.plan(work, Bytes::mib(1), None).unwrap_err();
    assert!(matches!(refused, sprig_run::RunError::Learn(LearnError::Budget(_))), "{refused}");
    assert_eq!(process::data_limit(), before);
}

#[test]
fn a_text_is_planned_with_its_keys_values_and_tokenizer() {
    let base = base();
    let means = Means { threads: 1, residency: Residency::Auto };
    let bytes = |length| {
        let work = Workload::generation(Adapted::Plain, length, means);
        let Fitted { plan, .. } = base.fit(&work, Bytes::mib(64)).unwrap();
        let bytes = |name: &str| plan.regions.iter().find(|r| r.name == name).unwrap().bytes;
        (bytes("keys and values"), bytes("tokenizer"))
    };
    let ((short, tokenizer), (long, same)) = (bytes(16), bytes(32));
    assert_eq!((2 * short.0, tokenizer), (long.0, same));
    assert!(tokenizer > Bytes::ZERO);
}
