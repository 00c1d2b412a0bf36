//! From measurements to rows: the one place that says what each figure is held to.

use super::measure::Measured;
use super::peers::Torch;
use super::round::Round;
use super::row::{Row, Stat};
use super::work::Personal;
use super::{scale, shapes};
use crate::sprig::Done;

const MIB: f64 = 1_048_576.0;

/// SmolLM2: weights of all matrices but the embedding, which is the head too; width; blocks; tokens it knows.
const BODY: f64 = 106_168_320.0;
const WIDTH: f64 = 576.0;
const BLOCKS: f64 = 30.0;
const VOCABULARY: f64 = 49_152.0;

/// The table, by its parts.
pub fn rows(measured: &Measured) -> Vec<Row> {
    let mut rows = training(measured);
    rows.extend(memory(measured));
    rows.extend(inference(measured));
    rows.extend(shapes::rows(&measured.shaped));
    rows.extend(scale::rows(&measured.scaled));
    rows
}

/// Floating-point operations of a Plain forward pass of `batch` sequences of `len` tokens with the language-model
/// loss: two a weight and token in the body, two a weight of the head for each token that has a next one, and four
/// a feature of each causal pair of tokens in attention. Norms, activations and the adapter are left out.
pub fn forward_flop(batch: f64, len: f64) -> f64 {
    let pairs = len * (len + 1.0) / 2.0;
    batch * (2.0 * BODY * len + 2.0 * WIDTH * VOCABULARY * (len - 1.0) + 4.0 * WIDTH * BLOCKS * pairs)
}

fn training(measured: &Measured) -> Vec<Row> {
    let part = "Speed of training";
    let step = forward_step;
    let forward =
        |round: &Round| round.training.get(&1).and_then(|done| done.forward_ms_median).unwrap_or(f64::NAN);
    let over = |figure: &dyn Fn(&Round) -> f64| Stat::over(measured.rounds.iter().map(figure));
    let row = |name: &str, how: &str, stat, unit| Row::new(part, name, how, stat, unit);

    let mut rows = vec![
        row("Plain forward pass", "8 × 64 tokens, with the loss", over(&|r| forward(r) / 1e3), "s"),
        row("One step, K = 1", "8 × 64 tokens", over(&|r| step(r, 1) / 1e3), "s"),
        row("One step against the forward pass", "", over(&|r| step(r, 1) / forward(r)), "×").at_most(2.2),
    ];
    for k in [2, 4, 8] {
        let marginal = over(&|r| (step(r, k) - step(r, 1)) / f64::from(k - 1) / forward(r));
        let how = "(step of K − step of one) / (K − 1) / forward pass";
        rows.push(row(&format!("A further tangent, K = {k}"), how, marginal, "forwards").at_most(1.0));
    }
    let flop = forward_flop(8.0, 64.0);
    let how = format!(
        "{:.1} GFLOP (2 a weight and token, head on 63 of 64 tokens, 4 a feature and causal pair) against the best \
         f32 product of the gemm crate, measured beside it, {:.0} GFLOP/s",
        flop * 1e-9,
        over(&|r| r.machine.product_gflops).median
    );
    let share = over(&|r| 100.0 * flop / (forward(r) * 1e6) / r.machine.product_gflops);
    let share = row("Forward pass against a plain f32 product", &how, share, "%");
    // Where llama.cpp is at hand, it is the judge.
    let has_llama_cpp = measured.rounds.iter().all(|round| round.llama_cpp.is_some());
    rows.push(if has_llama_cpp { share } else { share.at_least(60.0) });
    rows.extend([
        row(
            "Forward pass: candle's time against ours",
            "Candle in f32, sequence by sequence",
            over(&|r| r.candle.forward_ms.unwrap_or(f64::NAN) / forward(r)),
            "×",
        ),
        row(
            "One step: candle's backprop against ours",
            "Forward and backward pass of the same batch; a gradient where ours is one directional derivative",
            over(&|r| r.candle.backprop_ms.unwrap_or(f64::NAN) / step(r, 1)),
            "×",
        ),
    ]);
    rows.extend(exact(measured));
    rows
}

