//! A record as a real run writes it: the fixture of the report's tests.

use crate::by_label::{ByLabel, Mistaken, OfLabel, Wrong};
use crate::record::*;
use sprig_budget::{Bytes, Kind, Plan, Region, Rung, Sample};

const STEPS: u64 = 240;

/// Twelve-minute mail classification in 300 MiB; the same record each time.
pub(crate) fn record() -> RunRecord {
    RunRecord {
        version: VERSION,
        sprig_version: "0.1.0".into(),
        command: "sprig train --model SmolLM2-135M-Instruct.Q4_1.gguf --data mail.train.jsonl --task label \
                  --eval-data mail.held-out.jsonl --steps 240 --batch 8 --len 128 --tangents 4 --rank 8 --targets q,v \
                  --layers 22..30 --lr 0.002 --seed 7 --budget 300MiB --threads 2 --out mail.gguf --run run.json"
            .into(),
        started: 1_763_826_900,
        ended: 1_763_827_612,
        seed: 7,
        task: "label".into(),
        model: model(),
        train_data: data("mail.train.jsonl", 1_920, 37),
        eval_data: Some(data("mail.held-out.jsonl", 600, 9)),
        adapter: Adapter {
            kind: "lora".into(),
            rank: 8,
            alpha: 16.0,
            targets: vec!["q".into(), "v".into()],
            layers: (22, 30),
            trainable: 122_880,
        },
        settings: settings(),
        plan: plan(),
        measured: measured(),
        timeline: (0..160).map(moment).collect(),
        steps: (0..STEPS).map(step).collect(),
        moves: vec![Moved { step: 17, plan: Bytes::mib(90), what: "2 examples a pass instead of 4".into() }],
        judged: (0..=12).map(|i| Judged { step: 20 * i, loss: (140 - 7 * i) as f64 / 100.0, accuracy: (30 + 4 * i) as f64 / 100.0 }).collect(),
        eval_before: Some(Evaluation { n: 600, loss: 1.4312, accuracy: Some(0.335), interval: Some((0.298, 0.374)), answered: Some(0.71), by_label: None }),
        eval_after: Some(Evaluation { n: 600, loss: 0.5127, accuracy: Some(0.842), interval: Some((0.810, 0.869)), answered: Some(0.995), by_label: Some(by_label()) }),
        speed: Speed {
            tokens_per_s: 364.2,
            step_ms_median: 2_804.0,
            step_ms_p95: 3_120.0,
            forward_ms_median: Some(742.0),
        },
        scalars: Scalars { total: 7_680, skipped: 2, clipped: 61 },
        prefix: Some(Prefix { hits: 5_759, misses: 1_921, corrupt: 1, error: None }),
        threads: 2,
        isa: "avx2+fma".into(),
        machine: Machine {
            cpu: "Intel Xeon Processor (Sapphire Rapids)".into(),
            cores: 2,
            ram: Bytes::mib(24_105),
            kernel: "Linux 6.18.44".into(),
        },
    }
}

pub(crate) fn by_label() -> ByLabel {
    let label = |label: &str, right, given| OfLabel {
        label: label.into(),
        n: 300,
        given,
        right,
        f1: 2.0 * right as f64 / (300 + given) as f64,
    };
    let mistaken = |label: &str, given: &str, n| Mistaken { label: label.into(), given: given.into(), n };
    ByLabel {
        labels: vec![label("film", 270, 335), label("news", 235, 265)],
        mistakes: vec![mistaken("news", "film", 65), mistaken("film", "news", 30)],
        macro_f1: 0.841,
        dearest: vec![Wrong { record: 17, label: "news".into(), given: "film".into(), loss: 4.25 }],
    }
}

