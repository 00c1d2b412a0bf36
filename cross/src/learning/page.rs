//! `learning.html`: one self-contained page, bars for each task and curves where several numbers of records were tried.

use super::table::Row;
use crate::bench::row::number;
use maud::{Markup, html};
use sprig_report::chart::{Bar, LineChart, Series, bars};
use sprig_report::page::{Page, card};
use std::collections::BTreeSet;

/// Colours of the ways, in their order.
const CLASSES: [&str; 4] = ["s0", "s1", "s2", "s3"];

/// The page.
pub fn page(rows: &[Row], seeds: u64, budget: &str) -> String {
    let body = html! {
        @for task in rows.chunk_by(|a, b| a.task == b.task) {
            (card(&task[0].task, html! {
                @for size in task.chunk_by(|a, b| a.examples == b.examples) { (results(size)) }
                @if let Some(curve) = curve(task) { (curve) }
            }))
        }
    };
    let eyebrow = format!("SmolLM2-135M (Q4_1), {seeds} seeds, {budget} for each process");
    let summary = "Held-out accuracy of each way to learn a task, a mean over the seeds, with the seconds and the plain \
                   forward passes of one example that it took.";
    let style = include_str!("../bench/page.css");
    Page { title: "What Sprig learns", eyebrow: &eyebrow, summary, style }.whole(body)
}

fn results(rows: &[Row]) -> Markup {
    let name = |row: &Row| {
        let mut name = row.arm.to_owned();
        for (figure, unit) in [(row.seconds, "s"), (row.passes, "passes")] {
            if let Some(figure) = figure {
                name.push_str(&format!(", {} {unit}", number(figure)));
            }
        }
        if row.runs > 1 && row.accuracy.is_finite() {
            name.push_str(&format!("; {:.1} to {:.1} %", row.range.0, row.range.1));
        }
        name
    };
    let label = |row: &Row| match row.loss {
        _ if row.accuracy.is_finite() => format!("{:.1} %", row.accuracy),
        Some(loss) => format!("loss {loss:.3}"),
        None => "not judged".to_owned(),
    };
    let drawn = rows.iter().enumerate().map(|(i, row)| Bar {
        name: name(row),
        class: CLASSES[i % CLASSES.len()],
        value: if row.accuracy.is_finite() { row.accuracy } else { row.loss.unwrap_or(f64::NAN) },
        label: label(row),
    });
    let before = rows.iter().find_map(|row| row.before);
    html! {
        p.note {
            "From " (rows[0].examples) " records."
            @if let Some(before) = before { " The untouched model: " (number(before)) " %." }
        }
        (bars("held-out accuracy", &drawn.collect::<Vec<_>>()))
    }
}

/// Accuracy by the number of records, where there are several.
fn curve(rows: &[Row]) -> Option<Markup> {
    let sizes: BTreeSet<usize> = rows.iter().map(|row| row.examples).collect();
    if sizes.len() < 2 {
        return None;
    }
    let mut arms: Vec<&'static str> = Vec::new();
    for row in rows.iter().filter(|row| row.accuracy.is_finite()) {
        if !arms.contains(&row.arm) {
            arms.push(row.arm);
        }
    }
    let points = |arm: &str| {
        rows.iter().filter(|row| row.arm == arm).map(|row| (row.examples as f64, row.accuracy)).collect()
    };
    let series = arms.iter().enumerate().map(|(i, arm)| Series {
        name: arm,
        class: CLASSES[i % CLASSES.len()],
        points: points(arm),
    });
    let chart = LineChart {
        about: "accuracy by number of records".to_owned(),
        x_title: "records learnt from",
        places: sizes.iter().map(|&n| (n as f64, n.to_string())).collect(),
        y_title: "held-out accuracy, %",
        y_range: (0.0, 100.0),
        may_be_log: false,
        series: series.collect(),
        level: None,
    };
    Some(chart.draw())
}

#[cfg(test)]
mod tests {
    use super::super::table::{rows, tests::run};
    use super::*;

    #[test]
    fn the_page_stands_alone_with_bars_and_a_curve() {
        let runs = [
            run("<where>", "read-out", 25, 1, 0.5),
            run("<where>", "read-out", 100, 1, 0.75),
            run("<where>", "MeZO", 100, 1, 0.25),
            run("other", "MeZO", 100, 1, 0.25),
        ];
        let page = page(&rows(&runs), 1, "200MiB");
        for text in ["&lt;where&gt;", "75.0 %", "800 passes", "From 25 records", "records learnt from"] {
            assert!(page.contains(text), "{text}");
        }
        for text in ["<script", "http:", "src=", "NaN"] {
            assert!(!page.contains(text), "{text}");
        }
        // Bars for three groups, one curve.
        assert_eq!(page.matches("<svg").count(), 4);
    }
}
