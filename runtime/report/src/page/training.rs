//! The report of a training run: headline numbers first, then memory, learning, time, and where it all came from.

use super::{Page, card, labels, memory as bytes, tables};
use crate::chart::{Axis, LineChart, Series, Whisker, whiskers};
use crate::record::{Evaluation, RunRecord};
use crate::words;
use maud::{Markup, html};
use sprig_budget::{Bytes, Sample};

/// The page of a run.
pub fn training(run: &RunRecord) -> String {
    let title = format!("{} finetuned on {}", run.model.name, run.train_data.name);
    let eyebrow = format!("Sprig training report · {}", words::date(run.ended));
    let body = html! {
        (tiles(run))
        div.pair {
            (card("Held-out quality", quality(run)))
            (card("Peak memory against the budget", bytes::against_budget(run)))
        }
        @if let Some(by_label) = run.eval_after.as_ref().and_then(|found| found.by_label.as_ref()) {
            (card("Labels", labels::card(by_label)))
        }
        (card("Memory by region", html! { (bytes::stacks(&run.plan, &run.measured)) (bytes::regions(&run.plan, &run.measured)) }))
        div.pair {
            @if !run.steps.is_empty() { (card("Training loss", loss(run))) }
            (card("Memory over time", memory(run)))
            // A read-out takes none.
            @if !run.steps.is_empty() {
                (card("Time of a step", step_time(run)))
                (card("Learning rate", learning_rate(run)))
            }
        }
        (card("What was given up to fit", tables::ladder(run)))
        div.pair {
            (card("Settings", tables::settings(run)))
            div.column {
                (card("Model and data", tables::sources(run)))
                (card("Provenance", tables::provenance(run)))
            }
        }
        (card("To run it again", html! { pre { (run.command) } }))
    };
    Page { title: &title, eyebrow: &eyebrow, summary: &summary(run), style: "" }.whole(body)
}

fn tiles(run: &RunRecord) -> Markup {
    let peak = run.measured.peak_rss;
    let over = peak > run.plan.budget;
    let tile = |name: &str, value: String, unit: &str, below: String| {
        html! { div.tile { p.name { (name) } p.value { (value) @if !unit.is_empty() { small { " " (unit) } } } p.below { (below) } } }
    };
    let below_of = |before: Option<String>, after: &Evaluation| {
        let examples = words::counted(after.n, "held-out example");
        before.map_or_else(|| examples.clone(), |b| format!("{b} before training"))
    };
    html! {
        div.tiles {
            @if let Some(after) = &run.eval_after {
                @let before = run.eval_before.as_ref();
                @if let Some(accuracy) = after.accuracy {
                    (tile("Accuracy", words::percent(accuracy), "", below_of(before.and_then(|b| b.accuracy).map(words::percent), after)))
                }
                @if let Some(answered) = after.answered {
                    (tile("Answered with an answer", words::percent(answered), "", below_of(before.and_then(|b| b.answered).map(words::percent), after)))
                }
                (tile("Held-out loss", words::number(after.loss), "nats", below_of(before.map(|b| words::number(b.loss)), after)))
            } @else if let Some(last) = smooth(&losses(run)).last() {
                (tile("Training loss", words::number(last.1), "nats", "smoothed, at the last step".into()))
            }
            div.tile.over[over] {
                p.name { "Peak memory" }
                p.value { (format!("{:.1}", peak.as_mib())) small { " MiB" } }
                p.below { (words::percent(peak.share_of(run.plan.budget))) " of " (run.plan.budget) @if over { " — over the budget" } }
            }
            (tile("Time", words::duration(run.ended.saturating_sub(run.started)), "", steps(run)))
            (tile("Speed", words::number(run.speed.tokens_per_s), "tokens/s", run.speed.forward_ms_median.map_or_else(String::new, |f| {
                format!("a step takes {:.1} plain forward passes", run.speed.step_ms_median / f)
            })))
        }
    }
}

/// How many steps there were, and how long one took.
fn steps(run: &RunRecord) -> String {
    if run.steps.is_empty() {
        return "without steps".to_owned();
    }
    let (count, each) = (run.steps.len() as u64, run.speed.step_ms_median);
    format!("{}, {} each", words::counted(count, "step"), words::millis(each))
}

