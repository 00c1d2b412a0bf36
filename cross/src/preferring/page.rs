//! `preferring.html`: one self-contained page. The claims, and for each set the errors of all ways and the reliability of some.

use super::arm::{Arm, BASE};
use super::claims::Claim;
use super::found::Cell;
use super::score::{Judged, bins};
use super::table::{Row, said};
use maud::{Markup, html};
use sprig_report::chart::{Bar, LineChart, Series, bars};
use sprig_report::page::{Page, card};

/// Colours of the ways, in their order.
const CLASSES: [&str; 10] = ["a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9"];

/// The page.
pub fn page(cells: &[Cell], rows: &[Row], claims: &[Claim]) -> String {
    let body = html! {
        (card("Claims", claimed(claims)))
        @for cell in cells.iter().filter(|cell| cell.is_own()) {
            (card(&cell.on, html! {
                (errors(&cell.on, &cell.on, rows))
                div.pair { (reliability(cell, "as they are", |item| item.confidence)) (reliability(cell, "with their temperatures", |item| item.scaled)) }
            }))
        }
        @for cell in cells.iter().filter(|cell| !cell.is_own()) {
            (card(&format!("{}, judged on {}", cell.set, cell.on), errors(&cell.set, &cell.on, rows)))
        }
    };
    let seeds = rows.iter().map(|row| row.seeds).max().unwrap_or(0);
    let eyebrow = format!("SmolLM2-135M (Q4_1), {seeds} seeds");
    let summary = "Ways to learn from right and wrong answers, each from one base with as many steps: how far confidence is from \
                   how often it is right, on what was learnt and on what was not.";
    let style = include_str!("../learning/page.css");
    Page { title: "Preferences and honest confidence", eyebrow: &eyebrow, summary, style }.whole(body)
}

fn claimed(claims: &[Claim]) -> Markup {
    html! {
        dl {
            @for claim in claims {
                div { dt { (claim.id) ": " (claim.says) } dd { (said(claim.held)) } p.note { (claim.why) } }
            }
        }
    }
}

/// Bars of the calibration error.
fn errors(set: &str, on: &str, rows: &[Row]) -> Markup {
    let some: Vec<&Row> = rows.iter().filter(|row| (&*row.set, &*row.on) == (set, on)).collect();
    let drawn = some.iter().enumerate().map(|(i, row)| {
        let less = row
            .less_dpo
            .map_or_else(String::new, |(_, low, high)| format!(", {low:+.1} to {high:+.1} of DPO's"));
        Bar {
            name: format!("{}: {:.1} % right, {:.1} scaled{less}", row.arm, row.accuracy, row.scaled),
            class: CLASSES[i % CLASSES.len()],
            value: row.error.0,
            label: format!("{:.1}", row.error.0),
        }
    });
    html! {
        p.note { "Calibration error over 15 bins, %; a calibrated model would show about " (format!("{:.1}", floor(&some))) "." }
        (bars("calibration error", &drawn.collect::<Vec<_>>()))
    }
}

fn floor(rows: &[&Row]) -> f64 {
    rows.iter().map(|row| row.floor).sum::<f64>() / rows.len().max(1) as f64
}

/// Accuracy over confidence of the base, DPO and CATTO, all seeds together.
fn reliability(cell: &Cell, what: &str, confidence: fn(&Judged) -> f64) -> Markup {
    let perfect = Series { name: "calibrated", class: "before", points: vec![(0.0, 0.0), (100.0, 100.0)] };
    let shown = [(BASE, "a5"), (Arm::Dpo.name(), "a1"), (Arm::Catto.name(), "a0")];
    let lines = shown.into_iter().filter_map(|(name, class)| {
        let items: Vec<Judged> = cell.ways.get(name)?.values().flatten().copied().collect();
        let points =
            bins(&items, confidence).into_iter().map(|(c, right, _)| (100.0 * c, 100.0 * right)).collect();
        Some(Series { name, class, points })
    });
    let chart = LineChart {
        about: format!("accuracy over confidence, {what}"),
        x_title: "confidence, %",
        places: Vec::new(),
        y_title: "right, %",
        y_range: (0.0, 100.0),
        may_be_log: false,
        series: std::iter::once(perfect).chain(lines).collect(),
        level: None,
    };
    html! { div { p.note { "Confidences " (what) "." } (chart.draw()) } }
}

#[cfg(test)]
mod tests {
    use super::super::claims::claims;
    use super::super::found::tests::measured;
    use super::super::table::rows;
    use super::*;

    #[test]
    fn the_page_stands_alone_with_bars_and_reliability() {
        let (folder, found) = measured(&[(Arm::Dpo, 0.9), (Arm::Catto, 0.7)]);
        let cells = Cell::all(&found, folder.path()).unwrap();
        let page = page(&cells, &rows(&cells, &found), &claims(&cells, &found));
        for text in [
            "&lt;quiz&gt;",
            "judged on other",
            "23.3",
            "66.7 % right",
            "C7: ",
            "not measured",
            "with their temperatures",
        ] {
            assert!(page.contains(text), "{text}");
        }
        for text in ["<script", "http:", "src=", "NaN", "<quiz>"] {
            assert!(!page.contains(text), "{text}");
        }
        // Bars of two sets, reliability of one twice.
        assert_eq!(page.matches("<svg").count(), 4);
    }
}