/// Exact gradients, and PyTorch where it is at hand.
fn exact(measured: &Measured) -> Vec<Row> {
    let part = "Speed of training";
    let over = |figure: &dyn Fn(&Round) -> f64| Stat::over(measured.rounds.iter().map(figure));
    let step = |round: &Round| round.exact.step_ms_median;
    let forward = |round: &Round| round.exact.forward_ms_median.unwrap_or(f64::NAN);
    let row = |name: &str, how: &str, stat, unit| Row::new(part, name, how, stat, unit);
    let mut rows = vec![
        row("One exact step", "8 × 64 tokens, all blocks", over(&|r| step(r) / 1e3), "s"),
        row("One exact step against the forward pass", "", over(&|r| step(r) / forward(r)), "×").at_most(3.0),
        row(
            "One exact step: candle's backprop against ours",
            "Forward and backward pass of the same batch, sequence by sequence",
            over(&|r| r.candle.backprop_ms.unwrap_or(f64::NAN) / step(r)),
            "×",
        ),
    ];
    if measured.rounds.iter().any(|round| round.torch.is_none()) {
        return rows;
    }
    let against = |name: &str, bar: f64, theirs: fn(&Torch) -> f64, ours: fn(&Round) -> f64| {
        let torch = |r: &Round| r.torch.as_ref().map_or(f64::NAN, theirs);
        let how = format!("PyTorch in f32, in this run: {:.1} s", over(&|r| torch(r) / 1e3).median);
        row(name, &how, over(&|r| torch(r) / ours(r)), "×").at_least(bar)
    };
    rows.extend([
        against("One step, K = 1: PyTorch's jvp against ours", 2.0, |t| t.jvp_ms, |r| forward_step(r, 1)),
        against(
            "One step, K = 4: PyTorch's jvp in a loop against ours",
            3.2,
            |t| t.four_jvp_ms,
            |r| forward_step(r, 4),
        ),
        against(
            "One exact step: PyTorch's checkpointed backprop against ours",
            1.5,
            |t| t.checkpointed_ms,
            |r| r.exact.step_ms_median,
        ),
    ]);
    let plain = |r: &Round| r.torch.as_ref().map_or(f64::NAN, |t| t.backprop_ms) / step(r);
    rows.push(row(
        "One exact step: PyTorch's plain backprop against ours",
        "All activations kept",
        over(&plain),
        "×",
    ));
    rows
}

/// Milliseconds of a step with `tangents`.
fn forward_step(round: &Round, tangents: u32) -> f64 {
    round.training.get(&tangents).map_or(f64::NAN, |done| done.step_ms_median)
}

fn memory(measured: &Measured) -> Vec<Row> {
    let part = "Memory";
    let row = |name: &str, how: &str, stat, unit| Row::new(part, name, how, stat, unit);
    let one =
        Stat::over(measured.rounds.iter().filter_map(|r| Some(r.training.get(&1)?.peak() as f64 / MIB)));
    let long = &measured.long;
    let ours = long.above_weights();
    let against = |candle: u64| Stat::one(candle as f64 / ours as f64);
    let (at_once, by_sequence) =
        (measured.candle_long.above_weights, measured.candle_by_sequence.above_weights);
    let share = |bytes: u64, done: &Done| done.peak() as f64 / bytes as f64;
    let worst = |figure: &dyn Fn(&Done) -> f64| {
        Stat::one(measured.runs().map(figure).fold(f64::NEG_INFINITY, f64::max))
    };
    let runs = format!(
        "Of all {} training runs of this page, each given what `sprig plan` lays out",
        measured.runs().count()
    );
    let (tight, mean) = (&measured.tight, "Process peak against what was planned; either sign");
    vec![
        row("Process peak, 8 × 64, K = 1", "Weights, program and all", one, "MiB").at_most(190.0),
        row("Heap peak, 8 × 128, K = 1", "Every allocation counted", mib(long.peak_heap_bytes), "MiB")
            .at_most(64.0),
        row(
            "Peak above the mapped weights, 8 × 128, K = 1",
            "Process peak without resident pages of the model file",
            mib(ours),
            "MiB",
        )
        .at_most(64.0),
        row("Candle's plain backprop against ours", "Both above their weights", against(at_once), "×")
            .at_least(8.0),
        row(
            "Candle's backprop, sequence by sequence, against ours",
            "One sequence's graph at a time, gradients summed: less memory than plain backprop",
            against(by_sequence),
            "×",
        )
        .at_least(8.0),
        row("Worst peak against its budget", &runs, worst(&|d| 100.0 * share(d.budget_bytes, d)), "%")
            .at_most(100.0),
        row("Worst error of the plan", mean, worst(&|d| 100.0 * (share(d.plan_bytes, d) - 1.0).abs()), "%")
            .at_most(5.0),
        row("Smallest budget, 8 × 64, K = 1", "What the plan names", mib(tight.budget_bytes), "MiB"),
        row("Peak within it", "", mib(tight.peak()), "MiB").at_most(tight.budget_bytes as f64 / MIB),
        row("One step within it", "", Stat::one(tight.step_ms_median / 1e3), "s"),
    ]
}

