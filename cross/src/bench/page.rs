//! `bench.html`: one self-contained page of verdicts, peers and curves.

use super::Setting;
use super::curves::Curve;
use super::measure::Measured;
use super::plot::{BarLine, Lines, bars, escape, gauge};
use super::row::{Row, number};

const STYLE: &str = include_str!("page.css");
/// The same widths in every table.
const COLUMNS: &str = "<colgroup><col><col style=\"width:8.5rem\"><col style=\"width:8rem\">\
<col style=\"width:4.5rem\"><col style=\"width:8rem\"><col style=\"width:5rem\"></colgroup>";
const MIB: f64 = 1_048_576.0;

/// The page.
pub fn page(setting: &Setting, rows: &[Row], measured: &Measured) -> String {
    let verdict = verdict(setting, rows);
    let (tables, peers) = (tables(rows), peers(measured));
    let curves: String = measured.curves.iter().map(curve).collect();
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Sprig benchmarks</title>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <style>{STYLE}</style></head><body><main>\n<h1>Sprig benchmarks</h1>\n{}\n{verdict}\n{tables}\n\
         <h2>Beside plain backprop</h2>\n{peers}\n<h2>How it scales</h2>\n<div class=\"grid\">\n{curves}</div>\n\
         </main></body></html>\n",
        head(setting)
    )
}

fn head(setting: &Setting) -> String {
    let memory = setting.memory_bytes as f64 / MIB / 1024.0;
    let mut text = format!(
        "<p class=\"lead\">SmolLM2-135M (Q4_1), LoRA on q and v of all 30 blocks, rank 8, language-model loss. K is the \
         number of tangents a pass.</p>\n<p class=\"machine\">{}, {} cores, {memory:.1} GiB, {}; {} threads; Sprig {}; \
         measured in {} min.</p>",
        escape(&setting.processor),
        setting.cores,
        escape(&setting.kernel),
        setting.threads,
        setting.sprig_version,
        number(setting.seconds as f64 / 60.0)
    );
    if setting.quick {
        text += "\n<p class=\"warning\">A quick run: one round of one step. Its memory figures hold, its times do not.</p>";
    }
    if setting.busy() {
        text += &format!(
            "\n<p class=\"warning\">The machine had other work when this began (load {}): times are a sketch, even as \
             ratios.</p>",
            number(setting.load)
        );
    }
    text
}

fn verdict(setting: &Setting, rows: &[Row]) -> String {
    let count = |met: bool| rows.iter().filter(|row| row.met == Some(met)).count();
    let (met, missed) = (count(true), count(false));
    let class = if missed == 0 { "good" } else { "bad" };
    let rounds =
        if setting.quick { "One round" } else { "Medians over interleaved rounds, with their range" };
    let missed = if missed == 0 { "none missed".to_owned() } else { format!("{missed} missed") };
    format!("<p class=\"verdict {class}\"><b>{met}</b> bars met, <b>{missed}</b>. <span>{rounds}.</span></p>")
}

fn tables(rows: &[Row]) -> String {
    let mut text = String::new();
    for part in rows.chunk_by(|a, b| a.part == b.part) {
        text += &format!("<h2>{}</h2>\n<table>{COLUMNS}<thead><tr><th>Benchmark</th>", part[0].part);
        text += "<th>Measured</th><th>Range</th><th>Bar</th><th></th><th></th></tr></thead>\n<tbody>\n";
        for row in part {
            let [value, range, bar, met] = row.words().map(|words| escape(&words));
            let gauge = row.bar.map_or(String::new(), |bar| gauge(row.value, bar));
            let (name, how) = (escape(&row.name), escape(&row.how));
            text += &format!(
                "<tr><td>{name}<small>{how}</small></td><td>{value}</td><td>{range}</td><td>{bar}</td>\
                 <td>{gauge}</td><td class=\"{}\">{met}</td></tr>\n",
                met.to_lowercase()
            );
        }
        text += "</tbody></table>\n";
    }
    text
}

/// Our step beside candle's, as bars.
fn peers(measured: &Measured) -> String {
    let bar = |name: &str, class, value: f64, unit: &str| BarLine {
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
    let mut plots = figure("Memory above the weights", "8 × 128 tokens", &bars("memory", &memory));
    // The round whose step is the median of all.
    let mut rounds: Vec<_> = measured.rounds.iter().collect();
    let step = |round: &super::round::Round| round.training.get(&1).map_or(0.0, |done| done.step_ms_median);
    rounds.sort_by(|a, b| step(a).total_cmp(&step(b)));
    if let Some(round) = rounds.get(rounds.len() / 2) {
        let one = round.training.get(&1);
        let forward = one.and_then(|done| done.forward_ms_median).unwrap_or(f64::NAN);
        let second = |ms: Option<f64>| ms.unwrap_or(f64::NAN) / 1e3;
        let time = [
            bar("Sprig, forward pass", "s2", forward / 1e3, "s"),
            bar("Sprig, one step, K = 1", "s0", step(round) / 1e3, "s"),
            bar("candle, forward pass", "s3", second(round.candle.forward_ms), "s"),
            bar("candle, forward and backward pass", "s1", second(round.candle.backprop_ms), "s"),
        ];
        plots += &figure("Time", "8 × 64 tokens; the round with the median step", &bars("time", &time));
    }
    format!("<div class=\"grid\">\n{plots}</div>")
}

fn curve(curve: &Curve) -> String {
    let ticks: Vec<_> = curve
        .points
        .iter()
        .map(|point| (point.x, point.label.map_or_else(|| number_of(point.x), str::to_owned)))
        .collect();
    let line = |figure: &dyn Fn(&crate::sprig::Done) -> f64| -> Vec<(f64, f64)> {
        curve.points.iter().map(|point| (point.x, figure(&point.run))).collect()
    };
    let time = Lines {
        y: "seconds",
        x: curve.x,
        ticks: ticks.clone(),
        series: vec![
            ("step", "s0", line(&|run| run.step_ms_median / 1e3)),
            ("forward pass", "s2", line(&|run| run.forward_ms_median.unwrap_or(f64::NAN) / 1e3)),
        ],
    };
    let memory = Lines {
        y: "MiB, whole process",
        x: curve.x,
        ticks,
        series: vec![
            ("planned", "s4", line(&|run| run.plan_bytes as f64 / MIB)),
            ("measured peak", "s0", line(&|run| run.peak() as f64 / MIB)),
        ],
    };
    let time = figure(&format!("{}: time", curve.title), &curve.note, &time.draw());
    time + &figure(&format!("{}: memory", curve.title), &curve.note, &memory.draw())
}

fn number_of(x: f64) -> String {
    format!("{x:.0}")
}

fn figure(title: &str, note: &str, svg: &str) -> String {
    let (title, note) = (escape(title), escape(note));
    format!("<figure><figcaption><b>{title}</b><span>{note}</span></figcaption>\n{svg}</figure>\n")
}
