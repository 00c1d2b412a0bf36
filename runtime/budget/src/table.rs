//! The plan as aligned text for a terminal: its answer first, then its regions. Those that hardly count are one line, but for
//! `{:#}`, which lists all.

use crate::{Bytes, Kind, Plan};
use sprig_ground::wrap::{COLUMNS, wrap};
use std::fmt;

/// A region of less than one part in so many of the whole is a small one.
const SMALL: u64 = 200;
/// Columns of a line beside its name and its bar.
const FIGURES: usize = 30;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = rows(self, f.alternate());
        let names = rows.iter().map(|row| row.name.chars().count());
        let width = names.max().unwrap_or(0).max("smallest budget".len());
        let cells = COLUMNS.saturating_sub(width + FIGURES).clamp(8, 24);
        let scale = Scale { budget: self.budget, bar: whole(self), width, cells };
        writeln!(f, "{}\n", self.answer())?;
        writeln!(f, "{:width$}  {:6}  {:>9}  {:>6}", "region", "kind", "MiB", "share")?;
        rows.iter().try_for_each(|row| row.write(f, scale))?;
        Row::of("total", self.total()).write(f, scale)?;
        Row::of("not mapped", self.heap()).write(f, scale)?;
        for (name, bytes) in [("budget", self.budget), ("smallest budget", self.smallest_budget)] {
            writeln!(f, "{name:width$}  {:6}  {:>9.2}", "", bytes.as_mib())?;
        }
        self.rungs(f)
    }
}

impl Plan {
    /// Whether it fits, and how well.
    fn answer(&self) -> String {
        let verdict = if self.fits() { "it fits" } else { "IT DOES NOT FIT" };
        format!("{verdict}: {} of {}, {} at the smallest", self.total(), self.budget, self.smallest_budget)
    }

    /// The same and what most of it is, for a run that has more to say; and what gave way.
    pub fn brief(&self) -> impl fmt::Display {
        Brief(self.clone())
    }

    fn rungs(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ladder.iter().try_for_each(|rung| {
            let text = format!("rung: {} ({}), time x{:.2}", rung.rung, rung.why, rung.time_factor);
            writeln!(f, "{}", wrap(&text, 6))
        })
    }
}

/// A plan in two lines, and one more a rung.
struct Brief(Plan);

impl fmt::Display for Brief {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(plan) = self;
        writeln!(f, "{}", plan.answer())?;
        write!(f, "weights {}, all else {}; --json lists every region", plan.mapped(), plan.heap())?;
        let rungs = fmt::from_fn(|f| plan.rungs(f)).to_string();
        if rungs.is_empty() { Ok(()) } else { write!(f, "\n{}", rungs.trim_end()) }
    }
}

/// The regions of `plan`, or those that count and one row of the others.
fn rows(plan: &Plan, all: bool) -> Vec<Row<'_>> {
    let is_small = |bytes: Bytes| !all && bytes.0 < plan.total().0 / SMALL;
    let small: Vec<Bytes> = plan.regions.iter().map(|r| r.bytes).filter(|bytes| is_small(*bytes)).collect();
    let one = small.len() == 1; // which has a name
    let shown = plan.regions.iter().filter(|region| one || !is_small(region.bytes));
    let mut rows: Vec<_> = shown
        .map(|region| Row {
            name: region.name.clone(),
            kind: Some(region.kind),
            bytes: region.bytes,
            note: &region.note,
        })
        .collect();
    if small.len() > 1 {
        rows.push(Row::of(&format!("{} smaller regions", small.len()), small.iter().copied().sum()));
    }
    rows
}

/// A line of the table.
struct Row<'a> {
    name: String,
    kind: Option<Kind>,
    bytes: Bytes,
    note: &'a str,
}

/// What a line is drawn to.
#[derive(Clone, Copy)]
struct Scale {
    /// What shares are of.
    budget: Bytes,
    /// What a whole bar stands for.
    bar: Bytes,
    /// Columns of a name.
    width: usize,
    /// Columns of a whole bar.
    cells: usize,
}

/// The budget; where that is ten times the plan and more, the plan, for bars would show nothing.
fn whole(plan: &Plan) -> Bytes {
    if plan.total().0 < plan.budget.0 / 10 { plan.total() } else { plan.budget }
}