fn inference(measured: &Measured) -> Vec<Row> {
    let part = "Speed of inference";
    let over = |figure: &dyn Fn(&Round) -> f64| Stat::over(measured.rounds.iter().map(figure));
    let row = |name: &str, how: &str, stat, unit| Row::new(part, name, how, stat, unit);
    let mut rows = vec![
        row("Prefill", "About 512 tokens", over(&|r| r.inference.prefill), "tokens/s"),
        row("Decode", "64 tokens after a short prompt", over(&|r| r.inference.decode), "tokens/s"),
        row(
            "Decode, share of the memory's speed",
            &format!(
                "Of the rate at which the threads could read the file once a token: {:.1} ms",
                over(&|r| r.machine.read_ms).median
            ),
            over(&|r| 0.1 * r.inference.decode * r.machine.read_ms),
            "%",
        ),
    ];
    let against = |time: &dyn Fn(&Personal) -> f64| over(&|r| time(&r.personal));
    let both = "LoRA r = 8 on q and v of all blocks, and a device's own beside it, against the adapter alone";
    rows.extend([
        row("Decode with both adapters", both, against(&|p| p.adapter.decode / p.soft.decode), "×")
            .at_most(1.1),
        row("Prefill with both adapters", both, against(&|p| p.adapter.prefill / p.soft.prefill), "×")
            .at_most(1.1),
        row(
            "Decode with one of them in each block",
            both,
            against(&|p| p.adapter.decode / p.hard.decode),
            "×",
        )
        .at_most(1.1),
        row(
            "Memory of both, beyond the adapter alone and its size again",
            "Process peaks",
            against(&|p| (p.soft.peak - p.adapter.peak - p.bytes) / MIB),
            "MiB",
        )
        .at_most(1.0),
    ]);
    if measured.rounds.iter().all(|round| round.llama_cpp.is_some()) {
        let peer = |figure: &dyn Fn(&Round, super::work::Speed) -> f64| {
            Stat::over(measured.rounds.iter().filter_map(|r| Some(figure(r, r.llama_cpp?))))
        };
        let how = |speed: Stat| format!("Same file, same threads; llama.cpp: {:.0} tokens/s", speed.median);
        let (prefill, decode) = (how(peer(&|_, p| p.prefill)), how(peer(&|_, p| p.decode)));
        rows.push(
            row("Prefill against llama.cpp", &prefill, peer(&|r, p| r.inference.prefill / p.prefill), "×")
                .at_least(1.5),
        );
        rows.push(
            row("Decode against llama.cpp", &decode, peer(&|r, p| r.inference.decode / p.decode), "×")
                .at_least(0.7),
        );
    }
    rows
}

fn mib(bytes: u64) -> Stat {
    Stat::one(bytes as f64 / MIB)
}

#[cfg(test)]
mod tests {
    use super::super::peers::{Candle, Machine};
    use super::super::work::Speed;
    use super::*;
    use std::collections::BTreeMap;

    fn done(step: f64, plan: u64, peak: u64) -> Done {
        Done {
            steps: 2,
            plan_bytes: plan << 20,
            budget_bytes: 300 << 20,
            peak_rss_bytes: peak << 20,
            seen_peak_bytes: (peak - 1) << 20,
            peak_heap_bytes: 30 << 20,
            mapped_bytes: 90 << 20,
            step_ms_median: step,
            forward_ms_median: Some(1000.0),
            ..Done::default()
        }
    }