/// Accuracy with its intervals, or loss where the task has no right answer.
fn quality(run: &RunRecord) -> Markup {
    let rows: Vec<(&'static str, &'static str, &Evaluation)> =
        [("before", "before", run.eval_before.as_ref()), ("after", "after", run.eval_after.as_ref())]
            .into_iter()
            .filter_map(|(name, class, e)| Some((name, class, e?)))
            .collect();
    let Some((_, _, any)) = rows.last() else {
        return html! { p.none { "No held-out data was given." } };
    };
    if any.accuracy.is_some() {
        let whisker = |&(name, class, e): &(&'static str, &'static str, &Evaluation)| {
            let value = e.accuracy?;
            let between =
                |(low, high)| format!("{} ({:.1}–{:.1})", words::percent(value), 100.0 * low, 100.0 * high);
            let label = e.interval.map_or_else(|| words::percent(value), between);
            let interval = e.interval.map(|(low, high)| (100.0 * low, 100.0 * high));
            Some(Whisker { name, class, value: 100.0 * value, interval, label })
        };
        let drawn: Vec<Whisker> = rows.iter().filter_map(whisker).collect();
        let about =
            drawn.iter().map(|w| format!("{} training {}", w.name, w.label)).collect::<Vec<_>>().join(", ");
        html! {
            (whiskers(&format!("Accuracy {about}"), "accuracy, %", &Axis::linear(0.0, 100.0, 5), &drawn))
            p.note { "On " (words::counted(any.n, "example")) " not trained on; whiskers are 95% intervals." }
        }
    } else {
        let drawn: Vec<Whisker> = rows
            .iter()
            .map(|&(name, class, e)| Whisker {
                name,
                class,
                value: e.loss,
                interval: None,
                label: words::number(e.loss),
            })
            .collect();
        let about =
            drawn.iter().map(|w| format!("{} training {}", w.name, w.label)).collect::<Vec<_>>().join(", ");
        let top = drawn.iter().map(|w| w.value).fold(0.0, f64::max);
        html! {
            (whiskers(&format!("Loss {about}"), "loss, nats", &Axis::linear(0.0, top, 5), &drawn))
            p.note { "On " (words::counted(any.n, "example")) " not trained on." }
        }
    }
}

fn loss(run: &RunRecord) -> Markup {
    let raw = losses(run);
    let smoothed = smooth(&raw);
    let ends = smoothed.first().zip(smoothed.last());
    let judged: Vec<(f64, f64)> = run.judged.iter().map(|j| (j.step as f64, j.loss)).collect();
    let apart =
        (!judged.is_empty()).then_some(Series { name: "not trained on", class: "judged", points: judged });
    let about = ends.map_or_else(
        || "Training loss".into(),
        |(first, last)| {
            format!("Smoothed training loss from {} to {}", words::number(first.1), words::number(last.1))
        },
    );
    LineChart {
        about,
        x_title: "step",
        places: Vec::new(),
        y_title: "loss, nats",
        y_range: (f64::INFINITY, f64::NEG_INFINITY),
        may_be_log: true,
        series: vec![
            Series { name: "each batch", class: "raw", points: raw },
            Series { name: "smoothed", class: "smooth", points: smoothed },
        ]
        .into_iter()
        .chain(apart)
        .collect(),
        level: None,
    }
    .draw()
}

fn memory(run: &RunRecord) -> Markup {
    let end = run.timeline.last().map_or(0, |s| s.ms);
    let (unit, per_ms) = match end {
        0..180_000 => ("seconds", 1e-3),
        180_000..10_800_000 => ("minutes", 1.0 / 60e3),
        _ => ("hours", 1.0 / 3600e3),
    };
    let line = |of: fn(&Sample) -> Bytes| {
        run.timeline.iter().map(|s| (s.ms as f64 * per_ms, of(s).as_mib())).collect()
    };
    let budget = run.plan.budget;
    let level =
        bytes::shows_budget(&run.plan, &run.measured).then(|| (budget.as_mib(), format!("budget {budget}")));
    let least_top = level.as_ref().map_or(0.0, |l| l.0 * 1.03);
    html! {
        (LineChart {
            about: format!("Memory over time: resident up to {}, budget {budget}", run.measured.peak_rss),
            x_title: unit,
            places: Vec::new(),
            y_title: "MiB",
            y_range: (0.0, least_top),
            may_be_log: false,
            series: vec![
                Series { name: "resident", class: "mapped", points: line(|s| s.rss) },
                Series { name: "heap and arena", class: "arena", points: line(|s| s.heap) },
            ],
            level,
        }.draw())
        @if !bytes::shows_budget(&run.plan, &run.measured) { p.note { "The budget of " (budget) " lies far above this chart." } }
    }
}

fn step_time(run: &RunRecord) -> Markup {
    let speed = &run.speed;
    let note = format!(
        "median {}, 95th percentile {}",
        words::millis(speed.step_ms_median),
        words::millis(speed.step_ms_p95)
    );
    html! {
        (LineChart {
            about: format!("Time of each step: {note}"),
            x_title: "step",
            places: Vec::new(),
            y_title: "seconds",
            y_range: (0.0, speed.step_ms_p95 * 1.2e-3),
            may_be_log: false,
            series: vec![Series { name: "seconds", class: "time", points: run.steps.iter().map(|s| (s.step as f64, s.ms * 1e-3)).collect() }],
            level: None,
        }.draw())
        p.note {
            (note)
            @if let Some(forward) = speed.forward_ms_median { "; a plain forward pass of the same batch " (words::millis(forward)) }
            "."
        }
    }
}

fn learning_rate(run: &RunRecord) -> Markup {
    LineChart {
        about: "Learning rate at each step".into(),
        x_title: "step",
        places: Vec::new(),
        y_title: "learning rate",
        y_range: (0.0, 0.0),
        may_be_log: false,
        series: vec![Series {
            name: "rate",
            class: "rate",
            points: run.steps.iter().map(|s| (s.step as f64, s.lr)).collect(),
        }],
        level: None,
    }
    .draw()
}

