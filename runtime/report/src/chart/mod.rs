//! Charts as inline SVG. Colours come from the page's style sheet, by class.

mod axis;
mod bar;
mod line;
mod whisker;

pub use axis::Axis;
pub use bar::{Bar, Gauge, bars};
pub use line::{LineChart, Series};
pub use whisker::{Whisker, whiskers};

use maud::{Markup, html};

/// Width of a chart's coordinates; text is 12 of them high, and the page scales the whole.
pub(crate) const WIDTH: f64 = 460.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 40.0;

/// Swatches with names.
pub(crate) fn legend<'a>(entries: impl Iterator<Item = (&'a str, &'a str)>) -> Markup {
    html! {
        ul.legend {
            @for (class, name) in entries { li { i.swatch.(class) {} (name) } }
        }
    }
}

/// A coordinate with one decimal: a tenth of a unit is below what a screen shows.
pub(crate) fn n(value: f64) -> String {
    format!("{value:.1}")
}

/// The share of an axis as an x coordinate.
pub(crate) fn across(share: f64) -> f64 {
    LEFT + share * (WIDTH - LEFT - RIGHT)
}
