//! A benchmark's result and its verdict.

use serde::Serialize;

/// One benchmark's result.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The part of the table it stands in.
    pub part: &'static str,
    /// What was measured.
    pub name: String,
    /// How, where the name does not say.
    pub how: String,
    /// The figure: the median over the rounds.
    pub value: f64,
    /// The least and the greatest of the rounds, if there were several.
    pub range: Option<[f64; 2]>,
    /// Its unit; empty for a share.
    pub unit: &'static str,
    /// What it is held to, if anything.
    pub bar: Option<Bound>,
    /// Whether it is.
    pub met: Option<bool>,
}

/// A bound on a figure.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// The figure may not be above this.
    AtMost(f64),
    /// The figure may not be below this.
    AtLeast(f64),
}

/// A figure over the rounds.
#[derive(Clone, Copy, Debug)]
pub struct Stat {
    /// Its median.
    pub median: f64,
    range: Option<[f64; 2]>,
}

impl Stat {
    /// A figure that was measured once.
    pub fn one(value: f64) -> Self {
        Self { median: value, range: None }
    }

    /// The median and range of one figure a round; not a number if any of them is not one.
    pub fn over(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let lost = values.iter().any(|value| value.is_nan());
        match values.as_slice() {
            [] => Self::one(f64::NAN),
            _ if lost => Self::one(f64::NAN),
            [value] => Self::one(*value),
            [low, .., high] => Self { median: values[values.len() / 2], range: Some([*low, *high]) },
        }
    }
}

impl Row {
    /// A figure without a bar.
    pub fn new(
        part: &'static str,
        name: impl Into<String>,
        how: impl Into<String>,
        stat: Stat,
        unit: &'static str,
    ) -> Self {
        let (value, range) = (stat.median, stat.range);
        Self { part, name: name.into(), how: how.into(), value, range, unit, bar: None, met: None }
    }

    /// Holds it to at most `bound`.
    pub fn at_most(self, bound: f64) -> Self {
        Self { met: Some(self.value <= bound), bar: Some(Bound::AtMost(bound)), ..self }
    }

    /// Holds it to at least `bound`.
    pub fn at_least(self, bound: f64) -> Self {
        Self { met: Some(self.value >= bound), bar: Some(Bound::AtLeast(bound)), ..self }
    }

    /// The value, the range, the bar and the verdict as words.
    pub fn words(&self) -> [String; 4] {
        let value = format!("{} {}", number(self.value), self.unit);
        let range =
            self.range.map_or(String::new(), |[low, high]| format!("{} to {}", number(low), number(high)));
        let bar = match self.bar {
            Some(Bound::AtMost(bound)) => format!("≤ {}", number(bound)),
            Some(Bound::AtLeast(bound)) => format!("≥ {}", number(bound)),
            None => String::new(),
        };
        let met = match self.met {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "",
        };
        [value.trim_end().to_owned(), range, bar, met.to_owned()]
    }
}

/// Three digits, more of a large number.
pub fn number(value: f64) -> String {
    match value.abs() {
        // One more digit where a share of 99.6 % would pass for the whole.
        99.0..101.0 => format!("{value:.1}"),
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        0.1.. | 0.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

/// The rows as a table for a terminal.
pub fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
    let mut table = String::new();
    let mut part = "";
    for row in rows {
        if row.part != part {
            part = row.part;
            table.push_str(&format!("\n{part}\n"));
        }
        let [value, range, bar, met] = row.words();
        let line = format!("  {:width$}  {value:>15}  {range:>16}  {bar:>8}  {met}", row.name);
        table.push_str(line.trim_end());
        table.push('\n');
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(value: f64) -> Row {
        Row::new("part", "a", "", Stat::one(value), "MiB")
    }

    #[test]
    fn a_bar_is_met_at_its_bound_and_missed_beyond() {
        assert_eq!(row(2.2).at_most(2.2).met, Some(true));
        assert_eq!(row(2.21).at_most(2.2).met, Some(false));
        assert_eq!(row(0.69).at_least(0.7).met, Some(false));
        // A figure that could not be computed never meets a bar.
        assert_eq!(row(f64::NAN).at_most(1.0).met, Some(false));
    }

    #[test]
    fn rounds_give_a_median_and_a_range() {
        let stat = Stat::over([3.0, 1.0, 2.0].into_iter());
        assert_eq!((stat.median, stat.range), (2.0, Some([1.0, 3.0])));
        assert_eq!(Stat::over([4.0].into_iter()).range, None);
        assert!(Stat::over([1.0, f64::NAN].into_iter()).median.is_nan());
        assert!(Stat::over(std::iter::empty()).median.is_nan());
    }

    #[test]
    fn the_table_shows_value_bar_and_verdict() {
        let table = table(&[row(250.4).at_most(190.0), row(1.0)]);
        assert!(table.contains("250 MiB") && table.contains("≤ 190") && table.contains("MISSED"), "{table}");
    }
}
