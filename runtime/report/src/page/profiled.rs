//! A profile as a board writes it: the fixture of the report's tests.

use super::sample;
use crate::profile::{Board, Condition, Heat, Outcome, Point, Profile, Ran, Setting, VERSION};
use sprig_budget::{Bytes, Sample};

/// Two settings that ran, one that was refused and one that failed.
pub(crate) fn profile() -> Profile {
    let run = sample::record();
    let ran = |times: f64| {
        let mut speed = run.speed.clone();
        speed.step_ms_median *= times;
        Outcome::Ran(Box::new(Ran {
            estimator: "forward".into(),
            rank: 8,
            plan: run.plan.clone(),
            measured: run.measured.clone(),
            speed,
            steps: 3,
            threads: 4,
            isa: "neon".into(),
        }))
    };
    let failed = Outcome::Failed { exit: Some(8), why: "a <b> went wrong".into() };
    Profile {
        profile_version: VERSION,
        sprig_version: "0.1.0".into(),
        commit: None,
        command: "sprig profile --model m.gguf --budget 300MiB --sweep".into(),
        started: run.started,
        ended: run.ended,
        budget: run.plan.budget,
        task: "lm".into(),
        steps: 3,
        model_file: "m.gguf".into(),
        model: Some(run.model.clone()),
        board: Board {
            name: "raspberry-pi-4b-2gb".into(),
            title: "Raspberry Pi 4 Model B".into(),
            throttles_at: Some(80),
            machine: run.machine.clone(),
        },
        also: Vec::new(),
        points: vec![
            point(0, 128, 4, ran(1.0)),
            point(1, 64, 1, ran(0.25)),
            point(2, 512, 8, Outcome::Refused { smallest_budget: Bytes::mib(512) }),
            point(3, 256, 8, failed),
        ],
    }
}

fn point(n: u64, len: u32, batch: u32, outcome: Outcome) -> Point {
    let warm = |celsius: f64, causes: &[&str]| Condition {
        celsius: Some(celsius),
        clock_khz: Some(1_500_000),
        clock_most_khz: Some(1_800_000),
        held_back: Some(causes.iter().map(|cause| (*cause).to_owned()).collect()),
        was_held_back: Some(vec!["under-voltage".into()]),
    };
    let sample = |i: u64| Sample { ms: 500 * i, heap: Bytes::ZERO, rss: Bytes::mib(20 + 30 * i), step: 0 };
    let (weights, rank, tangents) = ("resident".to_owned(), Some(8), Some(4));
    Point {
        setting: Setting { estimator: "forward".into(), len, batch, tangents, rank, weights },
        outcome,
        at_s: 10.0 * n as f64,
        took_s: 8.5,
        heat: Heat { before: warm(48.0, &[]), after: warm(66.25, &["throttled"]), hottest: Some(71.5) },
        timeline: (0..6).map(sample).collect(),
    }
}
