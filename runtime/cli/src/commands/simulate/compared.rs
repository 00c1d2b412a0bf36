//! Flow and what it is compared with, as one page.

use maud::{Markup, html};
use sprig_report::chart::{Axis, LineChart, Series, Whisker, whiskers};
use sprig_report::page::{Page, card};
use sprig_report::words;
use sprig_simulate::{Control, Finding};

/// Controls whose shares and whose new devices are drawn: those that Flow's own are held against.
const DRAWN: [(Control, &str); 5] = [
    (Control::Flow, "smooth"),
    (Control::ReadOut, "arena"),
    (Control::FedAvgFt, "heap"),
    (Control::Local, "rate"),
    (Control::WholeModel, "before"),
];

/// What a page shows.
pub struct Compared<'a> {
    /// What was found, in order.
    pub found: &'a [Finding],
    /// Settings by name.
    pub settings: Vec<(&'static str, String)>,
    /// The command that draws it again.
    pub command: String,
    /// When it ended, seconds since 1970.
    pub ended: u64,
}

impl Compared<'_> {
    /// The whole page: nothing in it comes from outside, and it runs no script.
    pub fn render(&self) -> String {
        let (devices, rows) = self.found.first().map_or((0, 0), |found| {
            (found.devices.len() as u64, found.devices.iter().map(|device| device.rows).sum())
        });
        let best = self.found.iter().max_by(|a, b| a.accuracy_personal.total_cmp(&b.accuracy_personal));
        let summary = best.map_or_else(
            || "It was stopped before anything was found.".to_owned(),
            |best| {
                format!(
                    "Best served by {}: {} of {} held-out rows right, the server's adapter by itself {}.",
                    best.control,
                    words::percent(best.accuracy_personal),
                    words::count(rows),
                    words::percent(best.accuracy_global)
                )
            },
        );
        let body = html! {
            (card("How well devices are served", self.served()))
            (card("In numbers", self.table()))
            div.pair {
                (card("Devices that join", self.joined()))
                (card("The shared adapter's share, block by block", self.shares()))
                (card("What the personal model changes", self.outcomes()))
                (card("Settings", html! { dl { @for (name, value) in &self.settings { div { dt { (name) } dd { (value) } } } } }))
            }
            (card("To run it again", html! { pre { (self.command) } }))
        };
        let eyebrow = format!("Sprig simulated fleet · {}", words::date(self.ended));
        let title = format!("Flow beside its controls, {}", words::counted(devices, "device"));
        Page { title: &title, eyebrow: &eyebrow, summary: &summary, style: "" }.whole(body)
    }

    fn served(&self) -> Markup {
        let row = |found: &Finding| Whisker {
            name: found.control.name(),
            class: if matches!(found.control, Control::Flow | Control::ReadOut) { "smooth" } else { "raw" },
            value: 100.0 * found.accuracy_personal,
            interval: Some((100.0 * found.interval[0], 100.0 * found.interval[1])),
            label: words::percent(found.accuracy_personal),
        };
        let rows: Vec<Whisker> = self.found.iter().map(row).collect();
        let ends = rows.iter().filter_map(|row| row.interval);
        let (low, high) = ends.fold((100.0f64, 0.0f64), |a, b| (a.0.min(b.0), a.1.max(b.1)));
        html! {
            (whiskers("Accuracy of the personal models by control", "accuracy of the personal models, %",
                &Axis::linear(low.min(high), high, 5), &rows))
            p.note { "Intervals of 95 %, by resampling devices." }
        }
    }

    fn table(&self) -> Markup {
        html! {
            table {
                thead { tr {
                    th { "control" } th { "server" } th { "own" } th { "personal" } th { "hard" }
                    th { "better, as well, worse" } th { "either" } th { "new devices" } th { "seconds" }
                } }
                tbody { @for found in self.found { tr {
                    td { (found.control) }
                    @for share in [found.accuracy_global, found.accuracy_local, found.accuracy_personal, found.accuracy_personal_hard] {
                        td { (words::percent(share)) }
                    }
                    td { (found.devices_better) ", " (found.devices_equal) ", " (found.devices_worse) }
                    td { (words::percent(found.oracle)) }
                    td { @if let Some([_, personal]) = found.unseen { (words::percent(personal)) } @else { "–" } }
                    td { (words::number(found.seconds)) }
                } } }
            }
            p.note { "Either: rows that the server's adapter or the device's own is right about. New devices took no part in the rounds." }
        }
    }

    fn joined(&self) -> Markup {
        // 0 has no place on an axis of doublings: it stands where 4 would.
        let at = |examples: usize| (examples as f64).max(4.0);
        let drawn = self.drawn().filter(|(found, _)| !found.joined.is_empty());
        let series: Vec<Series<'_>> = drawn
            .map(|(found, class)| Series {
                name: found.control.name(),
                class,
                points: found.joined.iter().map(|j| (at(j.examples), 100.0 * j.accuracy_personal)).collect(),
            })
            .collect();
        let longest = self.found.iter().map(|found| &found.joined).max_by_key(|joined| joined.len());
        let places =
            longest.into_iter().flatten().map(|j| (at(j.examples), j.examples.to_string())).collect();
        LineChart {
            about: "Accuracy of devices that join, by their own examples".to_owned(),
            x_title: "examples of its own",
            places,
            y_title: "accuracy, %",
            y_range: (f64::INFINITY, f64::NEG_INFINITY),
            may_be_log: false,
            series,
            level: None,
        }
        .draw()
    }

    fn shares(&self) -> Markup {
        let line = |name: &'static str, class, shares: &[f64]| Series {
            name,
            class,
            points: shares.iter().enumerate().map(|(i, q)| (i as f64 + 1.0, 100.0 * q)).collect(),
        };
        let of = |control| self.found.iter().find(|f| f.control == control && f.shares.len() > 1);
        let flow = of(Control::Flow).into_iter().flat_map(|flow| {
            [
                line("all texts", "smooth", &flow.shares),
                line("texts it is wrong about", "raw", &flow.shares_wrong),
            ]
        });
        let bias = of(Control::BiasOnly).map(|bias| line("whatever the text", "arena", &bias.shares));
        html! {
            (LineChart {
                about: "Mean share of the shared adapter by routed block".to_owned(),
                x_title: "routed block, from below",
                places: Vec::new(),
                y_title: "share, %",
                y_range: (0.0, 100.0),
                may_be_log: false,
                series: flow.chain(bias).collect(),
                level: Some((50.0, "both alike".to_owned())),
            }.draw())
        }
    }

    fn outcomes(&self) -> Markup {
        html! {
            table {
                thead { tr { th { "control" } th { "both right" } th { "personal alone" } th { "server alone" } } }
                tbody { @for (found, _) in self.drawn() { tr {
                    td { (found.control) }
                    @for share in found.right { td { (words::percent(share)) } }
                } } }
            }
        }
    }

    fn drawn(&self) -> impl Iterator<Item = (&Finding, &'static str)> {
        let find = |control| self.found.iter().find(move |found| found.control == control);
        DRAWN.into_iter().filter_map(move |(control, class)| Some((find(control)?, class)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sprig_simulate::{Joined, Share};

    fn finding(control: Control, personal: f64) -> Finding {
        let joined = |examples| Joined {
            examples,
            devices: 2,
            rows: 40,
            accuracy_global: 0.5,
            accuracy_local: 0.6,
            accuracy_personal: 0.5 + examples as f64 / 1000.0,
        };
        Finding {
            control,
            accuracy_global: 0.7,
            accuracy_local: 0.8,
            accuracy_personal: personal,
            accuracy_personal_hard: personal,
            interval: [personal - 0.05, personal + 0.05],
            loss_personal: 0.5,
            loss_global: 0.9,
            devices_better: 9,
            devices_equal: 2,
            devices_worse: 1,
            unseen: Some([0.6, 0.75]),
            right: [0.65, 0.2, 0.05],
            oracle: 0.9,
            oracle_loss: 0.9,
            shares: vec![0.4, 0.6, 0.7],
            shares_wrong: vec![0.5, 0.5, 0.6],
            devices: vec![Share { rows: 20, ..Share::default() }; 12],
            joined: [0, 10, 200].map(joined).to_vec(),
            seconds: 12.3,
        }
    }

    #[test]
    fn the_page_stands_alone_and_says_what_matters() {
        let hostile = "</style><script>alert(1)</script>".to_owned();
        for found in [
            vec![
                finding(Control::Flow, 0.85),
                finding(Control::BiasOnly, 0.84),
                finding(Control::ReadOut, 0.893),
            ],
            vec![finding(Control::FedAvg, 0.7)],
            Vec::new(),
        ] {
            let page = Compared {
                found: &found,
                settings: vec![("data", hostile.clone())],
                command: hostile.clone(),
                ended: 1_763_826_900,
            };
            let html = page.render();
            for text in ["<script", "http:", "src=", "href=", "NaN", "inf"] {
                assert!(!html.contains(text), "{text}");
            }
            if found.len() == 3 {
                for text in
                    ["12 devices", "readout: 89.3%", "240 held-out rows", "9, 2, 1", "whatever the text"]
                {
                    assert!(html.contains(text), "{text}");
                }
            }
        }
    }
}
