//! `cargo xtask bench`: the numbers the project holds itself to, measured on this machine in one run.

mod curves;
mod measure;
mod page;
mod peers;
mod round;
pub mod row;
mod rows;
mod scale;
mod shapes;
mod work;

use crate::sprig::Sprig;
use crate::{model, sys};
use anyhow::{Context, Result};
use measure::Measured;
use serde::Serialize;
use sprig_ground::kernel::Machine;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};
use work::{Bench, Work};

/// Arguments of `cargo xtask bench`.
#[derive(clap::Args)]
pub struct Args {
    /// Folder for bench.json and bench.html [default: target/bench]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// One round of few steps: checks that the benchmarks run, not how fast
    #[arg(long)]
    quick: bool,
    /// Also how time and memory grow with length, batch, rank, layers, threads and model size; takes minutes
    #[arg(long)]
    curves: bool,
    /// Also models of random weights larger than their budgets, of up to 6.7 billion: writes 3.8 GB, deletes it afterwards,
    /// and takes minutes
    #[arg(long)]
    scale: bool,
    /// Also what forward and exact gradients take in several shapes, each in a memory control group of what was planned,
    /// pages of files counted; takes minutes
    #[arg(long)]
    memory: bool,
    /// A Python that has the wheels tests/compat/stock.py names: compares with llama.cpp
    #[arg(long, value_name = "PYTHON")]
    llama_bench: Option<PathBuf>,
    /// A Python that has torch: compares with its forward-mode derivative and its checkpointed backprop
    #[arg(long, value_name = "PYTHON")]
    torch: Option<PathBuf>,
    /// Threads of every run
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Print the results as one JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// Where and how it was measured: absolute figures mean nothing without it.
#[derive(Debug, Serialize)]
pub struct Setting {
    processor: String,
    cores: usize,
    memory_bytes: u64,
    kernel: String,
    threads: usize,
    /// One round of few steps.
    quick: bool,
    /// Processes that wanted to run when this began, a mean over a minute.
    load: f64,
    /// Seconds since 1970.
    started: u64,
    seconds: u64,
    sprig_version: &'static str,
}

/// Runs the command. Fails when a bar is missed, but not with `--quick`, whose times mean little.
pub fn run(args: &Args) -> Result<ExitCode> {
    let out = std::path::absolute(args.out.clone().unwrap_or_else(|| sys::target_dir().join("bench")))?;
    fs::create_dir_all(&out).with_context(|| format!("cannot create {}", out.display()))?;
    let model = model::fetch("smollm2")?;
    let sprig = Sprig::build()?;
    let mut setting = Setting::now(args);
    let work = Work::usual(args.threads, if args.quick { 1 } else { 3 });
    let measured = Measured::take(&Bench::new(&sprig, model.path, &out, work)?, args)?;
    setting.seconds = now() - setting.started;
    let rows = rows::rows(&measured);

    let json = serde_json::json!({ "setting": setting, "rows": rows, "curves": measured.curves });
    fs::write(out.join("bench.json"), serde_json::to_string_pretty(&json)?)?;
    fs::write(out.join("bench.html"), page::page(&setting, &rows, &measured))?;
    let table = row::table(&rows);
    if args.json {
        println!("{json}");
        eprint!("{table}");
    } else {
        print!("{table}");
        println!("\n{}", out.join("bench.html").display());
    }
    let missed = rows.iter().any(|row| row.met == Some(false));
    Ok(if missed && !args.quick { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

impl Setting {
    fn now(args: &Args) -> Self {
        let here = Machine::here();
        let processor = here.processor.as_deref().unwrap_or("unnamed");
        Self {
            processor: format!("{processor} ({})", std::env::consts::ARCH),
            cores: here.cores,
            memory_bytes: here.memory.unwrap_or(0),
            kernel: here.kernel,
            threads: args.threads,
            quick: args.quick,
            load: here.load.unwrap_or(0.0),
            started: now(),
            seconds: 0,
            sprig_version: env!("CARGO_PKG_VERSION"),
        }
    }

    /// Whether something else was running: times are then no more than a sketch.
    fn busy(&self) -> bool {
        self.load > 0.5 * self.cores as f64
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
