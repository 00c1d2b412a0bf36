//! Bars from zero, and a value against the bound it is held to.

use super::{WIDTH, n};
use maud::{Markup, html};

/// One bar of a bar plot.
pub struct Bar {
    /// What it shows.
    pub name: String,
    /// Its class in the style sheet, which gives it a colour.
    pub class: &'static str,
    /// How long it is.
    pub value: f64,
    /// The value as words.
    pub label: String,
}

/// Horizontal bars, one under another; one that is not finite has no length.
pub fn bars(about: &str, bars: &[Bar]) -> Markup {
    const ROW: f64 = 46.0;
    let most = bars.iter().map(|bar| bar.value).filter(|value| value.is_finite()).fold(0.0, f64::max);
    let width = |value: f64| {
        let share = if most > 0.0 && value.is_finite() { value / most } else { 0.0 };
        ((WIDTH - 110.0) * share).max(1.0)
    };
    html! {
        svg viewBox=(format!("0 0 {WIDTH} {}", ROW * bars.len() as f64 + 4.0)) role="img" aria-label=(about) {
            title { (about) }
            @for (i, bar) in bars.iter().enumerate() {
                @let y = ROW * i as f64;
                text.name x="0" y=(n(y + 14.0)) { (bar.name) }
                rect.bar.(bar.class) x="0" y=(n(y + 20.0)) width=(n(width(bar.value))) height="16" rx="2" {}
                text.value x=(n(width(bar.value) + 7.0)) y=(n(y + 33.0)) { (bar.label) }
            }
        }
    }
}

/// A value against a bound: the bound stands at three fifths of the width, what passes its double is off the end.
pub struct Gauge {
    /// The value.
    pub value: f64,
    /// What it is held to.
    pub bound: f64,
    /// Whether it is what it should be.
    pub met: bool,
}

impl Gauge {
    /// The drawing; the verdict is for words beside it.
    pub fn draw(&self) -> Markup {
        const MARK: f64 = 66.0;
        let width =
            if self.value.is_finite() { (MARK * self.value / self.bound).clamp(1.0, 110.0) } else { 0.0 };
        html! {
            svg.gauge viewBox="0 0 110 16" aria-hidden="true" {
                rect.track y="5" width="110" height="6" rx="3" {}
                rect.bar.(if self.met { "met" } else { "missed" }) y="5" width=(n(width)) height="6" rx="3" {}
                line.mark x1=(n(MARK)) x2=(n(MARK)) y1="1" y2="15" {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_shows_the_verdict_and_no_odd_length() {
        let gauge = |value, met| Gauge { value, bound: 2.0, met }.draw().into_string();
        assert!(gauge(1.9, true).contains("bar met") && gauge(1.9, false).contains("bar missed"));
        assert!(gauge(1e9, false).contains("width=\"110.0\""));
        assert!(!gauge(f64::NAN, false).contains("NaN"));
    }

    #[test]
    fn bars_are_as_long_as_their_share_of_the_longest() {
        let bar = |value| Bar { name: "a".into(), class: "s0", value, label: "<1>".into() };
        let drawn = bars("memory", &[bar(2.0), bar(1.0), bar(f64::NAN)]).into_string();
        assert!(drawn.contains("width=\"350.0\"") && drawn.contains("width=\"175.0\""), "{drawn}");
        assert!(drawn.contains("&lt;1&gt;") && !drawn.contains("NaN"));
        assert!(!bars("none", &[]).into_string().contains("<rect"));
    }
}
