//! `learning.html`: one self-contained page. For each task bars, the way there, and curves where several numbers of records
//! were tried.

use super::Run;
use super::table::Row;
use crate::bench::row::number;
use maud::{Markup, html};
use sprig_report::chart::{Bar, LineChart, Series, bars};
use sprig_report::page::{Page, card};
use std::collections::BTreeSet;

/// Colours of the ways, in their order.
const CLASSES: [&str; 10] = ["a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9"];

/// The page.
pub fn page(rows: &[Row], runs: &[Run], budget: &str) -> String {
    let body = html! {
        @for task in rows.chunk_by(|a, b| a.task == b.task) {
            (card(&task[0].task, html! {
                @for size in task.chunk_by(|a, b| a.examples == b.examples) { (results(size)) }
                (ways_there(task, runs))
                @if let Some(curve) = curve(task) { (curve) }
            }))
        }
    };
    let seeds = runs.iter().map(|run| run.seed).collect::<BTreeSet<_>>().len();
    let eyebrow = format!("SmolLM2-135M (Q4_1), {seeds} seeds, {budget} for each process");
    let summary = "Held-out accuracy of each way to learn a task, a mean over the seeds, with the seconds and the plain \
                   forward passes of one example that it took.";
    let style = include_str!("page.css");
    Page { title: "What Sprig learns", eyebrow: &eyebrow, summary, style }.whole(body)
}

/// The colour of a way among those of its task.
fn class(task: &[Row], arm: &str) -> &'static str {
    let mut arms: Vec<&str> = Vec::new();
    for row in task {
        if !arms.contains(&&*row.arm) {
            arms.push(&row.arm);
        }
    }
    CLASSES[arms.iter().position(|a| *a == arm).unwrap_or(0) % CLASSES.len()]
}

fn results(rows: &[Row]) -> Markup {
    let name = |row: &Row| {
        let mut name = row.arm.clone();
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
    let drawn = rows.iter().map(|row| Bar {
        name: name(row),
        class: class(rows, &row.arm),
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

/// Accuracy on the way, or the loss where answers are not judged, from all records, by passes and by seconds; of the first
/// seed.
fn ways_there(task: &[Row], runs: &[Run]) -> Markup {
    let most = task.iter().map(|row| row.examples).max().unwrap_or(0);
    let first = |row: &&Row| {
        let same = |run: &&Run| (&run.task, &run.arm, run.examples) == (&row.task, &row.arm, most);
        runs.iter().filter(same).min_by_key(|run| run.seed)
    };
    let rows = task.iter().filter(|row| row.examples == most);
    let runs: Vec<&Run> = rows.filter_map(|row| first(&row)).filter(|run| run.passes.is_some()).collect();
    let judged = runs.iter().any(|run| run.after.accuracy.is_some());
    let figures = || runs.iter().flat_map(|run| course(run)).map(|(_, y)| y).filter(|y| y.is_finite());
    let (y_title, y_range) = match judged {
        true => ("accuracy on the way, %", (0.0, 100.0)),
        false => (
            "loss on the way, nats",
            (figures().fold(f64::NAN, f64::min), figures().fold(f64::NAN, f64::max)),
        ),
    };
    let chart = |x_title: &'static str, scale: &dyn Fn(&Run) -> f64| {
        let series = runs.iter().map(|run| Series {
            name: &run.arm,
            class: class(task, &run.arm),
            points: course(run).into_iter().map(|(x, y)| (x * scale(run), y)).collect(),
        });
        LineChart {
            about: format!("{} by {x_title}", if judged { "accuracy" } else { "loss" }),
            x_title,
            places: Vec::new(),
            y_title,
            y_range,
            may_be_log: false,
            series: series.collect(),
            level: None,
        }
        .draw()
    };
    if figures().next().is_none() {
        return html! {};
    }
    let a_pass = |run: &Run| run.seconds.unwrap_or(f64::NAN) / run.passes.unwrap_or(f64::NAN);
    html! {
        p.note {
            "On the way, by the examples that a run holds back (at most 100, so a coarse judge), and at its end by the held-out \
             records; the first seed."
        }
        (chart("plain forward passes of one example", &|_| 1.0))
        (chart("seconds of learning", &a_pass))
    }
}

/// A run's judgements by passes, and its end.
fn course(run: &Run) -> Vec<(f64, f64)> {
    let end = run.passes.zip(run.after.figure());
    run.course.iter().copied().filter(|(passes, _)| Some(*passes) < run.passes).chain(end).collect()
}

/// Accuracy by the number of records, where there are several.
fn curve(rows: &[Row]) -> Option<Markup> {
    let sizes: BTreeSet<usize> = rows.iter().map(|row| row.examples).collect();
    if sizes.len() < 2 {
        return None;
    }
    let mut arms: Vec<&str> = Vec::new();
    for row in rows.iter().filter(|row| row.accuracy.is_finite()) {
        if !arms.contains(&&*row.arm) {
            arms.push(&row.arm);
        }
    }
    let points = |arm: &str| {
        rows.iter().filter(|row| row.arm == arm).map(|row| (row.examples as f64, row.accuracy)).collect()
    };
    let series = arms.iter().map(|arm| Series { name: arm, class: class(rows, arm), points: points(arm) });
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
    fn the_page_stands_alone_with_bars_and_curves() {
        let runs = [
            run("<where>", "read-out", 25, 1, 0.5),
            run("<where>", "read-out", 100, 1, 0.75),
            run("<where>", "MeZO", 100, 1, 0.25),
            run("other", "MeZO", 100, 1, 0.25),
        ];
        let page = page(&rows(&runs), &runs, "200MiB");
        for text in [
            "&lt;where&gt;",
            "75.0 %",
            "800 passes",
            "From 25 records",
            "records learnt from",
            "accuracy by seconds of learning",
        ] {
            assert!(page.contains(text), "{text}");
        }
        for text in ["<script", "http:", "src=", "NaN"] {
            assert!(!page.contains(text), "{text}");
        }
        // Bars for three groups, the way there of two tasks twice, one curve.
        assert_eq!(page.matches("<svg").count(), 8);
    }

    #[test]
    fn a_course_ends_where_the_held_out_records_put_it() {
        let mut run = run("a", "MeZO", 100, 1, 0.5);
        assert_eq!(course(&run), [(400.0, 25.0), (800.0, 50.0)]);
        // Free text has a loss alone.
        (run.after.accuracy, run.course) = (None, vec![(400.0, 0.75)]);
        assert_eq!(course(&run), [(400.0, 0.75), (800.0, 0.5)]);
        let page = page(&rows(&[run.clone()]), &[run], "200MiB");
        assert!(page.contains("loss on the way, nats") && !page.contains("accuracy on the way"), "{page}");
    }
}
