//! A run as a page: what was learnt from phase to phase, what was mined, what is answered now.

use super::progress::{Progress, Watched};
use super::under_way::told;
use maud::{Markup, html};
use sprig_lookalike::{Answers, Kind, Phase, Scores};
use sprig_mcq::{Asked, Split};
use sprig_report::chart::{LineChart, Series};
use sprig_report::page::{Page as Whole, card};
use sprig_report::words;

/// Items whose answers are shown.
const SHOWN: usize = 6;

/// What a page shows.
pub struct Page<'a> {
    /// Scores, pairs, looks.
    pub progress: &'a Progress,
    /// The phases.
    pub phases: &'a [Phase],
    /// Items that were watched,
    pub watched: &'a [Asked],
    /// and what is said about them in the end.
    pub after: &'a [Answers],
}

impl Page<'_> {
    /// The whole page; `command` draws it again.
    pub fn render(&self, command: &str) -> String {
        let scores = self.progress.last(Split::Parameters);
        let share = |hits, of| words::percent(Scores::share(hits, of).unwrap_or(0.0));
        let summary = format!(
            "Of {} new questions {} are answered with the wrong answer that the error leads to, and {} with an error that leads \
             to the wrong answer. {} pairs were mined from the model's own inconsistencies.",
            words::count(scores.t1.max(scores.t2)),
            share(scores.t1_exact, scores.t1),
            share(scores.t2_exact, scores.t2),
            words::count(self.progress.mined.total())
        );
        let body = html! {
            div.pair {
                (card("From phase to phase", self.course()))
                (card("Gold answers on the way", self.looks()))
            }
            (card("Tests", self.tests()))
            (card("Mined from its own answers", self.mined()))
            (card("Items before and after", self.items()))
            (card("To run it again", html! { pre { (command) } }))
        };
        Whole {
            title: "Wrong answers that follow from errors",
            eyebrow: "Sprig lookalike",
            summary: &summary,
            style: "",
        }
        .whole(body)
    }

    fn course(&self) -> Markup {
        let line = |name, class, of: fn(&Scores) -> (u64, u64)| {
            let at = |phase: usize| {
                let (hits, all) = of(&self.progress.of(Split::Dev, phase));
                Scores::share(hits, all).map(|share| (phase as f64, 100.0 * share))
            };
            Series { name, class, points: (0..=self.phases.len()).filter_map(at).collect() }
        };
        LineChart {
            about: "Scores of items kept back, after each phase".to_owned(),
            x_title: "phases",
            places: Vec::new(),
            y_title: "of items, %",
            y_range: (0.0, 100.0),
            may_be_log: false,
            series: vec![
                line("answers as the error leads to", "smooth", |s| (s.t1_exact, s.t1)),
                line("errors that lead to the answer", "arena", |s| (s.t2_exact, s.t2)),
                line("answers of another error", "before", |s| (s.t1_swap, s.t1)),
            ],
            level: None,
        }
        .draw()
    }

    fn looks(&self) -> Markup {
        let before = |phase: usize| self.phases.iter().take(phase).map(|phase| phase.steps).sum::<u64>();
        let place = |look: &Watched| (before(look.phase) + look.step) as f64;
        let points = self.progress.watched.iter().map(|look| (place(look), look.gold)).collect();
        html! {
            (LineChart {
                about: "Log-probability of gold answers over steps".to_owned(),
                x_title: "steps",
                places: Vec::new(),
                y_title: "nats, less those at the last supervised end",
                y_range: (0.0, 0.0),
                may_be_log: false,
                series: vec![Series { name: "gold answers", class: "smooth", points }],
                level: None,
            }.draw())
            p.note { "Preferences may lower the probability of both answers: here is by how much." }
        }
    }

    fn tests(&self) -> Markup {
        let last = self.progress.scores.iter().map(|scored| scored.phase).max().unwrap_or(0);
        let rows = self.progress.scores.iter().filter(|s| s.phase == last && s.split != Split::Dev);
        let share = |hits, of| Scores::share(hits, of).map_or_else(|| "–".to_owned(), words::percent);
        html! { table {
            thead { tr {
                th { "test" } th { "family" } th { "answer exact" } th { "of another error" } th { "key" } th { "parsed" }
                th { "error exact" } th { "alike again" }
            } }
            tbody { @for row in rows { tr {
                td { (row.split) } td { (row.family) }
                td { (share(row.scores.t1_exact, row.scores.t1)) } td { (share(row.scores.t1_swap, row.scores.t1)) }
                td { (share(row.scores.key, row.scores.t1)) } td { (share(row.scores.parse, row.scores.t1)) }
                td { (share(row.scores.t2_exact, row.scores.t2)) } td { (share(row.scores.cyc_m, row.scores.t2)) }
            } } }
        } }
    }

    fn mined(&self) -> Markup {
        let of = |kind: Kind| self.progress.mined.pairs.get(&kind).copied().unwrap_or(0);
        html! {
            p { @for kind in Kind::ALL { (words::count(of(kind))) " " (kind) ". " } }
            @for pair in &self.progress.examples {
                pre { (pair.kind) ", " (pair.task) "\n" (pair.prompt) "\n  gold  " (pair.chosen.trim()) "\n  own   " (pair.rejected.trim()) }
            }
        }
    }

    fn items(&self) -> Markup {
        let text = |text: &Option<String>| text.as_deref().map_or("–", str::trim).to_owned();
        let items = self.watched.iter().zip(&self.progress.before).zip(self.after).take(SHOWN);
        html! {
            @for ((asked, before), after) in items {
                p { (asked.item.text) " Right: " (asked.item.key.render()) "." }
                table {
                    thead { tr { th { "error" } th { "leads to" } th { "answered before" } th { "after" } th { "named before" } th { "after" } } }
                    tbody { tr {
                        td { (asked.fault().map_or("", |fault| &*fault.text)) }
                        td { (asked.fault().map(|fault| fault.answer.render()).unwrap_or_default()) }
                        td { (text(&before.wrong_answer)) } td { (text(&after.wrong_answer)) }
                        td { (text(&before.error)) } td { (text(&after.error)) }
                    } }
                }
            }
            p.note { "Phases: " @for phase in self.phases { (phase.steps) " steps of " (told(phase.goal)) ". " } }
        }
    }
}
