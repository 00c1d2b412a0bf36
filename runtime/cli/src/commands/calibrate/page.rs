//! A reliability diagram as a page.

use maud::{Markup, html};
use sprig_learn::calibration::{Bins, Scores};
use sprig_report::chart::{LineChart, Series};
use sprig_report::page::{Page, card};
use sprig_report::words;

/// What a page shows.
pub struct Diagram<'a> {
    /// All scores.
    pub scores: &'a Scores,
    /// 15 bins as the model is,
    pub bins: &'a Bins,
    /// and with its temperature.
    pub scaled: &'a Bins,
    /// The command that draws it again.
    pub command: String,
}

impl Diagram<'_> {
    /// The whole page, made at `now`, seconds since 1970: nothing in it comes from outside, and it runs no script.
    pub fn render(&self, now: u64) -> String {
        let Scores { n, accuracy, ece15, floor15, ece15_scaled, temperature, .. } = *self.scores;
        let summary = format!(
            "{} of {} items right. Calibration error {}, where a calibrated model of these confidences would show {}; with a \
             temperature of {temperature:.2}, {}.",
            words::percent(accuracy),
            words::count(n),
            words::percent(ece15),
            words::percent(floor15),
            words::percent(ece15_scaled)
        );
        let body = html! {
            (card("Reliability", self.reliability()))
            div.pair {
                (card("Where its confidences lie", self.counts()))
                (card("Scores", self.table()))
            }
            (card("To run it again", html! { pre { (self.command) } }))
        };
        let eyebrow = format!("Sprig calibration · {}", words::date(now));
        Page { title: "How sure it is, and whether rightly", eyebrow: &eyebrow, summary: &summary, style: "" }
            .whole(body)
    }

    fn reliability(&self) -> Markup {
        let line = |name, class, bins: &Bins| Series {
            name,
            class,
            points: bins.points().map(|(confidence, right, _)| (100.0 * confidence, 100.0 * right)).collect(),
        };
        let perfect =
            Series { name: "calibrated", class: "before", points: vec![(0.0, 0.0), (100.0, 100.0)] };
        html! {
            (LineChart {
                about: "Accuracy over confidence, by bin".to_owned(),
                x_title: "confidence, %",
                places: Vec::new(),
                y_title: "right, %",
                y_range: (0.0, 100.0),
                may_be_log: false,
                series: vec![perfect, line("as it is", "smooth", self.bins), line("with its temperature", "arena", self.scaled)],
                level: None,
            }.draw())
            p.note { "Below the straight line it is too sure of itself. Bins of equal width, each at its mean confidence." }
        }
    }

    fn counts(&self) -> Markup {
        let points = |bins: &Bins| bins.points().map(|(c, _, n)| (100.0 * c, n as f64)).collect();
        LineChart {
            about: "Items by confidence".to_owned(),
            x_title: "confidence, %",
            places: Vec::new(),
            y_title: "items",
            y_range: (0.0, 0.0),
            may_be_log: false,
            series: vec![
                Series { name: "as it is", class: "smooth", points: points(self.bins) },
                Series { name: "with its temperature", class: "arena", points: points(self.scaled) },
            ],
            level: None,
        }
        .draw()
    }

    fn table(&self) -> Markup {
        let Scores { ece15, ece10, ece15_mass, gap, brier, nll, auroc, set_size90, covered90, .. } =
            *self.scores;
        let rows = [
            ("error, 15 bins", words::percent(ece15)),
            ("10 bins", words::percent(ece10)),
            ("15 bins of as many items", words::percent(ece15_mass)),
            ("confidence less accuracy", format!("{:+.1} points", 100.0 * gap)),
            (
                "options to be right nine times in ten",
                format!("{set_size90:.2} ({} held)", words::percent(covered90)),
            ),
            ("Brier", format!("{brier:.4}")),
            ("negative log-likelihood", format!("{nll:.4} nats")),
            ("AUROC", auroc.map_or_else(|| "–".to_owned(), |a| format!("{a:.3}"))),
        ];
        html! { dl { @for (name, value) in rows { div { dt { (name) } dd { (value) } } } } }
    }
}
