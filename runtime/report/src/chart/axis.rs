//! An axis: a range, ticks at round numbers, and their labels.

use crate::words;

/// Maps values to 0..1 along an axis.
#[derive(Clone, Debug)]
pub struct Axis {
    low: f64,
    high: f64,
    log: bool,
    /// Where to put ticks, in order.
    pub ticks: Vec<f64>,
    /// What they are called, where not by their numbers.
    names: Vec<String>,
    decimals: usize,
}

impl Axis {
    /// From `low` to `high`, both widened to a tick, with about `about` steps.
    pub fn linear(low: f64, high: f64, about: usize) -> Axis {
        let (low, high) = sane(low, high);
        let step = round_step((high - low) / about as f64);
        Axis::ticked((low / step).floor() * step, (high / step).ceil() * step, step)
    }

    /// From `low` to `high` exactly; ticks fall where they may.
    pub fn exact(low: f64, high: f64, about: usize) -> Axis {
        let (low, high) = sane(low, high);
        Axis::ticked(low, high, round_step((high - low) / about as f64))
    }

    /// In powers of ten, for positive values; `low` and `high` are widened to a tick.
    pub fn log(low: f64, high: f64) -> Axis {
        let decades = (high / low).log10();
        let heads: &[f64] = if decades > 2.5 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let first = low.log10().floor() as i32;
        let last = high.log10().ceil() as i32;
        let every = ((last - first) / 6).max(1) as usize;
        let all: Vec<f64> = (first..=last)
            .step_by(every)
            .flat_map(|e| heads.iter().map(move |h| h * 10f64.powi(e)))
            .collect();
        let from = all.iter().rposition(|t| *t <= low * 1.000_001).unwrap_or(0);
        let to = all.iter().position(|t| *t >= high * 0.999_999).unwrap_or(all.len() - 1);
        let ticks = all[from..=to.max(from)].to_vec();
        let (low, high) = (ticks[0].min(low), ticks[ticks.len() - 1].max(high));
        Axis { low, high, log: true, ticks, names: Vec::new(), decimals: 0 }
    }

    /// For positive values that double from one to the next: a tick at each of `places`, in ascending order, by its name,
    /// with room for points and labels at both ends.
    pub fn named(places: Vec<(f64, String)>) -> Axis {
        let (ticks, names): (Vec<f64>, Vec<String>) = places.into_iter().unzip();
        let (first, last) = (ticks.first().copied().unwrap_or(1.0), ticks.last().copied().unwrap_or(1.0));
        let room = if last > first { (last / first).powf(0.07) } else { 2.0 };
        Axis { low: first / room, high: last * room, log: true, ticks, names, decimals: 0 }
    }

    fn ticked(low: f64, high: f64, step: f64) -> Axis {
        let first = (low / step - 1e-9).ceil() as i64;
        let last = (high / step + 1e-9).floor() as i64;
        let ticks = (first..=last.min(first + 50)).map(|i| i as f64 * step).collect();
        let decimals = (-(step.log10() + 1e-9).floor()).clamp(0.0, 12.0) as usize;
        Axis { low, high, log: false, ticks, names: Vec::new(), decimals }
    }

    /// Where `value` lies, 0 at the low end and 1 at the high one; values outside go to the nearer end.
    pub fn at(&self, value: f64) -> f64 {
        let share = if self.log {
            (value.max(f64::MIN_POSITIVE) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) }
    }

    /// The text of a tick; all ticks of a linear axis have the same number of decimals.
    pub fn label(&self, tick: f64) -> String {
        let named = self.ticks.iter().zip(&self.names).find(|(place, _)| **place == tick);
        if let Some((_, name)) = named {
            name.clone()
        } else if self.log || (self.decimals > 3 && tick != 0.0) || tick.abs() >= 1000.0 {
            words::number(tick)
        } else if tick == 0.0 {
            "0".into()
        } else {
            format!("{tick:.*}", self.decimals)
        }
    }
}

/// A range that can be divided: finite, and wider than nothing.
fn sane(low: f64, high: f64) -> (f64, f64) {
    let limit = |v: f64| if v.is_finite() { v.clamp(-1e15, 1e15) } else { 0.0 };
    let (low, high) = (limit(low), limit(high));
    let least = low.abs().max(1e-9) * 1e-6;
    if high - low > least { (low, high) } else { (low, low + f64::max(low.abs() * 0.5, least)) }
}

/// 1, 2 or 5 times a power of ten, at least `rough` or close below.
fn round_step(rough: f64) -> f64 {
    let power = 10f64.powf(rough.log10().floor());
    match rough / power {
        r if r < 1.5 => power,
        r if r < 3.5 => 2.0 * power,
        r if r < 7.5 => 5.0 * power,
        _ => 10.0 * power,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(axis: &Axis) -> Vec<String> {
        axis.ticks.iter().map(|t| axis.label(*t)).collect()
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(labels(&Axis::linear(0.0, 300.0, 5)), ["0", "50", "100", "150", "200", "250", "300"]);
        assert_eq!(
            labels(&Axis::linear(0.31, 1.62, 5)),
            ["0.2", "0.4", "0.6", "0.8", "1.0", "1.2", "1.4", "1.6", "1.8"]
        );
        assert_eq!(labels(&Axis::exact(1.0, 240.0, 5)), ["50", "100", "150", "200"]);
        assert_eq!(labels(&Axis::linear(0.0, 0.002, 4)), ["0", "0.0005", "0.001", "0.0015", "0.002"]);
        assert_eq!(labels(&Axis::linear(0.0, 2e-5, 2)), ["0", "1e-5", "2e-5"]);
        assert_eq!(labels(&Axis::log(0.03, 4.0)), ["0.02", "0.05", "0.1", "0.2", "0.5", "1", "2", "5"]);
        assert_eq!(labels(&Axis::log(0.001, 12_000.0)).last().map(String::as_str), Some("100,000"));
    }

    #[test]
    fn named_ticks_stand_inside_and_keep_their_names() {
        let axis = Axis::named(vec![(1.0, "one".into()), (4.0, "four".into()), (16.0, "all".into())]);
        assert_eq!(labels(&axis), ["one", "four", "all"]);
        assert!((axis.at(4.0) - 0.5).abs() < 1e-9 && axis.at(1.0) > 0.05 && axis.at(16.0) < 0.95);
        assert!((Axis::named(vec![(3.0, "alone".into())]).at(3.0) - 0.5).abs() < 1e-9);
        assert!(Axis::named(Vec::new()).ticks.is_empty());
    }

    proptest! {
        #[test]
        fn any_range_gives_an_axis(low in any::<f64>(), high in any::<f64>(), value in any::<f64>()) {
            for axis in [Axis::linear(low, high, 5), Axis::exact(low, high, 5)] {
                prop_assert!(axis.ticks.len() <= 51);
                prop_assert!((0.0..=1.0).contains(&axis.at(value)));
                labels(&axis);
            }
        }

        #[test]
        fn any_positive_range_gives_a_log_axis(low in 1e-12f64..1e12, factor in 1.0f64..1e9) {
            let axis = Axis::log(low, low * factor);
            prop_assert!((1..=30).contains(&axis.ticks.len()), "{:?}", axis);
            prop_assert!(axis.low <= low && axis.high >= low * factor);
            prop_assert!(axis.at(low) <= axis.at(low * factor));
        }
    }
}
