//! Bars of bytes: the peak against the budget, and the regions planned and measured.

use crate::chart::{Axis, WIDTH, across, legend, n};
use crate::record::{Measured, RunRecord};
use crate::words;
use maud::{Markup, html};
use sprig_budget::{Bytes, Kind, Plan};

/// A budget this many times the peak would squeeze everything else to nothing, so it is named, not drawn.
const FAR: f64 = 4.0;

/// Whether a line at the budget belongs into a picture of what was held.
pub(super) fn shows_budget(plan: &Plan, measured: &Measured) -> bool {
    plan.budget.as_mib() <= FAR * held(plan, measured).as_mib()
}

/// The larger of what was planned and what was seen.
fn held(plan: &Plan, measured: &Measured) -> Bytes {
    plan.total().max(measured.peak_rss)
}

/// Two bars, planned total and measured peak, and the line they may not pass.
pub(super) fn against_budget(run: &RunRecord) -> Markup {
    let (budget, planned, peak) = (run.plan.budget, run.plan.total(), run.measured.peak_rss);
    let drawn = shows_budget(&run.plan, &run.measured);
    let top = if drawn { held(&run.plan, &run.measured).max(budget) } else { held(&run.plan, &run.measured) };
    let axis = Axis::linear(0.0, top.as_mib() * 1.02, 5);
    let about = format!("Planned {planned}, measured peak {peak}, budget {budget}");
    let rows = [("plan", "plan", planned), ("peak", if peak <= budget { "peak" } else { "over" }, peak)];
    let foot = 136.0;
    html! {
        svg viewBox=(format!("0 0 {WIDTH} 176")) role="img" aria-label=(about) {
            title { (about) }
            @for tick in &axis.ticks {
                @let x = across(axis.at(*tick));
                line.grid x1=(n(x)) x2=(n(x)) y1="24" y2=(n(foot)) {}
                text.tick x=(n(x)) y=(n(foot + 17.0)) text-anchor="middle" { (axis.label(*tick)) }
            }
            @for (i, (name, class, bytes)) in rows.iter().enumerate() {
                @let y = 38.0 + 48.0 * i as f64;
                @let width = across(axis.at(bytes.as_mib())) - across(0.0);
                text.name x="0" y=(n(y + 19.0)) { (name) }
                rect.bar.(class) x=(n(across(0.0))) y=(n(y)) width=(n(width)) height="28" rx="3" {}
                @if width > 90.0 {
                    text.inside x=(n(across(0.0) + width - 9.0)) y=(n(y + 19.0)) text-anchor="end" { (bytes) }
                } @else {
                    text.value x=(n(across(0.0) + width + 8.0)) y=(n(y + 19.0)) { (bytes) }
                }
            }
            line.base x1=(n(across(0.0))) x2=(n(across(0.0))) y1="24" y2=(n(foot)) {}
            @if drawn {
                @let x = across(axis.at(budget.as_mib()));
                line.limit x1=(n(x)) x2=(n(x)) y1="18" y2=(n(foot)) {}
                text.limit-label x=(n(x)) y="12" text-anchor=(if x > WIDTH - 70.0 { "end" } else { "middle" }) { "budget " (budget) }
            } @else {
                text.tick x=(n(across(1.0))) y="12" text-anchor="end" { "budget " (budget) ", beyond this scale" }
            }
            text.axis x=(n((across(0.0) + across(1.0)) / 2.0)) y="171" text-anchor="middle" { "MiB" }
        }
    }
}

/// A stretch of a stacked bar.
struct Part<'a> {
    name: &'a str,
    class: &'static str,
    bytes: Bytes,
}

/// The stacked bars, planned over measured.
pub(super) fn stacks(plan: &Plan, measured: &Measured) -> Markup {
    let planned: Vec<Part<'_>> =
        plan.regions.iter().map(|r| Part { name: &r.name, class: r.kind.as_str(), bytes: r.bytes }).collect();
    let seen = measured_parts(plan, measured);
    let drawn = shows_budget(plan, measured);
    let scale = if drawn { held(plan, measured).max(plan.budget) } else { held(plan, measured) };
    let kinds = [Kind::Mapped, Kind::Arena, Kind::Heap, Kind::Fixed];
    let used =
        kinds.into_iter().filter(|k| plan.of_kind(*k) > Bytes::ZERO).map(|k| (k.as_str(), kind_name(k)));
    let rest = seen.iter().any(|p| p.class == "rest").then_some(("rest", "not told apart"));
    html! {
        (legend(used.chain(rest)))
        div.stacks {
            @for (name, parts) in [("planned", &planned), ("measured", &seen)] {
                @let total: Bytes = parts.iter().map(|p| p.bytes).sum();
                span.what { (name) }
                (stack(name, parts, scale, drawn.then_some(plan.budget)))
                span.sum { (total) }
            }
        }
        p.note {
            @if drawn { "The dashed line is the budget of " (plan.budget) ". " } @else { "The budget of " (plan.budget) " lies beyond this scale. " }
            @if rest.is_some() { "Memory not told apart is the process's peak less what its regions were measured to hold." }
        }
    }
}

