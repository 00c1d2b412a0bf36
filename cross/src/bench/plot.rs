//! Line plots, bar plots and gauges as inline SVG.

use super::row::{Bar, number};

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 28.0;
const BOTTOM: f64 = 40.0;

/// A line plot with points; x is logarithmic, for quantities that double from point to point.
pub struct Lines {
    /// What the y axis shows, with its unit.
    pub y: &'static str,
    /// What the x axis shows.
    pub x: &'static str,
    /// The places on it, and what to call them.
    pub ticks: Vec<(f64, String)>,
    /// The lines.
    pub series: Vec<Series>,
}

/// Name, style class and points of a line.
pub type Series = (&'static str, &'static str, Vec<(f64, f64)>);

/// One bar of a bar plot.
pub struct BarLine {
    pub name: String,
    pub class: &'static str,
    pub value: f64,
    /// The value as words.
    pub label: String,
}

impl Lines {
    /// The drawing with its legend.
    pub fn draw(&self) -> String {
        let xs = self.ticks.iter().map(|tick| tick.0.max(f64::MIN_POSITIVE).ln());
        let (first, last) = xs.fold((f64::MAX, f64::MIN), |(low, high), x| (low.min(x), high.max(x)));
        let top = self.series.iter().flat_map(|s| &s.2).map(|p| p.1).fold(0.0, f64::max);
        let (step, high) = scale(top);
        let inner = WIDTH - LEFT - RIGHT;
        let across = |x: f64| {
            let share = if last > first { (x.ln() - first) / (last - first) } else { 0.5 };
            // Half a tick of room at both ends, so that points and their labels stay inside.
            LEFT + inner * (0.06 + 0.88 * share)
        };
        let down = |y: f64| HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * y / high;

        let about = format!("{} by {}", self.y, self.x);
        let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{about}\">\n");
        svg += &format!("<text class=\"axis\" x=\"0\" y=\"13\">{}</text>\n", escape(self.y));
        let mut level = 0.0;
        while level <= high * 1.000_001 {
            let at = down(level);
            svg += &format!(
                "<line class=\"{}\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
                 <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
                if level == 0.0 { "base" } else { "rule" },
                WIDTH - RIGHT,
                LEFT - 7.0,
                at + 4.0,
                trimmed(level)
            );
            level += step;
        }
        for (x, name) in &self.ticks {
            let (at, y) = (across(*x), HEIGHT - BOTTOM + 17.0);
            let name = escape(name);
            svg += &format!(
                "<text class=\"tick\" x=\"{at:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{name}</text>\n"
            );
        }
        svg += &format!(
            "<text class=\"axis\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n",
            LEFT + inner / 2.0,
            HEIGHT - 5.0,
            escape(self.x)
        );
        for (name, class, points) in &self.series {
            let points: Vec<_> = points.iter().filter(|point| point.1.is_finite()).collect();
            let path: Vec<String> =
                points.iter().map(|(x, y)| format!("{:.1},{:.1}", across(*x), down(*y))).collect();
            svg += &format!("<polyline class=\"line {class}\" points=\"{}\"/>\n", path.join(" "));
            for (x, y) in points {
                svg += &format!(
                    "<circle class=\"dot {class}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.5\"><title>{name}: {}</title></circle>\n",
                    across(*x),
                    down(*y),
                    number(*y)
                );
            }
        }
        let entry = |(name, class, _): &Series| format!("<li><i class=\"{class}\"></i>{name}</li>");
        let legend: String = self.series.iter().map(entry).collect();
        format!("<ul class=\"legend\">{legend}</ul>\n{svg}</svg>\n")
    }
}

/// Horizontal bars from zero, one under another.
pub fn bars(about: &str, lines: &[BarLine]) -> String {
    const ROW: f64 = 46.0;
    let most = lines.iter().map(|line| line.value).filter(|value| value.is_finite()).fold(0.0, f64::max);
    let height = ROW * lines.len() as f64 + 4.0;
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{about}\">\n");
    for (i, line) in lines.iter().enumerate() {
        let y = ROW * i as f64;
        let width =
            if most > 0.0 && line.value.is_finite() { (WIDTH - 110.0) * line.value / most } else { 0.0 };
        svg += &format!(
            "<text class=\"name\" x=\"0\" y=\"{:.1}\">{}</text>\
             <rect class=\"{}\" x=\"0\" y=\"{:.1}\" width=\"{:.1}\" height=\"16\" rx=\"2\"/>\
             <text class=\"value\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\n",
            y + 14.0,
            escape(&line.name),
            line.class,
            y + 20.0,
            width.max(1.0),
            width.max(1.0) + 7.0,
            y + 33.0,
            escape(&line.label)
        );
    }
    svg + "</svg>\n"
}

/// A value against its bar: the bar stands at three fifths of the width, twice the bar is off its end.
pub fn gauge(value: f64, bar: Bar) -> String {
    const MARK: f64 = 66.0;
    let (bound, met) = match bar {
        Bar::AtMost(bound) => (bound, value <= bound),
        Bar::AtLeast(bound) => (bound, value >= bound),
    };
    let width = if value.is_finite() { (MARK * value / bound).clamp(1.0, 110.0) } else { 0.0 };
    let class = if met { "good" } else { "bad" };
    format!(
        "<svg class=\"gauge\" viewBox=\"0 0 110 16\" aria-hidden=\"true\">\
         <rect class=\"track\" y=\"5\" width=\"110\" height=\"6\" rx=\"3\"/>\
         <rect class=\"{class}\" y=\"5\" width=\"{width:.1}\" height=\"6\" rx=\"3\"/>\
         <line class=\"mark\" x1=\"{MARK}\" x2=\"{MARK}\" y1=\"1\" y2=\"15\"/></svg>"
    )
}

/// Text that cannot be taken for markup.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A step of 1, 2 or 5 times a power of ten that divides 0..`top` into at most five, and the last tick.
fn scale(top: f64) -> (f64, f64) {
    let top = if top.is_finite() && top > 0.0 { top } else { 1.0 };
    let power = 10f64.powf((top / 5.0).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|head| head * power).into_iter().find(|step| top <= 5.0 * step);
    let step = step.unwrap_or(10.0 * power);
    (step, (top / step).ceil() * step)
}

/// A tick without noughts that say nothing.
fn trimmed(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_a_round_number_above_the_data() {
        assert_eq!(scale(9.3), (2.0, 10.0));
        assert_eq!(scale(151.0), (50.0, 200.0));
        assert_eq!(scale(0.0), (0.2, 1.0));
        assert_eq!(trimmed(0.30000000000000004), "0.3");
        assert_eq!(trimmed(200.0), "200");
    }

    #[test]
    fn a_point_that_is_no_number_is_left_out() {
        let ticks = vec![(1.0, "1".to_owned()), (2.0, "2".to_owned())];
        let series = vec![("step", "s0", vec![(1.0, 3.0), (2.0, f64::NAN)])];
        let drawn = Lines { y: "s", x: "K", ticks, series }.draw();
        assert_eq!(drawn.matches("<circle").count(), 1);
        assert!(!drawn.contains("NaN"), "{drawn}");
    }

    #[test]
    fn a_gauge_shows_the_verdict() {
        assert!(gauge(1.9, Bar::AtMost(2.0)).contains("good"));
        assert!(gauge(1.9, Bar::AtLeast(2.0)).contains("bad"));
        assert!(!gauge(f64::NAN, Bar::AtLeast(2.0)).contains("NaN"));
    }
}
