//! The frontier of what fits: memory by the size of a step, and of each way the largest step that ran and the smallest that
//! was refused.

use crate::chart::{LineChart, Series};
use crate::profile::{Outcome, Point, Profile};
use crate::words;
use maud::{Markup, html};
use std::collections::BTreeSet;

/// Places named on the axis at most.
const MOST_PLACES: usize = 12;

/// What one way of learning has room for.
struct Reach<'a> {
    way: String,
    /// The largest step that ran.
    most: Option<&'a Point>,
    /// The smallest that was refused.
    least_refused: Option<&'a Point>,
}

/// The picture and the table.
pub(super) fn chart_and_table(profile: &Profile) -> Markup {
    html! { (chart(profile)) (table(profile)) }
}

fn chart(profile: &Profile) -> Markup {
    let mib = |point: &Point| match &point.outcome {
        Outcome::Ran(ran) => Some((true, ran.measured.peak_rss.as_mib())),
        Outcome::Refused { smallest_budget } => Some((false, smallest_budget.as_mib())),
        Outcome::Failed { .. } => None,
    };
    let of = |fits: bool| {
        let points = profile.points.iter().filter_map(|point| Some((point.setting.tokens(), mib(point)?)));
        let mut points: Vec<(f64, f64)> = points
            .filter(|(tokens, (ran, _))| *ran == fits && *tokens > 0)
            .map(|(tokens, (_, mib))| (tokens as f64, mib))
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        points
    };
    let sizes: BTreeSet<u64> = profile.points.iter().map(|p| p.setting.tokens()).filter(|n| *n > 0).collect();
    let every = sizes.len().div_ceil(MOST_PLACES).max(1);
    let places = sizes.iter().step_by(every).map(|tokens| (*tokens as f64, words::count(*tokens))).collect();
    let (budget, refused) = (profile.budget, of(false));
    let mut series = vec![Series { name: "ran: measured peak", class: "s1", points: of(true) }];
    if !refused.is_empty() {
        series.push(Series { name: "refused: smallest budget that would do", class: "s2", points: refused });
    }
    LineChart {
        about: format!("Memory by tokens of a step; budget {budget}"),
        x_title: "tokens of a step (batch × length)",
        places,
        y_title: "MiB",
        y_range: (0.0, 0.0),
        may_be_log: false,
        series,
        level: Some((budget.as_mib(), format!("budget {budget}"))),
    }
    .draw()
}

fn table(profile: &Profile) -> Markup {
    let largest = |point: Option<&Point>| {
        point.map_or_else(|| "none".to_owned(), |p| format!("{} × {}", p.setting.batch, p.setting.len))
    };
    html! {
        div.wide { table.numbers {
            thead { tr {
                th scope="col" { "way" } th.num scope="col" { "largest step that ran" } th.num scope="col" { "its peak" }
                th.num scope="col" { "smallest refused" } th.num scope="col" { "it needs" }
            } }
            tbody { @for reach in reaches(profile) { tr {
                th scope="row" { (reach.way) }
                td.num { (largest(reach.most)) }
                td.num { (reach.most.and_then(Point::ran).map_or_else(|| "–".to_owned(), |ran| ran.measured.peak_rss.to_string())) }
                td.num { (largest(reach.least_refused)) }
                td.num { (reach.least_refused.and_then(smallest_budget).unwrap_or_else(|| "–".to_owned())) }
            } } }
        } }
    }
}

fn smallest_budget(point: &Point) -> Option<String> {
    match point.outcome {
        Outcome::Refused { smallest_budget } => Some(smallest_budget.to_string()),
        Outcome::Ran(_) | Outcome::Failed { .. } => None,
    }
}

/// Each way that was tried, in the order of its first setting.
fn reaches(profile: &Profile) -> Vec<Reach<'_>> {
    let mut all: Vec<Reach<'_>> = Vec::new();
    for point in &profile.points {
        let way = point.setting.way();
        let at = all.iter().position(|reach| reach.way == way).unwrap_or_else(|| {
            all.push(Reach { way, most: None, least_refused: None });
            all.len() - 1
        });
        let (reach, tokens) = (&mut all[at], point.setting.tokens());
        match point.outcome {
            Outcome::Ran(_) if reach.most.is_none_or(|most| most.setting.tokens() < tokens) => {
                reach.most = Some(point);
            }
            Outcome::Refused { .. }
                if reach.least_refused.is_none_or(|least| tokens < least.setting.tokens()) =>
            {
                reach.least_refused = Some(point);
            }
            _ => {}
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::profiled;
    use super::*;

    #[test]
    fn each_way_reaches_from_its_largest_to_its_smallest_refused() {
        let mut profile = profiled::profile();
        let mut more = profile.points[0].clone();
        (more.setting.len, more.setting.batch) = (64, 1);
        profile.points.push(more);
        let found = reaches(&profile);
        let row = |reach: &Reach<'_>| {
            let tokens = |point: Option<&Point>| point.map(|point| point.setting.tokens());
            (reach.way.clone(), tokens(reach.most), tokens(reach.least_refused))
        };
        assert_eq!(row(&found[0]), ("forward, K = 4, r = 8, resident".to_owned(), Some(512), Some(4096)));
        let page = chart_and_table(&profile).into_string();
        assert!(page.contains("refused: smallest budget") && page.contains("512.0 MiB"), "{page}");
    }
}