/// What was measured, region by region; the rest of the process's peak is one last part.
fn measured_parts<'a>(plan: &'a Plan, measured: &Measured) -> Vec<Part<'a>> {
    let mut parts: Vec<Part<'_>> = plan
        .regions
        .iter()
        .filter_map(|r| {
            Some(Part { name: &r.name, class: r.kind.as_str(), bytes: *measured.regions.get(&r.name)? })
        })
        .collect();
    if !parts.iter().any(|p| p.class == Kind::Mapped.as_str()) && measured.mapped > Bytes::ZERO {
        parts.insert(0, Part { name: "mapped", class: Kind::Mapped.as_str(), bytes: measured.mapped });
    }
    if parts.iter().all(|p| p.class == Kind::Mapped.as_str()) && measured.peak_heap > Bytes::ZERO {
        parts.push(Part { name: "arena and heap", class: Kind::Arena.as_str(), bytes: measured.peak_heap });
    }
    let known: Bytes = parts.iter().map(|p| p.bytes).sum();
    if measured.peak_rss > known {
        parts.push(Part { name: "not told apart", class: "rest", bytes: measured.peak_rss - known });
    }
    parts
}

fn stack(name: &str, parts: &[Part<'_>], scale: Bytes, budget: Option<Bytes>) -> Markup {
    // Without text inside, the drawing may be stretched to the width of the page.
    let mut from = Bytes::ZERO;
    let placed: Vec<(&Part<'_>, f64, f64)> = parts
        .iter()
        .map(|part| {
            let x = 1000.0 * from.share_of(scale);
            from += part.bytes;
            (part, x, 1000.0 * part.bytes.share_of(scale))
        })
        .collect();
    let about = format!("Memory {name}: {}", list(parts));
    html! {
        svg.stack viewBox="0 0 1000 34" preserveAspectRatio="none" role="img" aria-label=(about) {
            title { (about) }
            rect.track x="0" y="4" width="1000" height="26" {}
            @for (part, x, width) in placed {
                rect.part.(part.class) x=(n(x)) y="4" width=(n(width)) height="26" {
                    title { (part.name) ": " (part.bytes) }
                }
            }
            @if let Some(budget) = budget {
                @let x = 1000.0 * budget.share_of(scale);
                line.limit x1=(n(x.min(999.0))) x2=(n(x.min(999.0))) y1="0" y2="34" {}
            }
        }
    }
}

fn list(parts: &[Part<'_>]) -> String {
    parts.iter().map(|p| format!("{} {}", p.name, p.bytes)).collect::<Vec<_>>().join(", ")
}

/// The regions with planned and measured bytes.
pub(super) fn regions(plan: &Plan, measured: &Measured) -> Markup {
    let budget = plan.budget;
    let difference = |planned: Bytes, seen: Bytes| match 100.0 * (seen.share_of(planned) - 1.0) {
        _ if planned == Bytes::ZERO => "–".into(),
        change if change.abs() < 0.05 => "0.0%".into(),
        change => format!("{change:+.1}%").replace('-', "−"),
    };
    let mib = |b: Bytes| format!("{:.2}", b.as_mib());
    html! {
        div.wide { table.numbers {
            thead { tr {
                th scope="col" { "region" } th.aside scope="col" { "kind" }
                th.num scope="col" { "planned, MiB" } th.num scope="col" { "measured, MiB" }
                th.num scope="col" { "difference" } th.num.aside scope="col" { "of budget" }
            } }
            tbody {
                @for region in &plan.regions {
                    @let seen = measured.regions.get(&region.name).copied();
                    tr {
                        th scope="row" { i.swatch.(region.kind.as_str()) {} (region.name) @if !region.note.is_empty() { small { (region.note) } } }
                        td.aside { (region.kind.as_str()) }
                        td.num { (mib(region.bytes)) }
                        td.num { (seen.map_or_else(|| "–".into(), mib)) }
                        td.num { (seen.map_or_else(|| "–".into(), |s| difference(region.bytes, s))) }
                        td.num.aside { (words::percent(region.bytes.share_of(budget))) }
                    }
                }
            }
            tfoot {
                @let rows = [
                    ("mapped files", plan.mapped(), measured.mapped),
                    ("arena and heap, as the allocator counts", plan.of_kind(Kind::Arena) + plan.of_kind(Kind::Heap), measured.peak_heap),
                    ("whole process", plan.total(), measured.peak_rss),
                ];
                @for (name, planned, seen) in rows {
                    tr {
                        th scope="row" { (name) } td.aside {}
                        td.num { (mib(planned)) }
                        td.num { (mib(seen)) }
                        td.num { (difference(planned, seen)) }
                        td.num.aside { (words::percent(planned.share_of(budget))) }
                    }
                }
            }
        } }
    }
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Mapped => "mapped file",
        Kind::Arena => "arena",
        Kind::Heap => "heap",
        Kind::Fixed => "code, stacks, overhead",
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn the_measured_bar_adds_up_to_the_peak() {
        let mut run = sample::record();
        let sum =
            |run: &RunRecord| measured_parts(&run.plan, &run.measured).iter().map(|p| p.bytes).sum::<Bytes>();
        assert_eq!(sum(&run), run.measured.peak_rss);
        run.measured.regions.clear();
        assert_eq!(sum(&run), run.measured.peak_rss);
        let parts = measured_parts(&run.plan, &run.measured);
        assert_eq!((parts[0].bytes, parts[1].bytes), (run.measured.mapped, run.measured.peak_heap));
    }

    #[test]
    fn a_far_budget_is_named_and_not_drawn() {
        let mut run = sample::record();
        assert!(against_budget(&run).into_string().contains("budget 300.0 MiB<"));
        run.plan.budget = Bytes::mib(20_000);
        assert!(against_budget(&run).into_string().contains("beyond this scale"));
        run.plan.budget = Bytes::mib(100);
        assert!(against_budget(&run).into_string().contains("class=\"bar over\""));
    }
}
