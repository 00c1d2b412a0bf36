//! The report of a profile: what fits the budget, what each setting held and how fast it went, region by region and over
//! time, and how warm the board became.

use super::{Page, card, frontier, heat, memory as bytes, tables};
use crate::chart::{Bar, LineChart, Series, bars};
use crate::profile::{Outcome, Point, Profile, Ran};
use crate::words;
use maud::{Markup, html};
use sprig_budget::Bytes;

/// Bars and regions are drawn for at most so many settings: a full grid has hundreds.
const MOST_DRAWN: usize = 24;

/// Rules for what only this page has.
const STYLE: &str =
    "details { border-top: 1px solid var(--edge); padding: 8px 0; } details summary { cursor: pointer; }
.s1 { --c: var(--blue); } .s2 { --c: var(--limit); } .no { color: var(--limit); }
p.lead { margin-bottom: 10px; }";

/// The page of a profile.
pub fn profile_page(profile: &Profile) -> String {
    let name = profile.model.as_ref().map_or(&profile.model_file, |model| &model.name);
    let title = format!("{name} on {}", profile.board.title);
    let eyebrow = format!("Sprig memory profile · {}", words::date(profile.ended));
    let body = html! {
        (tiles(profile))
        (card("What fits the budget", frontier::chart_and_table(profile)))
        (card("Every setting", settings(profile)))
        div.pair {
            (card("Speed", speed(profile)))
            (card("Memory over the profile", memory(profile)))
        }
        (card("Planned against measured, by region", regions(profile)))
        div.pair {
            (card("Heat and throttling", heat::chart_and_table(profile)))
            (card("Board and program", provenance(profile)))
        }
        (card("To run it again", html! { pre { (profile.command) } }))
    };
    Page { title: &title, eyebrow: &eyebrow, summary: &summary(profile), style: STYLE }.whole(body)
}

fn tiles(profile: &Profile) -> Markup {
    let tile = |name: &str, value: String, below: String| {
        html! { div.tile { p.name { (name) } p.value { (value) } p.below { (below) } } }
    };
    let of = |ran: Option<&(&Point, &Ran)>| {
        ran.map_or_else(|| "–".to_owned(), |(point, _)| point.setting.to_string())
    };
    let ran: Vec<_> = profile.ran().collect();
    let peak = ran.iter().max_by_key(|(_, ran)| ran.measured.peak_rss);
    let fast = ran.iter().max_by(|a, b| a.1.speed.tokens_per_s.total_cmp(&b.1.speed.tokens_per_s));
    let refused =
        profile.points.iter().filter(|point| matches!(point.outcome, Outcome::Refused { .. })).count();
    let seen = profile.points.iter().filter_map(|point| point.heat.hottest).reduce(f64::max);
    html! {
        div.tiles {
            (tile("Settings that fit", format!("{} of {}", ran.len(), profile.points.len()), format!("{refused} refused at {}", profile.budget)))
            (tile("Highest peak", peak.map_or_else(|| "–".into(), |(_, ran)| ran.measured.peak_rss.to_string()), of(peak)))
            (tile("Fastest", fast.map_or_else(|| "–".into(), |(_, ran)| format!("{} tokens/s", words::number(ran.speed.tokens_per_s))), of(fast)))
            (tile("Plan against peak", worst(&ran).map_or_else(|| "–".into(), signed), "the furthest of all settings".into()))
            (tile("Hottest", seen.map_or_else(|| "–".into(), words::degrees), heat::in_short(profile)))
        }
    }
}

/// How far the plan was from the peak where it was furthest, as a share of the plan.
fn worst(ran: &[(&Point, &Ran)]) -> Option<f64> {
    let shares = ran.iter().map(|(_, ran)| apart(ran));
    shares.max_by(|a, b| a.abs().total_cmp(&b.abs()))
}

/// How far the peak was from the plan: below 0 it held less.
fn apart(ran: &Ran) -> f64 {
    ran.measured.peak_rss.share_of(ran.plan.total()) - 1.0
}

