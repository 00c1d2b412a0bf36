//! From measurements to rows: the one place that says what each figure is held to.

use super::Bar::{AtLeast, AtMost};
use super::Row;
use super::measure::Measured;
use crate::sprig::Done;

const MIB: f64 = 1_048_576.0;

/// The table. Bars marked "peer" stand for PyTorch 2.15 on the same class of machine (2 AVX2 cores): 5.4 s
/// for a step with one tangent, 22 s for four in a loop.
pub fn rows(measured: &Measured) -> Vec<Row> {
    let mut rows = Vec::new();
    let step = |tangents: u32| measured.training.get(&tangents).map_or(f64::NAN, |done| done.step_ms_median);
    let one = measured.training.get(&1);
    let forward = one.and_then(|done| done.forward_ms_median).unwrap_or(f64::NAN);

    rows.push(Row::plain("forward, 8×64", forward, "ms"));
    rows.push(Row::held("step, K = 1, against forward", step(1) / forward, "×", AtMost(2.2)));
    rows.push(Row::held("step, K = 1 (peer)", step(1) / 1e3, "s", AtMost(2.7)));
    rows.push(Row::held("step, K = 4 (peer)", step(4) / 1e3, "s", AtMost(7.0)));
    for (name, tangents) in [
        ("a further tangent, K = 2, in forwards", 2),
        ("a further tangent, K = 4, in forwards", 4),
        ("a further tangent, K = 8, in forwards", 8),
    ] {
        let marginal = (step(tangents) - step(1)) / f64::from(tangents - 1) / forward;
        rows.push(Row::held(name, marginal, "", AtMost(1.0)));
    }
    if let Some(one) = one {
        rows.push(Row::held("process peak, K = 1", one.peak_rss_bytes as f64 / MIB, "MiB", AtMost(190.0)));
    }
    let runs = || measured.training.values().chain([&measured.tight]);
    rows.push(Row::held(
        "worst peak against budget",
        worst(runs(), |done| share(done.budget_bytes, done)),
        "",
        AtMost(1.0),
    ));
    let miss = |done: &Done| (share(done.plan_bytes, done) - 1.0).abs() * 100.0;
    rows.push(Row::held("worst plan against peak", worst(runs(), miss), "%", AtMost(5.0)));
    rows.push(Row::plain("smallest budget, K = 1", measured.tight.budget_bytes as f64 / MIB, "MiB"));
    rows.push(Row::plain("step in the smallest budget", measured.tight.step_ms_median / 1e3, "s"));

    let ours = &measured.inference;
    rows.push(Row::plain("prefill", ours.prefill, "tokens/s"));
    rows.push(Row::plain("decode", ours.decode, "tokens/s"));
    if let Some(peer) = &measured.llama_cpp {
        rows.push(Row::held("prefill against llama.cpp", ours.prefill / peer.prefill, "×", AtLeast(1.5)));
        rows.push(Row::held("decode against llama.cpp", ours.decode / peer.decode, "×", AtLeast(0.7)));
    }
    if let Some(scale) = &measured.scale {
        rows.push(Row::held(
            "Llama-2-7B step, process peak",
            scale.peak_rss_bytes as f64 / MIB,
            "MiB",
            AtMost(1024.0),
        ));
        rows.push(Row::plain("Llama-2-7B step", scale.step_ms_median / 1e3, "s"));
    }
    rows
}

/// The peak as a share of `bytes`.
fn share(bytes: u64, done: &Done) -> f64 {
    done.peak_rss_bytes as f64 / bytes as f64
}

fn worst<'a>(runs: impl Iterator<Item = &'a Done>, figure: impl Fn(&Done) -> f64) -> f64 {
    runs.map(figure).fold(f64::NEG_INFINITY, f64::max)
}

#[cfg(test)]
mod tests {
    use super::super::measure::Speed;
    use super::*;
    use std::collections::BTreeMap;

    fn done(step: f64, plan: u64, peak: u64) -> Done {
        Done {
            steps: 2,
            eval_before: None,
            plan_bytes: plan << 20,
            budget_bytes: 300 << 20,
            peak_rss_bytes: peak << 20,
            step_ms_median: step,
            forward_ms_median: Some(1000.0),
        }
    }

    #[test]
    fn figures_follow_from_the_runs() {
        let training = BTreeMap::from([
            (1, done(2000.0, 180, 180)),
            (2, done(2900.0, 200, 190)),
            (4, done(4700.0, 240, 240)),
            (8, done(10_000.0, 300, 310)),
        ]);
        let speed = |n| Speed { prefill: 100.0 * n, decode: 10.0 * n };
        let measured = Measured {
            training,
            tight: done(9000.0, 120, 120),
            inference: speed(2.0),
            llama_cpp: Some(speed(1.0)),
            scale: None,
        };
        let rows = rows(&measured);
        let row = |name: &str| rows.iter().find(|row| row.name == name).unwrap();
        assert_eq!(row("step, K = 1, against forward").value, 2.0);
        assert_eq!(row("a further tangent, K = 4, in forwards").value, 0.9);
        assert_eq!(row("a further tangent, K = 8, in forwards").met, Some(false));
        assert_eq!(row("worst peak against budget").met, Some(false));
        // 200 MiB planned, 190 held.
        assert!((row("worst plan against peak").value - 5.0).abs() < 1e-9);
        assert_eq!(row("prefill against llama.cpp").value, 2.0);
    }
}
