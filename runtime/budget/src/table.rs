//! The plan as aligned text for a terminal.

use crate::{Bytes, Plan};
use std::fmt;

/// Cells of a bar that spans the whole budget.
const BAR: usize = 24;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = format!("not mapped: {}", self.heap());
        let scale = Scale { budget: self.budget, bar: whole(self) };
        let names = self.regions.iter().map(|r| r.name.chars().count());
        let width = names.max().unwrap_or(0).max("smallest budget".len());
        let verdict = if self.fits() { "it fits" } else { "IT DOES NOT FIT" };
        let (total, smallest) = (self.total(), self.smallest_budget);
        writeln!(f, "{verdict}: {total} of {}, {smallest} at the smallest\n", self.budget)?;
        writeln!(f, "{:width$}  {:6}  {:>9}  {:>6}", "region", "kind", "MiB", "share")?;
        for region in &self.regions {
            let (name, kind, note) = (&region.name, region.kind.as_str(), &region.note);
            Line { name, kind, bytes: region.bytes, note }.write(f, width, scale)?;
        }
        Line { name: "total", kind: "", bytes: self.total(), note: &label }.write(f, width, scale)?;
        writeln!(f, "{:width$}  {:6}  {:>9.2}", "budget", "", self.budget.as_mib())?;
        writeln!(f, "{:width$}  {:6}  {:>9.2}", "smallest budget", "", self.smallest_budget.as_mib())?;
        for rung in &self.ladder {
            writeln!(f, "rung: {} ({}), time x{:.2}", rung.rung, rung.why, rung.time_factor)?;
        }
        Ok(())
    }
}

/// A line of the table.
struct Line<'a> {
    name: &'a str,
    kind: &'a str,
    bytes: Bytes,
    note: &'a str,
}

/// What shares are of.
#[derive(Clone, Copy)]
struct Scale {
    budget: Bytes,
    /// What a whole bar stands for.
    bar: Bytes,
}

/// The budget; where that is ten times the plan and more, the plan, for bars would show nothing.
fn whole(plan: &Plan) -> Bytes {
    if plan.total().0 < plan.budget.0 / 10 { plan.total() } else { plan.budget }
}

impl Line<'_> {
    fn write(&self, f: &mut fmt::Formatter<'_>, width: usize, scale: Scale) -> fmt::Result {
        let share = self.bytes.share_of(scale.budget);
        let percent = match 100.0 * share {
            // A budget that was left without its unit: how many times over does not matter.
            1000.0.. => "> 999%".to_owned(),
            percent => format!("{percent:.1}%"),
        };
        let Self { name, kind, note, .. } = self;
        let (size, bar) = (self.bytes.as_mib(), bar(self.bytes.share_of(scale.bar)));
        let line = format!("{name:width$}  {kind:6}  {size:>9.2}  {percent:>6}  {bar:BAR$}  {note}");
        writeln!(f, "{}", line.trim_end())
    }
}

/// Eighths of a cell, so that small regions still show.
fn bar(share: f64) -> String {
    let eighths = (share.clamp(0.0, 1.0) * (BAR * 8) as f64).round() as usize;
    let mut bar = "█".repeat(eighths / 8);
    bar.extend(['▏', '▎', '▍', '▌', '▋', '▊', '▉'].get((eighths % 8).wrapping_sub(1)));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kind, Region};

    #[test]
    fn columns_align_and_bars_show_the_share() {
        let regions = vec![
            Region::new("mapped weights", Kind::Mapped, Bytes::mib(150)).note("resident"),
            Region::new("activations", Kind::Arena, Bytes::mib(75)),
        ];
        let text = Plan::new(Bytes::mib(300), regions).to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[3],
            "mapped weights   mapped     150.00   50.0%  ████████████              resident"
        );
        assert_eq!(lines[4], "activations      arena       75.00   25.0%  ██████");
        assert!(lines[5].starts_with("total                       225.00   75.0%"), "{text}");
        assert!(lines[0].starts_with("it fits: 225.0 MiB of 300.0 MiB, "), "{text}");
        let dwarfed =
            Plan::new(Bytes::mib(30_000), vec![Region::new("a", Kind::Arena, Bytes::mib(9))]).to_string();
        assert!(dwarfed.contains(&format!("0.0%  {}", "█".repeat(BAR))), "{dwarfed}");
        assert_eq!(bar(7.0).chars().count(), BAR);
        let tiny = Plan::new(Bytes(300), vec![Region::new("a", Kind::Arena, Bytes::mib(9))]).to_string();
        assert!(tiny.contains("9.00  > 999%  █") && tiny.contains("IT DOES NOT FIT"), "{tiny}");
        assert_eq!(bar(0.006), "▏");
    }
}