fn signed(share: f64) -> String {
    format!("{:+.1}%", 100.0 * share).replace('-', "−")
}

fn summary(profile: &Profile) -> String {
    let over = profile.ran().filter(|(_, ran)| ran.measured.peak_rss > profile.budget).count();
    let tried = words::counted(profile.points.len() as u64, "setting");
    let steps = words::counted(profile.steps, "step");
    let kept = match over {
        0 => format!("no process held more than the budget of {}", profile.budget),
        over => format!(
            "{} held more than the budget of {}",
            words::counted(over as u64, "process"),
            profile.budget
        ),
    };
    format!("{tried}, each {steps} in a process of its own; {kept}.")
}

fn settings(profile: &Profile) -> Markup {
    html! {
        div.wide { table.numbers {
            thead { tr {
                th scope="col" { "batch × length, way" } th.num scope="col" { "planned" } th.num scope="col" { "peak" }
                th.num scope="col" { "difference" } th.num scope="col" { "step" } th.num scope="col" { "tokens/s" }
                th.num.aside scope="col" { "took" }
            } }
            tbody { @for point in &profile.points { tr {
                th scope="row" { (point.setting) @if let Some(more) = in_full(point) { small { (more) } } }
                @match &point.outcome {
                    Outcome::Ran(ran) => {
                        td.num { (ran.plan.total()) }
                        td.num { (ran.measured.peak_rss) }
                        td.num { (signed(apart(ran))) }
                        td.num { (words::millis(ran.speed.step_ms_median)) }
                        td.num { (words::number(ran.speed.tokens_per_s)) }
                    }
                    Outcome::Refused { smallest_budget } => td.no colspan="5" { "refused: needs " (smallest_budget) },
                    Outcome::Failed { why, .. } => td.no colspan="5" { "failed: " (why) },
                }
                td.num.aside { (words::duration(point.took_s.max(0.0) as u64)) }
            } } }
        } }
    }
}