    /// A round on a machine that is `slow` times as slow as the others.
    fn round(slow: f64) -> Round {
        let run = |step: f64, plan, peak| Done {
            forward_ms_median: Some(1000.0 * slow),
            ..done(step * slow, plan, peak)
        };
        let speed = |n| Speed { prefill: 100.0 * n / slow, decode: 10.0 * n / slow, peak: n * MIB };
        Round {
            training: BTreeMap::from([
                (1, run(2000.0, 180, 180)),
                (2, run(2900.0, 200, 190)),
                (4, run(4700.0, 240, 240)),
                (8, run(10_000.0, 300, 310)),
            ]),
            candle: Candle {
                forward_ms: Some(1500.0 * slow),
                backprop_ms: Some(3000.0 * slow),
                above_weights: 0,
            },
            machine: Machine { product_gflops: 160.0 / slow, read_ms: 4.0 * slow },
            inference: speed(2.0),
            personal: Personal { adapter: speed(2.0), soft: speed(1.9), hard: speed(2.0), bytes: MIB },
            llama_cpp: Some(speed(1.0)),
            exact: run(2500.0, 180, 180),
            torch: Some(Torch {
                jvp_ms: 5000.0 * slow,
                four_jvp_ms: 20_000.0 * slow,
                checkpointed_ms: 5000.0 * slow,
                backprop_ms: 4000.0 * slow,
            }),
        }
    }

    fn measured() -> Measured {
        let candle = |mib: u64| Candle { forward_ms: None, backprop_ms: None, above_weights: mib << 20 };
        Measured {
            rounds: vec![round(1.0), round(3.0), round(1.5)],
            tight: done(9000.0, 120, 120),
            long: done(4000.0, 150, 150),
            candle_long: candle(600),
            candle_by_sequence: candle(90),
            shaped: Vec::new(),
            scaled: Vec::new(),
            curves: Vec::new(),
        }
    }

    #[test]
    fn figures_follow_from_the_runs() {
        let rows = rows(&measured());
        let row = |name: &str| rows.iter().find(|row| row.name == name).unwrap();
        let near = |name: &str, value: f64| {
            assert!((row(name).value - value).abs() < 1e-9, "{name}: {}", row(name).value);
        };
        // A slow round moves times, but no ratio.
        near("One step, K = 1", 3.0);
        assert_eq!(row("One step, K = 1").range, Some([2.0, 6.0]));
        near("One step against the forward pass", 2.0);
        near("A further tangent, K = 4", 0.9);
        assert_eq!(row("A further tangent, K = 8").met, Some(false));
        near("One step: candle's backprop against ours", 1.5);
        near("Prefill against llama.cpp", 2.0);
        near("One exact step against the forward pass", 2.5);
        near("One step, K = 1: PyTorch's jvp against ours", 2.5);
        near("One exact step: PyTorch's checkpointed backprop against ours", 2.0);
        // 20 tokens a second, each reading the file in 4 ms.
        near("Decode, share of the memory's speed", 8.0);
        // 150 MiB of which 90 are weights.
        near("Candle's plain backprop against ours", 10.0);
        near("Candle's backprop, sequence by sequence, against ours", 1.5);
        near("Worst peak against its budget", 31_000.0 / 300.0);
        // 200 MiB planned, 190 held.
        near("Worst error of the plan", 5.0);
    }

    #[test]
    fn a_plain_product_judges_only_where_llama_cpp_does_not() {
        let name = "Forward pass against a plain f32 product";
        let of = |measured: &Measured| rows(measured).into_iter().find(|row| row.name == name).unwrap();
        let mut measured = measured();
        // 138.4 GFLOP in a second, of 160.
        let share = of(&measured);
        assert!((share.value - 86.5).abs() < 0.1 && share.bar.is_none(), "{share:?}");
        measured.rounds[0].llama_cpp = None;
        assert_eq!(of(&measured).met, Some(true));
    }
}