/// What the run achieved, in two sentences.
fn summary(run: &RunRecord) -> String {
    let mut text = String::new();
    if let (Some(before), Some(after)) = (&run.eval_before, &run.eval_after) {
        let examples = words::counted(after.n, "held-out example");
        let change = |from: f64, to: f64| if to > from { "rose" } else { "fell" };
        text = match (before.accuracy, after.accuracy) {
            (Some(from), Some(to)) if from == to => {
                format!("Accuracy on {examples} stayed at {}. ", words::percent(to))
            }
            (Some(from), Some(to)) => format!(
                "Accuracy on {examples} {} from {} to {}. ",
                change(from, to),
                words::percent(from),
                words::percent(to)
            ),
            _ => format!(
                "Loss on {examples} {} from {} to {}. ",
                change(before.loss, after.loss),
                words::number(before.loss),
                words::number(after.loss)
            ),
        };
    }
    let (peak, budget) = (run.measured.peak_rss, run.plan.budget);
    let kept = if peak <= budget {
        format!("The whole process never held more than {peak} of its {budget} budget.")
    } else {
        format!("The process held up to {peak}, more than its {budget} budget.")
    };
    text + &kept
}

fn losses(run: &RunRecord) -> Vec<(f64, f64)> {
    run.steps.iter().map(|s| (s.step as f64, s.loss)).collect()
}

/// Mean of the finite values within a twentieth of the run (at least two steps) to each side.
fn smooth(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let reach = (points.len() / 20).max(2);
    let mean = |i: usize| {
        let near = &points[i.saturating_sub(reach)..(i + reach + 1).min(points.len())];
        let finite: Vec<f64> = near.iter().map(|p| p.1).filter(|y| y.is_finite()).collect();
        (points[i].0, finite.iter().sum::<f64>() / finite.len() as f64)
    };
    (0..points.len()).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn the_page_stands_alone_and_says_what_matters() {
        let html = training(&sample::record());
        for text in [
            "33.5%",
            "84.2%",
            "170.4",
            "300.0 MiB",
            "11 min 52 s",
            "fewer tangents per pass",
            "stacked activations",
            "not trained on",
            "5,759 of 7,680 visits to an example served (75.0%), 1 damaged and computed anew",
        ] {
            assert!(html.contains(text), "{text}");
        }
        for text in ["<script", "http:", "https:", "src=", "href=", "NaN", "inf"] {
            assert!(!html.contains(text), "{text}");
        }
        let drawings = html.matches("<svg").count();
        assert_eq!((drawings, html.matches("role=\"img\"").count()), (8, 8));
        assert!(html.len() < 300_000, "{}", html.len());
    }

    #[test]
    fn hostile_text_stays_text() {
        let mut run = sample::record();
        let hostile = "</style></title><script>alert(1)</script>\"' onload=x";
        run.model.name = hostile.into();
        run.command = hostile.into();
        run.plan.regions[0].name = hostile.into();
        run.settings[0] = (hostile.into(), hostile.into());
        let html = training(&run);
        assert!(!html.contains("<script") && !html.contains("\" onload") && !html.contains("\"' onload"));
        assert_eq!(html.matches("</style>").count(), 1);
    }

    #[test]
    fn a_run_with_nothing_recorded_still_makes_a_page() {
        let mut run = sample::record();
        (run.eval_before, run.eval_after, run.eval_data) = (None, None, None);
        run.steps.clear();
        run.timeline.clear();
        run.plan.regions.clear();
        run.measured.regions.clear();
        run.plan.budget = Bytes::ZERO;
        let html = training(&run);
        assert!(html.contains("No held-out data was given") && html.contains("Nothing was recorded"));
        assert!(!html.contains("NaN") && !html.contains("inf"));
    }

    #[test]
    fn odd_numbers_make_no_odd_coordinates() {
        let mut run = sample::record();
        run.steps.iter_mut().for_each(|s| (s.loss, s.ms, s.lr) = (f64::NAN, f64::INFINITY, 0.0));
        for e in [&mut run.eval_before, &mut run.eval_after].into_iter().flatten() {
            (e.accuracy, e.interval, e.loss) = (None, None, f64::NAN);
        }
        run.measured.peak_rss = Bytes(u64::MAX);
        run.speed.forward_ms_median = Some(0.0);
        let html = training(&run);
        for attribute in ["=\"NaN", "=\"inf", ",NaN", ",inf"] {
            assert!(!html.contains(attribute), "{attribute}");
        }
    }

    #[test]
    fn smoothing_keeps_a_constant_and_halves_noise() {
        let points: Vec<(f64, f64)> = (0..200).map(|i| (f64::from(i), 1.0 + 0.5 * (-1f64).powi(i))).collect();
        let worst = smooth(&points).iter().map(|p| (p.1 - 1.0).abs()).fold(0.0, f64::max);
        assert!(worst < 0.06, "{worst}");
    }
}