/// What the program chose itself, and what it gave up.
fn in_full(point: &Point) -> Option<String> {
    let ran = point.ran()?;
    let mut parts = Vec::new();
    if point.setting.estimator != ran.estimator {
        parts.push(ran.estimator.clone());
    }
    parts.extend(ran.plan.ladder.iter().map(|rung| rung.why.clone()));
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn speed(profile: &Profile) -> Markup {
    let bar = |(point, ran): (&Point, &Ran)| Bar {
        name: point.setting.to_string(),
        class: "s1",
        value: ran.speed.tokens_per_s,
        label: format!("{} tokens/s", words::number(ran.speed.tokens_per_s)),
    };
    let drawn: Vec<Bar> = profile.ran().take(MOST_DRAWN).map(bar).collect();
    html! {
        @if drawn.is_empty() { p.none { "Nothing ran." } } @else { (bars("Tokens a second at each setting", &drawn)) }
    }
}

/// The processes one after another, each a line of its own.
fn memory(profile: &Profile) -> Markup {
    let mut points = Vec::new();
    for point in &profile.points {
        points.extend(point.timeline.iter().map(|s| (point.at_s + s.ms as f64 / 1e3, s.rss.as_mib())));
        // A hole between two processes.
        points.extend(points.last().map(|last| (last.0, f64::NAN)));
    }
    let budget = profile.budget;
    let peak = profile.ran().map(|(_, ran)| ran.measured.peak_rss).max().unwrap_or(Bytes::ZERO);
    let near = budget.as_mib() <= 4.0 * peak.as_mib();
    html! {
        (LineChart {
            about: format!("Resident memory of each setting's process over time: up to {peak}, budget {budget}"),
            x_title: "seconds",
            places: Vec::new(),
            y_title: "MiB resident",
            y_range: (0.0, if near { budget.as_mib() * 1.03 } else { 0.0 }),
            may_be_log: false,
            series: vec![Series { name: "resident", class: "mapped", points }],
            level: near.then(|| (budget.as_mib(), format!("budget {budget}"))),
        }.draw())
        @if !near { p.note { "The budget of " (budget) " lies far above this chart." } }
    }
}

fn regions(profile: &Profile) -> Markup {
    let all: Vec<_> = profile.ran().collect();
    let widest = all.iter().max_by_key(|(_, ran)| ran.measured.peak_rss).map(|(point, _)| &point.setting);
    html! {
        @if all.is_empty() { p.none { "Nothing ran." } }
        @for (point, ran) in all.iter().take(MOST_DRAWN) {
            details open[Some(&point.setting) == widest] {
                summary { (point.setting) ": planned " (ran.plan.total()) ", peak " (ran.measured.peak_rss) }
                (bytes::stacks(&ran.plan, &ran.measured))
                (bytes::regions(&ran.plan, &ran.measured))
            }
        }
        @if all.len() > MOST_DRAWN { p.note { "The first " (MOST_DRAWN) " settings that ran; the rest stands in profile.json." } }
    }
}

fn provenance(profile: &Profile) -> Markup {
    let (board, fact) = (&profile.board, tables::fact);
    let machine = &board.machine;
    html! {
        dl {
            (fact("board", &format!("{} ({})", board.title, board.name)))
            (fact("processor", &format!("{}, {}", machine.cpu, words::counted(machine.cores.into(), "core"))))
            (fact("memory", &machine.ram.to_string()))
            (fact("system", &machine.kernel))
            @if let Some((_, ran)) = profile.ran().next() {
                (fact("kernels", &format!("{} on {}", ran.isa, words::counted(ran.threads.into(), "thread"))))
            }
            (fact("program", &format!("sprig {}", profile.sprig_version)))
            (fact("commit", profile.commit.as_deref().unwrap_or("the build does not say")))
            (fact("model", &profile.model.as_ref().map_or_else(
                || profile.model_file.clone(),
                |model| format!("{}, {}, {}", model.name, model.quantisation, model.bytes),
            )))
            (fact("task", &profile.task))
            (fact("began", &words::date(profile.started)))
            (fact("ended", &words::date(profile.ended)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::profiled;
    use super::*;

    #[test]
    fn the_page_stands_alone_and_says_what_matters() {
        let html = profile_page(&profiled::profile());
        for text in [
            "SmolLM2",
            "Raspberry Pi",
            "refused: needs 512.0 MiB",
            "2 of 4",
            "stacked activations",
            "failed: a &lt;b&gt;",
            "71.5 °C",
            "throttled",
        ] {
            assert!(html.contains(text), "{text}");
        }
        for text in ["<script", "http:", "https:", "src=", "href=", "NaN", "inf\""] {
            assert!(!html.contains(text), "{text}");
        }
        assert_eq!(html.matches("<svg").count(), html.matches("role=\"img\"").count());
        assert_eq!(html.matches("<details open").count(), 1);
    }

    #[test]
    fn a_profile_without_anything_still_makes_a_page() {
        let mut profile = profiled::profile();
        profile.points.clear();
        profile.model = None;
        let html = profile_page(&profile);
        assert!(html.contains("Nothing ran") && html.contains("0 of 0") && !html.contains("NaN"));
    }

    #[test]
    fn odd_numbers_make_no_odd_coordinates() {
        let mut profile = profiled::profile();
        for point in &mut profile.points {
            (point.at_s, point.took_s, point.heat.hottest) = (f64::NAN, f64::INFINITY, Some(f64::NAN));
            if let Outcome::Ran(ran) = &mut point.outcome {
                ran.speed.tokens_per_s = f64::NAN;
                ran.plan.regions.clear();
            }
        }
        let html = profile_page(&profile);
        for attribute in ["=\"NaN", "=\"inf", ",NaN", ",inf"] {
            assert!(!html.contains(attribute), "{attribute}");
        }
    }
}
