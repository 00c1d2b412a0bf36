//! `bench.html`: one self-contained page of verdicts, peers and curves.

use super::Setting;
use super::curves::Curve;
use super::measure::Measured;
use super::round::Round;
use super::row::{Bound, Row, number};
use crate::sprig::Done;
use maud::{Markup, html};
use sprig_report::chart::{Bar, Gauge, LineChart, Series, bars};
use sprig_report::page::{Page, card};

const MIB: f64 = 1_048_576.0;

/// The page.
pub fn page(setting: &Setting, rows: &[Row], measured: &Measured) -> String {
    let body = html! {
        (verdict(setting, rows))
        @for part in rows.chunk_by(|a, b| a.part == b.part) { (card(part[0].part, table(part))) }
        (peers(measured))
        div.pair { @for curve in &measured.curves { (time(curve)) (memory(curve)) } }
    };
    let summary = "SmolLM2-135M (Q4_1), LoRA on q and v of all 30 blocks, rank 8, language-model loss. K is the number of \
                   tangents a pass.";
    let (style, eyebrow) = (include_str!("page.css"), machine(setting));
    Page { title: "Sprig benchmarks", eyebrow: &eyebrow, summary, style }.whole(body)
}

fn machine(setting: &Setting) -> String {
    format!(
        "{}, {} cores, {:.1} GiB, {}; {} threads; Sprig {}; measured in {} min",
        setting.processor,
        setting.cores,
        setting.memory_bytes as f64 / MIB / 1024.0,
        setting.kernel,
        setting.threads,
        setting.sprig_version,
        number(setting.seconds as f64 / 60.0)
    )
}

fn verdict(setting: &Setting, rows: &[Row]) -> Markup {
    let count = |met: bool| rows.iter().filter(|row| row.met == Some(met)).count();
    let (met, missed) = (count(true), count(false));
    let rounds =
        if setting.quick { "One round" } else { "Medians over interleaved rounds, with their range" };
    html! {
        section.verdict.missed[missed > 0] {
            p {
                b { (met) } " bars met, "
                b { @if missed == 0 { "none missed" } @else { (missed) " missed" } } ". "
                span { (rounds) "." }
            }
            @if setting.quick {
                p.warning { "A quick run: one round of one step. Its memory figures hold, its times do not." }
            }
            @if setting.busy() {
                p.warning {
                    "The machine had other work when this began (load " (number(setting.load)) "): times are a sketch, even \
                     as ratios."
                }
            }
        }
    }
}

fn table(rows: &[Row]) -> Markup {
    html! {
        div.wide { table.bench {
            thead { tr {
                th scope="col" { "benchmark" } th.num scope="col" { "measured" } th.num scope="col" { "range" }
                th.num scope="col" { "bar" } th.aside {} th {}
            } }
            tbody { @for row in rows {
                @let [value, range, bar, met] = row.words();
                tr {
                    th scope="row" { (row.name) @if !row.how.is_empty() { small { (row.how) } } }
                    td.num { (value) }
                    td.num.range { (range) }
                    td.num { (bar) }
                    td.aside { @if let Some(gauge) = gauge(row) { (gauge.draw()) } }
                    td.verdict.(met.to_lowercase()) { (met) }
                }
            } }
        } }
    }
}

fn gauge(row: &Row) -> Option<Gauge> {
    let (Bound::AtMost(bound) | Bound::AtLeast(bound)) = row.bar?;
    Some(Gauge { value: row.value, bound, met: row.met == Some(true) })
}

/// Our step beside candle's, as bars.
fn peers(measured: &Measured) -> Markup {
    let bar = |name: &str, class, value: f64, unit: &str| Bar {
        name: name.to_owned(),
        class,
        value,
        label: format!("{} {unit}", number(value)),
    };
    let mib = |bytes: u64| bytes as f64 / MIB;
    let memory = [
        bar("Sprig, one step, K = 1", "s0", mib(measured.long.above_weights()), "MiB"),
        bar("candle, one sequence at a time", "s1", mib(measured.candle_by_sequence.above_weights), "MiB"),
        bar("candle, plain backprop", "s1", mib(measured.candle_long.above_weights), "MiB"),
    ];
    // The round whose step is the median of all.
    let mut rounds: Vec<_> = measured.rounds.iter().collect();
    rounds.sort_by(|a, b| step(a).total_cmp(&step(b)));
    html! {
        div.pair {
            (figure("Beside plain backprop: memory above the weights", "8 × 128 tokens", bars("memory", &memory)))
            @if let Some(round) = rounds.get(rounds.len() / 2) {
                @let forward = round.training.get(&1).and_then(|done| done.forward_ms_median);
                @let second = |ms: Option<f64>| ms.unwrap_or(f64::NAN) / 1e3;
                @let time = [
                    bar("Sprig, forward pass", "s2", second(forward), "s"),
                    bar("Sprig, one step, K = 1", "s0", step(round) / 1e3, "s"),
                    bar("candle, forward pass", "s3", second(round.candle.forward_ms), "s"),
                    bar("candle, forward and backward pass", "s1", second(round.candle.backprop_ms), "s"),
                ];
                (figure("Beside plain backprop: time", "8 × 64 tokens; the round with the median step", bars("time", &time)))
            }
        }
    }
}

fn step(round: &Round) -> f64 {
    round.training.get(&1).map_or(0.0, |done| done.step_ms_median)
}

