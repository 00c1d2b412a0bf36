//! The dot-and-whisker plot.

use super::{Axis, BOTTOM, LEFT, RIGHT, TOP, WIDTH, across, n};
use maud::{Markup, html};

/// One row of the dot-and-whisker plot.
pub struct Whisker {
    /// What it shows.
    pub name: &'static str,
    /// Its class in the style sheet, which gives it a colour.
    pub class: &'static str,
    /// Where the dot stands.
    pub value: f64,
    /// Low and high end of the interval.
    pub interval: Option<(f64, f64)>,
    /// The value as text.
    pub label: String,
}

/// Values with their intervals, one under another.
pub fn whiskers(about: &str, x_title: &str, axis: &Axis, rows: &[Whisker]) -> Markup {
    let row_height = 58.0;
    let foot = TOP - 12.0 + row_height * rows.len() as f64;
    html! {
        svg viewBox=(format!("0 0 {WIDTH} {}", foot + BOTTOM)) role="img" aria-label=(about) {
            title { (about) }
            @for tick in &axis.ticks {
                @let x = across(axis.at(*tick));
                line.grid x1=(n(x)) x2=(n(x)) y1=(n(6.0)) y2=(n(foot)) {}
                text.tick x=(n(x)) y=(n(foot + 17.0)) text-anchor="middle" { (axis.label(*tick)) }
            }
            line.base x1=(n(LEFT)) x2=(n(WIDTH - RIGHT)) y1=(n(foot)) y2=(n(foot)) {}
            text.axis x=(n((LEFT + WIDTH - RIGHT) / 2.0)) y=(n(foot + 35.0)) text-anchor="middle" { (x_title) }
            @for (i, row) in rows.iter().enumerate() {
                @let y = TOP + 12.0 + row_height * i as f64;
                @let x = across(axis.at(row.value));
                text.name x="0" y=(n(y + 4.0)) { (row.name) }
                @if let Some((low, high)) = row.interval {
                    @let (low, high) = (across(axis.at(low)), across(axis.at(high)));
                    line.whisker.(row.class) x1=(n(low)) x2=(n(high)) y1=(n(y)) y2=(n(y)) {}
                    @for end in [low, high] {
                        line.whisker.(row.class) x1=(n(end)) x2=(n(end)) y1=(n(y - 5.0)) y2=(n(y + 5.0)) {}
                    }
                }
                circle.dot.(row.class) cx=(n(x)) cy=(n(y)) r="6" {}
                @let (anchor, tx) = if x > WIDTH - 110.0 { ("end", WIDTH - RIGHT) } else if x < LEFT + 70.0 { ("start", LEFT) } else { ("middle", x) };
                text.value x=(n(tx)) y=(n(y - 13.0)) text-anchor=(anchor) { (row.label) }
            }
        }
    }
}