impl Row<'_> {
    fn of(name: &str, bytes: Bytes) -> Self {
        Self { name: name.to_owned(), kind: None, bytes, note: "" }
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, scale: Scale) -> fmt::Result {
        let share = self.bytes.share_of(scale.budget);
        let percent = match 100.0 * share {
            // A budget that was left without its unit: how many times over does not matter.
            1000.0.. => "> 999%".to_owned(),
            percent if percent > 0.0 && percent < 0.05 => "< 0.1%".to_owned(),
            percent => format!("{percent:.1}%"),
        };
        let (Self { name, note, .. }, width) = (self, scale.width);
        let kind = self.kind.map_or("", Kind::as_str);
        let (size, bar) = (self.bytes.as_mib(), bar(self.bytes.share_of(scale.bar), scale.cells));
        let line = format!("{name:width$}  {kind:6}  {size:>9.2}  {percent:>6}  {bar}");
        writeln!(f, "{}", line.trim_end())?;
        if note.is_empty() { Ok(()) } else { writeln!(f, "{}", wrap(&format!("  {note}"), 2)) }
    }
}

/// Eighths of a cell, so that small regions still show.
fn bar(share: f64, cells: usize) -> String {
    let eighths = (share.clamp(0.0, 1.0) * (cells * 8) as f64).round() as usize;
    let mut bar = "█".repeat(eighths / 8);
    bar.extend(['▏', '▎', '▍', '▌', '▋', '▊', '▉'].get((eighths % 8).wrapping_sub(1)));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Region, Rung};

    #[test]
    fn columns_align_and_bars_show_the_share() {
        let regions = vec![
            Region::new("mapped weights", Kind::Mapped, Bytes::mib(150)).note("resident"),
            Region::new("activations", Kind::Arena, Bytes::mib(75)),
        ];
        let text = Plan::new(Bytes::mib(300), regions).to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[3], "mapped weights   mapped     150.00   50.0%  ████████████");
        assert_eq!(lines[4], "  resident");
        assert_eq!(lines[5], "activations      arena       75.00   25.0%  ██████");
        assert!(lines[6].starts_with("total                       225.00   75.0%"), "{text}");
        assert!(lines[7].starts_with("not mapped                   75.00   25.0%"), "{text}");
        assert!(lines[0].starts_with("it fits: 225.0 MiB of 300.0 MiB, "), "{text}");
        let dwarfed =
            Plan::new(Bytes::mib(30_000), vec![Region::new("a", Kind::Arena, Bytes::mib(9))]).to_string();
        assert!(dwarfed.contains(&format!("< 0.1%  {}", "█".repeat(24))), "{dwarfed}");
        assert_eq!(bar(7.0, 24).chars().count(), 24);
        let tiny = Plan::new(Bytes(300), vec![Region::new("a", Kind::Arena, Bytes::mib(9))]).to_string();
        assert!(tiny.contains("9.00  > 999%  █") && tiny.contains("IT DOES NOT FIT"), "{tiny}");
        assert_eq!(bar(0.006, 24), "▏");
    }

    #[test]
    fn small_regions_are_one_line_and_none_is_wider_than_a_terminal() {
        let small = |name: &str| Region::new(name, Kind::Heap, Bytes(1 << 18));
        let long = "pieces of the adapter to go on from";
        let regions = vec![
            Region::new("weights", Kind::Mapped, Bytes::mib(150))
                .note("streamed: the largest linear layer, or a tile of the head, and more words than fit"),
            Region::new(long, Kind::Heap, Bytes::mib(75)),
            small("adapter"),
            small("gradient"),
        ];
        let mut plan = Plan::new(Bytes::mib(150), regions);
        let why = "weight panels of 64 rows instead of 256, and of the head as well".to_owned();
        plan.ladder.push(Rung { rung: "smaller tiles".into(), why, time_factor: 1.25 });
        for text in [plan.to_string(), format!("{plan:#}"), plan.brief().to_string()] {
            assert!(text.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
            assert!(text.contains("time x1.25"), "{text}");
        }
        let (text, all) = (plan.to_string(), format!("{plan:#}"));
        assert!(text.contains("2 smaller regions") && text.contains(" 0.50 "), "{text}");
        assert!(!text.contains("gradient") && all.contains("gradient") && !all.contains("smaller regions"));
        // A single small one is told by its name.
        plan.regions.pop();
        assert!(plan.to_string().contains("adapter  "), "{plan}");
        plan.ladder.clear();
        let brief = plan.brief().to_string();
        assert_eq!(brief.lines().count(), 2, "{brief}");
        assert!(
            brief.ends_with("weights 150.0 MiB, all else 75.2 MiB; --json lists every region"),
            "{brief}"
        );
    }
}