fn plan() -> Plan {
    let kib = Bytes::kib;
    let mut plan = Plan::new(
        Bytes::mib(300),
        vec![
            Region::new("weights", Kind::Mapped, kib(96_056)).note("30 layers and head, resident"),
            Region::new("stacked activations", Kind::Arena, kib(38_912)).note("2 x 1024 rows"),
            Region::new("attention tiles", Kind::Arena, kib(6_144)),
            Region::new("weight panels", Kind::Arena, kib(4_608)).note("2 threads"),
            Region::new("head tiles", Kind::Arena, kib(9_216)).note("1024 of 49152 columns"),
            Region::new("prefix cache window", Kind::Arena, kib(4_608)),
            Region::new("adapters and optimiser", Kind::Heap, kib(1_440)),
            Region::new("examples", Kind::Heap, kib(2_210)),
            Region::new("code, stacks, allocator", Kind::Fixed, kib(9_800)),
        ],
    );
    plan.smallest_budget = Bytes::mib(57);
    plan.ladder.push(Rung {
        rung: "fewer tangents per pass".into(),
        why: "4 passes of 1 instead of 1 pass of 4".into(),
        time_factor: 1.58,
    });
    plan
}

fn measured() -> Measured {
    let kib = Bytes::kib;
    let measured = [
        ("weights", 95_300),
        ("stacked activations", 38_912),
        ("attention tiles", 6_144),
        ("weight panels", 4_608),
        ("head tiles", 9_216),
        ("prefix cache window", 4_608),
        ("adapters and optimiser", 1_440),
        ("examples", 2_385),
    ];
    Measured {
        peak_rss: kib(174_520),
        peak_heap: kib(69_700),
        mapped: kib(98_100),
        regions: measured.map(|(name, n)| (name.into(), kib(n))).into(),
    }
}

fn model() -> Model {
    Model {
        name: "SmolLM2-135M-Instruct".into(),
        sha256: "9f2c0d6f5a4be1c7706a1d1c52d1a5e6b8a3f70d94c2e6ab1f08c7de53b4a190".into(),
        bytes: Bytes(98_362_432),
        architecture: "llama".into(),
        quantisation: "Q4_1".into(),
        weights: 134_515_008,
        layers: 30,
        width: 576,
        heads: 9,
        kv_heads: 3,
        vocabulary: 49_152,
    }
}

fn data(name: &str, n: u64, cut: u64) -> DataSet {
    DataSet { name: name.into(), n, sha256: "41d7c3fa08be5d21".repeat(4), cut }
}

fn settings() -> Vec<(String, String)> {
    [
        ("estimator", "forward"),
        ("tangents", "4"),
        ("directions", "per-example"),
        ("optimiser", "adamw"),
        ("learning rate", "0.002"),
        ("warm-up", "20 steps"),
        ("decay", "cosine"),
        ("clip", "3 standard deviations"),
        ("batch", "8"),
        ("sequence length", "128 tokens"),
        ("steps", "240"),
    ]
    .map(|(name, value)| (name.into(), value.into()))
    .into()
}

/// A repeatable number in 0..1 for each `n`: the fractional part of a large sine.
fn noise(n: u64) -> f64 {
    (((n as f64 + 1.0) * 12.9898).sin() * 43_758.547).rem_euclid(1.0)
}

fn step(n: u64) -> Step {
    let at = n as f64 / STEPS as f64;
    // Short decimals: they read back as the same number, so records can be compared.
    let round = |value: f64, places: i32| (value * 10f64.powi(places)).round() / 10f64.powi(places);
    Step {
        step: n + 1,
        loss: round(0.45 + 0.98 * (-4.0 * at).exp() + 0.5 * (noise(n) - 0.5), 4),
        lr: round(0.002 * f64::min((n + 1) as f64 / 20.0, 0.5 + 0.5 * (std::f64::consts::PI * at).cos()), 9),
        ms: round(2_804.0 + 500.0 * (noise(n + 1000) - 0.5) + if n == 0 { 1_900.0 } else { 0.0 }, 1),
    }
}

fn moment(n: u64) -> Sample {
    let loading = (n as f64 / 6.0).min(1.0);
    Sample {
        ms: n * 4_450,
        heap: Bytes((loading * 70_200_000.0 + noise(n) * 800_000.0) as u64),
        rss: Bytes((11_000_000.0 + loading * 166_000_000.0 + noise(n + 7) * 1_100_000.0) as u64),
        step: n * STEPS / 160,
    }
}
