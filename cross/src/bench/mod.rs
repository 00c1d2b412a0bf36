//! `cargo xtask bench`: the numbers the project holds itself to, measured on this machine in one run.

mod measure;
mod page;
mod rows;

use crate::sprig::Sprig;
use crate::{model, sys};
use anyhow::{Context, Result};
use measure::Measured;
use serde::Serialize;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `cargo xtask bench`.
#[derive(clap::Args)]
pub struct Args {
    /// Folder for bench.json and bench.html [default: target/bench]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Few repetitions: checks that the benchmarks run, not how fast
    #[arg(long, conflicts_with = "scale")]
    quick: bool,
    /// Also the Llama-2-7B geometry: writes 3.8 GB and takes minutes
    #[arg(long)]
    scale: bool,
    /// A Python that has the wheels tests/compat/stock.py names: compares with llama.cpp
    #[arg(long, value_name = "PYTHON")]
    llama_bench: Option<PathBuf>,
    /// Threads of every run
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Print the rows as one JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// One benchmark's result.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What was measured.
    pub name: &'static str,
    /// The figure.
    pub value: f64,
    /// Its unit; empty for a ratio.
    pub unit: &'static str,
    /// What it is held to, if anything.
    pub bar: Option<Bar>,
    /// Whether it is.
    pub met: Option<bool>,
}

/// A bound on a figure.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bar {
    /// The figure may not be above this.
    AtMost(f64),
    /// The figure may not be below this.
    AtLeast(f64),
}

/// Runs the command. Fails when a bar is missed, but not with `--quick`, whose times mean little.
pub fn run(args: &Args) -> Result<ExitCode> {
    let out = std::path::absolute(args.out.clone().unwrap_or_else(|| sys::target_dir().join("bench")))?;
    fs::create_dir_all(&out).with_context(|| format!("cannot create {}", out.display()))?;
    let model = model::fetch("smollm2")?;
    let measured = Measured::take(&Sprig::build()?, &model.path, &out, args)?;
    let rows = rows::rows(&measured);

    let machine = machine();
    let json =
        serde_json::json!({ "machine": machine, "threads": args.threads, "quick": args.quick, "rows": rows });
    fs::write(out.join("bench.json"), serde_json::to_string_pretty(&json)?)?;
    fs::write(out.join("bench.html"), page::page(&rows, &machine, args.threads))?;
    let table = table(&rows);
    if args.json {
        println!("{json}");
        eprint!("{table}");
    } else {
        print!("{table}");
        println!("{}", out.join("bench.html").display());
    }
    let missed = rows.iter().any(|row| row.met == Some(false));
    Ok(if missed && !args.quick { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

impl Row {
    /// A figure without a bar.
    pub fn plain(name: &'static str, value: f64, unit: &'static str) -> Self {
        Self { name, value, unit, bar: None, met: None }
    }

    /// A figure held to `bar`.
    pub fn held(name: &'static str, value: f64, unit: &'static str, bar: Bar) -> Self {
        let met = match bar {
            Bar::AtMost(bound) => value <= bound,
            Bar::AtLeast(bound) => value >= bound,
        };
        Self { name, value, unit, bar: Some(bar), met: Some(met) }
    }

    /// The value, the bar and the verdict as words.
    pub fn words(&self) -> [String; 3] {
        let value = format!("{} {}", number(self.value), self.unit);
        let bar = match self.bar {
            Some(Bar::AtMost(bound)) => format!("≤ {}", number(bound)),
            Some(Bar::AtLeast(bound)) => format!("≥ {}", number(bound)),
            None => String::new(),
        };
        let met = match self.met {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "",
        };
        [value.trim_end().to_owned(), bar, met.to_owned()]
    }
}

fn number(value: f64) -> String {
    if value.abs() >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
    let mut table = String::new();
    for row in rows {
        let [value, bar, met] = row.words();
        let line = format!("{:width$}  {value:>16}  {bar:>8}  {met}", row.name);
        table.push_str(line.trim_end());
        table.push('\n');
    }
    table
}

/// Processor and core count: absolute figures mean nothing without them.
fn machine() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{}, {cores} cores", model.unwrap_or(std::env::consts::ARCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_met_at_its_bound_and_missed_beyond() {
        assert_eq!(Row::held("a", 2.2, "", Bar::AtMost(2.2)).met, Some(true));
        assert_eq!(Row::held("a", 2.21, "", Bar::AtMost(2.2)).met, Some(false));
        assert_eq!(Row::held("a", 0.69, "", Bar::AtLeast(0.7)).met, Some(false));
        // A figure that could not be computed never meets a bar.
        assert_eq!(Row::held("a", f64::NAN, "", Bar::AtMost(1.0)).met, Some(false));
    }

    #[test]
    fn the_table_shows_value_bar_and_verdict() {
        let rows = [Row::held("step", 250.4, "MiB", Bar::AtMost(190.0)), Row::plain("loss", 1.0, "nats")];
        let table = table(&rows);
        assert!(table.contains("250 MiB") && table.contains("≤ 190") && table.contains("MISSED"), "{table}");
    }
}
