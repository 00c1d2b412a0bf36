//! Line charts.

use super::{Axis, BOTTOM, LEFT, RIGHT, TOP, WIDTH, across, legend, n};
use crate::words;
use maud::{Markup, html};

const HEIGHT: f64 = 250.0;
/// More points than this per line are thinned, keeping the lowest and the highest of each stretch.
const MAX_POINTS: usize = 800;

/// One line of a chart.
pub struct Series<'a> {
    /// Its name in the legend.
    pub name: &'a str,
    /// Its class in the style sheet, which gives it a colour.
    pub class: &'static str,
    /// Its points, in order of x.
    pub points: Vec<(f64, f64)>,
}

/// A chart of one or more lines over a common x axis.
pub struct LineChart<'a> {
    /// What it shows, for those who cannot see it.
    pub about: String,
    /// What the x axis shows.
    pub x_title: &'static str,
    /// Named places on the x axis, which then is logarithmic and shows each point as a dot; none: an axis of numbers.
    pub places: Vec<(f64, String)>,
    /// What the y axis shows, with its unit.
    pub y_title: &'static str,
    /// Least y range; the data widen it.
    pub y_range: (f64, f64),
    /// Whether a range of more than a decade and a half takes a logarithmic axis.
    pub may_be_log: bool,
    /// The lines.
    pub series: Vec<Series<'a>>,
    /// A level to draw across, with its label.
    pub level: Option<(f64, String)>,
}

impl LineChart<'_> {
    /// The legend (for two lines or more) and the drawing.
    pub fn draw(&self) -> Markup {
        let finite = || {
            let points = self.series.iter().flat_map(|s| &s.points);
            points.filter(|(x, y)| x.is_finite() && y.is_finite())
        };
        let Some(last) = finite().map(|p| p.0).reduce(f64::max) else {
            return html! { p.none { "Nothing was recorded." } };
        };
        let first = finite().map(|p| p.0).fold(last, f64::min);
        let low = finite().map(|p| p.1).fold(self.y_range.0, f64::min);
        let high = finite().map(|p| p.1).fold(self.y_range.1, f64::max);
        let dots = !self.places.is_empty();
        let x = if dots { Axis::named(self.places.clone()) } else { Axis::exact(first, last, 5) };
        let log = self.may_be_log && low > 0.0 && high / low > 30.0;
        let y = if log { Axis::log(low, high) } else { Axis::linear(low, high, 5) };
        let place = |(px, py): (f64, f64)| (across(x.at(px)), down(y.at(py)));
        html! {
            @if self.series.len() > 1 { (legend(self.series.iter().map(|s| (s.class, s.name)))) }
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(self.about) {
                title { (self.about) }
                text.axis x="0" y="12" { (self.y_title) @if log { " (logarithmic)" } }
                @for tick in &y.ticks {
                    @let at = down(y.at(*tick));
                    line.grid x1=(n(LEFT)) x2=(n(WIDTH - RIGHT)) y1=(n(at)) y2=(n(at)) {}
                    text.tick x=(n(LEFT - 7.0)) y=(n(at + 4.0)) text-anchor="end" { (y.label(*tick)) }
                }
                @for tick in &x.ticks {
                    text.tick x=(n(across(x.at(*tick)))) y=(n(HEIGHT - BOTTOM + 17.0)) text-anchor="middle" { (x.label(*tick)) }
                }
                line.base x1=(n(LEFT)) x2=(n(WIDTH - RIGHT)) y1=(n(HEIGHT - BOTTOM)) y2=(n(HEIGHT - BOTTOM)) {}
                text.axis x=(n((LEFT + WIDTH - RIGHT) / 2.0)) y=(n(HEIGHT - 5.0)) text-anchor="middle" { (self.x_title) }
                @for series in &self.series {
                    @for run in unbroken(&thin(&series.points)) {
                        @if let [alone] = run {
                            @let (cx, cy) = place(*alone);
                            circle.dot.(series.class) cx=(n(cx)) cy=(n(cy)) r="2.5" {}
                        } @else {
                            polyline.line.(series.class) points=(path(run.iter().map(|p| place(*p)))) {}
                        }
                    }
                }
                @if dots {
                    @for series in &self.series {
                        @for point in series.points.iter().filter(|p| p.1.is_finite()) {
                            @let (cx, cy) = place(*point);
                            circle.dot.(series.class) cx=(n(cx)) cy=(n(cy)) r="4" {
                                title { (series.name) ": " (words::number(point.1)) }
                            }
                        }
                    }
                }
                @if let Some((level, label)) = &self.level {
                    @let at = down(y.at(*level));
                    line.limit x1=(n(LEFT)) x2=(n(WIDTH - RIGHT)) y1=(n(at)) y2=(n(at)) {}
                    text.limit-label x=(n(WIDTH - RIGHT)) y=(n(if at < TOP + 16.0 { at + 15.0 } else { at - 6.0 })) text-anchor="end" { (label) }
                }
                @if !dots { (self.bands(first, last, &x, &y)) }
            }
        }
    }

    /// Invisible upright bands that name the values under the pointer: tooltips without a script.
    fn bands(&self, first: f64, last: f64, x: &Axis, y: &Axis) -> Markup {
        const BANDS: usize = 48;
        let width = (last - first) / BANDS as f64;
        let at = |i: usize| first + (i as f64 + 0.5) * width;
        let said = |i: usize| {
            let nearest = |s: &Series| {
                let after = s.points.partition_point(|p| p.0 < at(i)).min(s.points.len().checked_sub(1)?);
                Some(s.points[after]).filter(|p| p.1.is_finite())
            };
            let near: Vec<(&Series, (f64, f64))> =
                self.series.iter().filter_map(|s| Some((s, nearest(s)?))).collect();
            let values: Vec<String> =
                near.iter().map(|(s, p)| format!("{}: {}", s.name, words::number(p.1))).collect();
            near.first()
                .map(|(_, p)| format!("{} {}\n{}", self.x_title, words::number(p.0), values.join("\n")))
        };
        html! {
            @if width > 0.0 {
                @for i in 0..BANDS {
                    @if let Some(text) = said(i) {
                        @let left = across(x.at(at(i) - width / 2.0));
                        rect.band x=(n(left)) y=(n(down(y.at(f64::MAX)))) width=(n((WIDTH - LEFT - RIGHT) / BANDS as f64)) height=(n(HEIGHT - TOP - BOTTOM)) {
                            title { (text) }
                        }
                    }
                }
            }
        }
    }
}

