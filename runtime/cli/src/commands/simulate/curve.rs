//! The learning curve of a simulated fleet as one page.

use maud::{Markup, html};
use sprig_report::chart::{LineChart, Series};
use sprig_report::page::{Page, card};
use sprig_report::words;
use sprig_simulate::{Findings, Point};

/// What a curve shows.
pub struct Curve<'a> {
    /// Rounds and evaluations, in order.
    pub points: &'a [Point],
    /// How the study ended.
    pub findings: &'a Findings,
    /// Settings by name.
    pub settings: Vec<(&'static str, String)>,
    /// The command that draws it again.
    pub command: String,
    /// When it ended, seconds since 1970.
    pub ended: u64,
}

impl Curve<'_> {
    /// The whole page: nothing in it comes from outside, and it runs no script.
    pub fn render(&self) -> String {
        let Findings { devices, rounds, before, after, .. } = self.findings;
        let (devices, rounds) =
            (words::counted((*devices).into(), "device"), words::counted((*rounds).into(), "round"));
        let summary = match (before, after) {
            (Some(before), Some(after)) => format!(
                "Accuracy on {} held-out items: {} before, {} ({:.1}–{:.1}) after.",
                words::count(after.n),
                words::percent(before.accuracy),
                words::percent(after.accuracy),
                100.0 * after.interval[0],
                100.0 * after.interval[1]
            ),
            _ => "It was stopped before what was learnt was evaluated.".to_owned(),
        };
        let body = html! {
            div.pair {
                (card("Held-out accuracy", self.accuracy()))
                (card("Loss", self.loss()))
                (card("Bytes of a device in a round", self.bytes()))
                (card("Settings", html! { dl { @for (name, value) in &self.settings { div { dt { (name) } dd { (value) } } } } }))
            }
            (card("To run it again", html! { pre { (self.command) } }))
        };
        let eyebrow = format!("Sprig simulated fleet · {}", words::date(self.ended));
        Page { title: &format!("{devices}, {rounds}"), eyebrow: &eyebrow, summary: &summary, style: "" }
            .whole(body)
    }

    fn accuracy(&self) -> Markup {
        let line = |of: fn(&sprig_learn::evaluate::Evaluation) -> f64| {
            self.points.iter().filter_map(|p| Some((p.round.into(), 100.0 * of(p.found.as_ref()?)))).collect()
        };
        let ends = self.findings.before.zip(self.findings.after);
        if ends.is_none() {
            return html! { p.none { "It takes an evaluation before and one after a round to draw this." } };
        }
        html! {
            (LineChart {
                about: ends.map_or_else(
                    || "Accuracy over rounds".to_owned(),
                    |(a, b)| format!("Accuracy over rounds, from {} to {}", words::percent(a.accuracy), words::percent(b.accuracy)),
                ),
                x_title: "round",
                places: Vec::new(),
                y_title: "accuracy, %",
                y_range: (f64::INFINITY, f64::NEG_INFINITY),
                may_be_log: false,
                series: vec![
                    Series { name: "accuracy", class: "smooth", points: line(|e| e.accuracy) },
                    Series { name: "95% interval, low end", class: "raw", points: line(|e| e.interval[0]) },
                    Series { name: "high end", class: "raw", points: line(|e| e.interval[1]) },
                ],
                level: None,
            }.draw())
            @if let Some(point) = self.points.last() {
                p.note {
                    "The work of a device that took part in every round was worth "
                    (words::count(point.passes.round() as u64)) " plain forward passes of a batch."
                }
            }
        }
    }

    fn loss(&self) -> Markup {
        let training = |p: &Point| p.found.is_none().then(|| Some((p.round.into(), p.train_loss?))).flatten();
        LineChart {
            about: "Loss over rounds, in training and on held-out data".to_owned(),
            x_title: "round",
            places: Vec::new(),
            y_title: "loss, nats",
            y_range: (f64::INFINITY, f64::NEG_INFINITY),
            may_be_log: true,
            series: vec![
                Series {
                    name: "training, each round",
                    class: "raw",
                    points: self.points.iter().filter_map(training).collect(),
                },
                Series {
                    name: "held-out",
                    class: "smooth",
                    points: self
                        .points
                        .iter()
                        .filter_map(|p| Some((p.round.into(), p.found?.loss)))
                        .collect(),
                },
            ],
            level: None,
        }
        .draw()
    }

    fn bytes(&self) -> Markup {
        let line = |of: fn(&Point) -> f64| {
            self.points.iter().filter(|p| p.round > 0).map(|p| (p.round.into(), of(p))).collect()
        };
        LineChart {
            about: "Mean bytes of a device in a round, up and down".to_owned(),
            x_title: "round",
            places: Vec::new(),
            y_title: "bytes, mean so far",
            y_range: (0.0, 0.0),
            may_be_log: false,
            series: vec![
                Series { name: "up", class: "mapped", points: line(|p| p.bytes_up_per_device_round) },
                Series { name: "down", class: "arena", points: line(|p| p.bytes_down_per_device_round) },
            ],
            level: None,
        }
        .draw()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sprig_learn::evaluate::Evaluation;

    fn found(accuracy: f64) -> Evaluation {
        Evaluation {
            n: 600,
            loss: 2.0 - accuracy,
            loss_error: 0.05,
            accuracy,
            interval: [accuracy - 0.04, accuracy + 0.04],
            answered: None,
        }
    }

    fn point(round: u32, found: Option<Evaluation>) -> Point {
        Point {
            round,
            passes: 4.0 * f64::from(round),
            found,
            acc_g: None,
            acc_p: None,
            calibration: None,
            train_loss: (round > 0).then_some(1.5),
            bytes_up_per_device_round: 606.0,
            bytes_down_per_device_round: 951.0,
            seconds: f64::from(round),
        }
    }

    fn page(points: &[Point], before: Option<Evaluation>, after: Option<Evaluation>) -> String {
        let findings = Findings {
            devices: 100,
            reverted: 0,
            rounds: 20,
            stopped: false,
            mode: "per-iteration",
            before,
            after,
            seconds: 20.0,
            adapter_digest: "ab".repeat(32),
            coverage: Vec::new(),
            budget_bytes: sprig_budget::Bytes::mib(200),
        };
        let hostile = "</style><script>alert(1)</script>".to_owned();
        let settings = vec![("data", hostile.clone())];
        Curve { points, findings: &findings, settings, command: hostile, ended: 1_763_826_900 }.render()
    }

    #[test]
    fn the_curve_stands_alone_and_says_what_matters() {
        let mut points = vec![point(0, Some(found(0.278)))];
        points.extend((1..=20).map(|r| point(r, None)));
        points.push(point(20, Some(found(0.535))));
        let html = page(&points, points[0].found, points[21].found);
        for text in ["100 devices, 20 rounds", "27.8%", "53.5% (49.5–57.5) after", "80 plain forward passes"]
        {
            assert!(html.contains(text), "{text}");
        }
        for text in ["<script", "http:", "src=", "href=", "NaN", "inf"] {
            assert!(!html.contains(text), "{text}");
        }
        assert_eq!((html.matches("<svg").count(), html.matches("</style>").count()), (3, 1));
    }

    #[test]
    fn a_study_stopped_at_once_still_makes_a_page() {
        let html = page(&[], None, None);
        assert!(
            html.contains("stopped before what was learnt was evaluated")
                && html.contains("Nothing was recorded")
        );
    }
}
