//! `cargo xtask sim`: worlds, one after another, until time is up or something does not hold.

use anyhow::{Result, bail};
use clap::Parser;
use serde_json::json;
use sprig_world::{Deed, Failure, Report, run};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A line of progress every so often.
const TELL: Duration = Duration::from_secs(10);

#[derive(Parser)]
#[command(
    name = "cargo xtask sim",
    bin_name = "cargo xtask sim",
    about = "Whole fleets in virtual time under faults, each from a seed"
)]
struct Args {
    /// The first world's seed; the next has the next number
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Worlds, at most [default: one, or as many as fit the minutes]
    #[arg(long, value_name = "N")]
    worlds: Option<u64>,
    /// Minutes after which no world is begun
    #[arg(long, value_name = "M")]
    minutes: Option<f64>,
    /// Print one JSON object a line instead of text
    #[arg(long)]
    json: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let worlds = args.worlds.unwrap_or(if args.minutes.is_some() { u64::MAX } else { 1 });
    let limit = Duration::from_secs_f64(60.0 * args.minutes.unwrap_or(f64::from(u16::MAX)));
    let (begun, mut told) = (Instant::now(), Instant::now());
    let mut all = Sum::default();
    name_worlds_that_panic();
    for seed in args.seed..args.seed.saturating_add(worlds) {
        if begun.elapsed() >= limit {
            break;
        }
        WORLD.store(seed, Ordering::Relaxed);
        match catch_unwind(AssertUnwindSafe(|| run(seed))) {
            Ok(Ok(report)) => all.add(&report),
            Ok(Err(failure)) => return failed(&args, seed, &failure),
            Err(_) => bail!("world {seed} panicked; again: cargo xtask sim --seed {seed}"),
        }
        if told.elapsed() >= TELL {
            told = Instant::now();
            eprintln!("{} worlds, {} steps", all.worlds, all.steps);
        }
    }
    let Sum { worlds, steps, hours, held, epochs, messages, deeds, .. } = &all;
    if args.json {
        println!(
            "{}",
            json!({ "worlds": worlds, "steps": steps, "hours": hours, "held": held, "epochs": epochs, "messages": messages, "deeds": deeds, "courses": all.courses })
        );
    } else {
        println!(
            "{worlds} worlds, {steps} steps, {hours:.0} hours of their time, {epochs} epochs beyond the first"
        );
        println!("  {:>7}  KiB that a device had at once, at most", held / 1024);
        println!("  {messages:>7}  messages lost, doubled, reordered or damaged");
        deeds.iter().for_each(|(deed, n)| println!("  {n:>7}  {deed:?}"));
    }
    Ok(())
}

/// The world under way.
static WORLD: AtomicU64 = AtomicU64::new(0);

/// Has a panic say in which world: another one on its way out would end the process before that could be told.
fn name_worlds_that_panic() {
    let before = take_hook();
    set_hook(Box::new(move |what| {
        eprintln!("in world {}:", WORLD.load(Ordering::Relaxed));
        before(what);
    }));
}

/// Worlds together.
#[derive(Default)]
struct Sum {
    worlds: u64,
    steps: u64,
    hours: f64,
    held: u64,
    epochs: u64,
    messages: u64,
    deeds: BTreeMap<Deed, u64>,
    courses: Vec<u64>,
}

impl Sum {
    fn add(&mut self, report: &Report) {
        self.worlds += 1;
        self.steps += report.steps;
        self.hours += report.seconds as f64 / 3600.0;
        self.held = self.held.max(report.held);
        self.epochs += u64::from(report.epochs.saturating_sub(1));
        self.messages += report.messages;
        report.deeds.iter().for_each(|(deed, n)| *self.deeds.entry(*deed).or_default() += n);
        self.courses.push(report.course);
    }
}

fn failed(args: &Args, seed: u64, failure: &Failure) -> Result<()> {
    let Failure { what, seconds, last } = failure;
    if args.json {
        println!("{}", json!({ "seed": seed, "failed": what, "seconds": seconds, "last": last }));
    } else {
        last.iter().for_each(|line| println!("{line}"));
    }
    bail!("world {seed} after {seconds} s of its time: {what}; again: cargo xtask sim --seed {seed}")
}