fn down(share: f64) -> f64 {
    HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
}

fn path(points: impl Iterator<Item = (f64, f64)>) -> String {
    points.map(|(x, y)| format!("{x:.1},{y:.1}")).collect::<Vec<_>>().join(" ")
}

/// The stretches without a hole: a value that is not finite breaks the line.
fn unbroken(points: &[(f64, f64)]) -> Vec<&[(f64, f64)]> {
    points.split(|p| !p.1.is_finite()).filter(|run| !run.is_empty()).collect()
}

fn thin(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if points.len() <= MAX_POINTS {
        return points.to_vec();
    }
    let keep_ends = |stretch: &[(f64, f64)]| {
        let by_y = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        let mut ends: Vec<(f64, f64)> = [stretch.iter().min_by(by_y), stretch.iter().max_by(by_y)]
            .into_iter()
            .flatten()
            .copied()
            .collect();
        ends.sort_by(|a, b| a.0.total_cmp(&b.0));
        ends
    };
    points.chunks(points.len().div_ceil(MAX_POINTS / 2)).flat_map(keep_ends).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_the_extremes() {
        let mut points: Vec<(f64, f64)> = (0..10_000).map(|i| (f64::from(i), 1.0)).collect();
        points[4321].1 = 9.0;
        points[8765].1 = -9.0;
        let thinned = thin(&points);
        assert!(thinned.len() <= MAX_POINTS);
        assert!(thinned.contains(&(4321.0, 9.0)) && thinned.contains(&(8765.0, -9.0)));
        assert!(thinned.windows(2).all(|w| w[0].0 <= w[1].0));
    }

    #[test]
    fn a_lost_value_breaks_the_line() {
        let chart = |values: &[f64]| LineChart {
            about: "test".into(),
            x_title: "step",
            places: Vec::new(),
            y_title: "loss",
            y_range: (0.0, 0.0),
            may_be_log: false,
            series: vec![Series {
                name: "loss",
                class: "raw",
                points: values.iter().enumerate().map(|(i, v)| (i as f64, *v)).collect(),
            }],
            level: None,
        };
        let drawn = chart(&[1.0, 2.0, f64::NAN, 3.0, 4.0, f64::INFINITY, 5.0]).draw().into_string();
        assert_eq!((drawn.matches("<polyline").count(), drawn.matches("<circle").count()), (2, 1));
        assert!(!drawn.contains("NaN") && !drawn.contains("inf"));
        assert!(chart(&[f64::NAN]).draw().into_string().contains("Nothing was recorded"));
        assert!(chart(&[]).draw().into_string().contains("Nothing was recorded"));
    }

    #[test]
    fn points_at_named_places_are_dots() {
        let series =
            vec![Series { name: "step", class: "s0", points: vec![(1.0, 3.0), (2.0, f64::NAN), (4.0, 5.0)] }];
        let places = [1.0, 2.0, 4.0].map(|x: f64| (x, format!("K = {x}"))).to_vec();
        let drawn = LineChart {
            about: "time".into(),
            x_title: "tangents",
            places,
            y_title: "s",
            y_range: (0.0, 0.0),
            may_be_log: false,
            series,
            level: None,
        };
        let drawn = drawn.draw().into_string();
        assert!(drawn.contains("K = 2") && drawn.contains("step: 5") && !drawn.contains("NaN"), "{drawn}");
    }
}
