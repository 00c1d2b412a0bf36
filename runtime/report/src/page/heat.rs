//! How warm a board became, and whether something held it back.

use crate::chart::{LineChart, Series};
use crate::profile::{Condition, Point, Profile};
use crate::words;
use maud::{Markup, html};
use std::collections::BTreeSet;

/// The temperature over the profile and what each setting met.
pub(super) fn chart_and_table(profile: &Profile) -> Markup {
    let points: Vec<(f64, f64)> = profile.points.iter().flat_map(readings).collect();
    let level = profile.board.throttles_at.map(|at| (f64::from(at), format!("slows at {at} °C")));
    let told = points.iter().any(|(at, celsius)| at.is_finite() && celsius.is_finite());
    let high = level.as_ref().map_or(f64::NEG_INFINITY, |level| level.0);
    html! {
        @if told {
            (LineChart {
                about: "Temperature over the profile".into(),
                x_title: "seconds",
                places: Vec::new(),
                y_title: "°C, hottest sensor",
                y_range: (f64::INFINITY, high),
                may_be_log: false,
                series: vec![Series { name: "temperature", class: "time", points }],
                level,
            }.draw())
        } @else {
            p.none { "The board tells no temperature." }
        }
        p.note { (held_back(profile)) }
        (clocks(profile))
    }
}

/// Before, at its hottest and after.
fn readings(point: &Point) -> Vec<(f64, f64)> {
    let (from, to) = (point.at_s, point.at_s + point.took_s);
    let heat = &point.heat;
    let all = [(from, heat.before.celsius), ((from + to) / 2.0, heat.hottest), (to, heat.after.celsius)];
    all.into_iter().filter_map(|(at, celsius)| Some((at, celsius?))).collect()
}

/// A line below the tile of the temperature.
pub(super) fn in_short(profile: &Profile) -> String {
    match causes(profile) {
        None => "throttling: the board does not tell".to_owned(),
        Some(causes) if causes.is_empty() => "nothing held it back".to_owned(),
        Some(causes) => causes.into_iter().collect::<Vec<_>>().join(", "),
    }
}

fn held_back(profile: &Profile) -> String {
    let now = match causes(profile) {
        None => "The board does not tell whether it is throttled.".to_owned(),
        Some(causes) if causes.is_empty() => {
            "Nothing held the board back before or after a setting.".to_owned()
        }
        Some(causes) => {
            let causes = causes.into_iter().collect::<Vec<_>>().join(", ");
            format!("The board was held back ({causes}): its times are those of a slower board.")
        }
    };
    let since = profile.points.last().and_then(|point| point.heat.after.was_held_back.as_ref());
    match since.filter(|causes| !causes.is_empty()) {
        Some(causes) => format!("{now} Since it was started it has been: {}.", causes.join(", ")),
        None => now,
    }
}

/// Everything that held the board back around a setting; none where it never told.
fn causes(profile: &Profile) -> Option<BTreeSet<&str>> {
    let moments = profile.points.iter().flat_map(|point| [&point.heat.before, &point.heat.after]);
    let told: Vec<&Vec<String>> = moments.filter_map(|moment| moment.held_back.as_ref()).collect();
    (!told.is_empty()).then(|| told.into_iter().flatten().map(String::as_str).collect())
}

/// What each setting found and left, where clocks or temperatures are told.
fn clocks(profile: &Profile) -> Markup {
    let told = |c: &Condition| c.celsius.is_some() || c.clock_khz.is_some();
    let clock = |c: &Condition| match (c.clock_khz, c.clock_most_khz) {
        (Some(now), Some(most)) => format!("{} of {} MHz", now / 1000, most / 1000),
        _ => "–".to_owned(),
    };
    let warm = |celsius: Option<f64>| celsius.map_or_else(|| "–".to_owned(), words::degrees);
    let rows: Vec<&Point> =
        profile.points.iter().filter(|point| told(&point.heat.before) || told(&point.heat.after)).collect();
    html! {
        @if !rows.is_empty() {
            div.wide { table.numbers {
                thead { tr {
                    th scope="col" { "setting" } th.num scope="col" { "before" } th.num scope="col" { "hottest" }
                    th.num scope="col" { "after" } th.num.aside scope="col" { "slowest core after" }
                } }
                tbody { @for point in rows { tr {
                    th scope="row" { (point.setting) small { (words::duration(point.took_s.max(0.0) as u64)) } }
                    td.num { (warm(point.heat.before.celsius)) }
                    td.num { (warm(point.heat.hottest)) }
                    td.num { (warm(point.heat.after.celsius)) }
                    td.num.aside { (clock(&point.heat.after)) }
                } } }
            } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::profiled;
    use super::*;

    #[test]
    fn a_board_that_does_not_tell_is_not_said_to_be_well() {
        let mut profile = profiled::profile();
        assert_eq!(in_short(&profile), "throttled");
        assert!(held_back(&profile).contains("Since it was started it has been: under-voltage."));
        for point in &mut profile.points {
            point.heat.before.held_back = Some(Vec::new());
            point.heat.after = Condition { held_back: Some(Vec::new()), ..Condition::default() };
        }
        assert_eq!(in_short(&profile), "nothing held it back");
        profile.points.iter_mut().for_each(|point| point.heat = Default::default());
        assert_eq!(in_short(&profile), "throttling: the board does not tell");
        let page = chart_and_table(&profile).into_string();
        assert!(page.contains("tells no temperature") && !page.contains("<table"), "{page}");
    }
}