fn time(curve: &Curve) -> Markup {
    let series = vec![
        line(curve, "step", "s0", |run| run.step_ms_median / 1e3),
        line(curve, "forward pass", "s2", |run| run.forward_ms_median.unwrap_or(f64::NAN) / 1e3),
    ];
    figure(&format!("{}: time", curve.title), &curve.note, chart(curve, "seconds", series))
}

fn memory(curve: &Curve) -> Markup {
    let series = vec![
        line(curve, "planned", "s4", |run| run.plan_bytes as f64 / MIB),
        line(curve, "measured peak", "s0", |run| run.peak() as f64 / MIB),
    ];
    figure(&format!("{}: memory", curve.title), &curve.note, chart(curve, "MiB, whole process", series))
}

fn line(curve: &Curve, name: &'static str, class: &'static str, figure: fn(&Done) -> f64) -> Series<'static> {
    Series { name, class, points: curve.points.iter().map(|point| (point.x, figure(&point.run))).collect() }
}

fn chart(curve: &Curve, y_title: &'static str, series: Vec<Series<'_>>) -> Markup {
    let name = |x: f64, label: Option<&str>| label.map_or_else(|| format!("{x:.0}"), str::to_owned);
    LineChart {
        about: format!("{y_title} by {}", curve.x),
        x_title: curve.x,
        places: curve.points.iter().map(|point| (point.x, name(point.x, point.label))).collect(),
        y_title,
        y_range: (0.0, 0.0),
        may_be_log: false,
        series,
        level: None,
    }
    .draw()
}

fn figure(title: &str, note: &str, drawing: Markup) -> Markup {
    card(title, html! { (drawing) p.note { (note) } })
}

#[cfg(test)]
mod tests {
    use super::super::curves::Point;
    use super::super::peers::{Candle, Machine};
    use super::super::row::Stat;
    use super::super::work::{Personal, Speed};
    use super::*;

    const SPEED: Speed = Speed { prefill: 40.0, decode: 9.0, peak: 0.0 };

    fn done(step_ms_median: f64, mib: u64) -> Done {
        Done {
            steps: 3,
            plan_bytes: mib << 20,
            budget_bytes: 400 << 20,
            peak_rss_bytes: (mib - 4) << 20,
            seen_peak_bytes: 0,
            peak_heap_bytes: 30 << 20,
            mapped_bytes: 94 << 20,
            step_ms_median,
            forward_ms_median: Some(step_ms_median / 2.0),
            ..Done::default()
        }
    }

    fn measured() -> Measured {
        let candle =
            |mib: u64, forward_ms, backprop_ms| Candle { forward_ms, backprop_ms, above_weights: mib << 20 };
        let runs = [1u32, 2, 4, 8].map(|k| (k, done(900.0 + 500.0 * f64::from(k), 130 + 20 * u64::from(k))));
        let point = |(k, run): (u32, Done)| Point { x: f64::from(k), label: None, run };
        let note = "8 × 64. All tangents share one primal pass.".to_owned();
        let curve = Curve {
            title: "Tangents",
            x: "tangents a pass (K)",
            note,
            points: runs.clone().map(point).into(),
        };
        let round = Round {
            training: runs.into(),
            candle: candle(900, Some(1400.0), Some(4100.0)),
            machine: Machine { product_gflops: 90.0, read_ms: 12.0 },
            inference: SPEED,
            personal: Personal { adapter: SPEED, soft: SPEED, hard: SPEED, bytes: 0.0 },
            llama_cpp: None,
            exact: done(2500.0, 150),
            torch: None,
        };
        Measured {
            rounds: vec![round],
            tight: done(2000.0, 110),
            long: done(2900.0, 160),
            candle_long: candle(5200, None, None),
            candle_by_sequence: candle(1100, None, None),
            shaped: Vec::new(),
            scaled: Vec::new(),
            curves: vec![curve],
        }
    }

    fn setting(processor: &str) -> Setting {
        Setting {
            processor: processor.to_owned(),
            cores: 2,
            memory_bytes: 8 << 30,
            kernel: "Linux 6.1".to_owned(),
            threads: 2,
            quick: true,
            load: 3.5,
            started: 0,
            seconds: 700,
            sprig_version: "0.1.0",
        }
    }

    #[test]
    fn the_page_stands_alone_and_shows_every_verdict_and_curve() {
        let rows = [
            Row::new("Memory", "Peak above the weights", "8 × 128, K = 1", Stat::one(66.0), "MiB")
                .at_most(190.0),
            Row::new("Memory", "Plan against peak", "", Stat::over([0.6, 0.62, 0.7].into_iter()), "")
                .at_least(0.7),
            Row::new("Time", "Step", "not judged", Stat::one(f64::NAN), "s"),
        ];
        let page = page(&setting("</style><script>x</script>"), &rows, &measured());
        for text in [
            "1</b> bars met",
            "1 missed",
            "MISSED",
            "≤ 190",
            "0.60 to 0.70",
            "A quick run",
            "candle, plain backprop",
        ] {
            assert!(page.contains(text), "{text}");
        }
        for text in ["<script", "http:", "src=", "href=", "\"NaN", ",NaN"] {
            assert!(!page.contains(text), "{text}");
        }
        // Two bar plots, two charts of four points on two lines, two gauges.
        assert_eq!((page.matches("<svg").count(), page.matches("<circle").count()), (6, 16));
    }
}
