//! `cargo xtask learn`: what each estimator learns of a task, in which time and by how many passes, over several seeds.

mod page;
mod table;
mod task;

use crate::arm::Arm;
use crate::sprig::{Done, Evaluation, Sprig, flags};
use crate::{model, sys};
use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use task::{Source, Task};

/// Arguments of `cargo xtask learn`.
#[derive(clap::Args)]
pub struct Args {
    /// Tasks: data sets of `cargo xtask data`, or folders of train.jsonl, held_out.jsonl and task.json ({"task", "template",
    /// "len", "raw"})
    #[arg(long, value_name = "NAME|DIR", value_delimiter = ',', default_value = "where")]
    tasks: Vec<Source>,
    /// Ways to learn; those that apply to a task if none are given
    #[arg(long, value_enum, value_name = "LIST", value_delimiter = ',')]
    arms: Vec<Arm>,
    /// Seeds, from 1: of data sets' choice and order, and of training
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100))]
    seeds: u64,
    /// Learn from the first so many records only; several numbers give a curve [default: all]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    examples: Vec<usize>,
    /// Most bytes of each process
    #[arg(long, value_name = "SIZE", default_value = "200MiB")]
    budget: String,
    /// Steps of the ways that take steps [default: what `sprig train` takes]
    #[arg(long)]
    steps: Option<u64>,
    /// A Python with scikit-learn: a bag of words is judged beside them
    #[arg(long, value_name = "PYTHON")]
    python: Option<PathBuf>,
    /// Folder for learning.json and learning.html [default: target/learning]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the results as one JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// One training, judged on held-out records.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// The task's name.
    pub task: String,
    /// The way's name.
    pub arm: &'static str,
    /// Records learnt from.
    pub examples: usize,
    /// The seed.
    pub seed: u64,
    /// Held-out quality afterwards.
    pub after: Evaluation,
    /// And before.
    pub before: Option<Evaluation>,
    /// Seconds of learning, loading and evaluation left out.
    pub seconds: Option<f64>,
    /// Plain forward passes of one example that it is worth.
    pub passes: Option<f64>,
    /// Most bytes the process held.
    pub peak_bytes: Option<u64>,
}

impl Args {
    /// The ways that are to be tried on `task`.
    fn arms(&self, task: &Task) -> impl Iterator<Item = Arm> {
        let asked = if self.arms.is_empty() { Arm::value_variants() } else { &self.arms };
        let labelled = task.is_labelled();
        asked.iter().copied().filter(move |arm| labelled || !arm.needs_labels())
    }
}

/// Runs the command.
pub fn run(args: &Args) -> Result<ExitCode> {
    let out = std::path::absolute(args.out.clone().unwrap_or_else(|| sys::target_dir().join("learning")))?;
    fs::create_dir_all(&out).with_context(|| format!("cannot create {}", out.display()))?;
    let model = model::fetch("smollm2")?.path;
    let sprig = Sprig::build()?;
    let mut runs = Vec::new();
    for source in &args.tasks {
        for seed in 1..=args.seeds {
            let task = source.task(&out, seed)?;
            let whole = [task.examples];
            let sizes: &[usize] = if args.examples.is_empty() { &whole } else { &args.examples };
            for &examples in sizes.iter().filter(|&&n| n <= task.examples) {
                let part = task.first(examples, &out)?;
                let bench = Bench { args, sprig: &sprig, model: &model, out: &out, task: &part, seed };
                for arm in args.arms(&part) {
                    runs.push(bench.arm(arm)?);
                    // What was measured is kept, whatever becomes of the rest.
                    fs::write(out.join("learning.json"), serde_json::to_string_pretty(&runs)?)?;
                }
                if let Some(python) = args.python.as_deref().filter(|_| part.is_labelled()) {
                    runs.push(bench.bag_of_words(python)?);
                }
            }
        }
    }
    fs::write(out.join("learning.json"), serde_json::to_string_pretty(&runs)?)?;
    let rows = table::rows(&runs);
    fs::write(out.join("learning.html"), page::page(&rows, args.seeds, &args.budget))?;
    let text = table::text(&rows);
    if args.json {
        println!("{}", serde_json::json!({ "runs": runs }));
        eprint!("{text}");
    } else {
        print!("{text}");
        println!("\n{}", out.join("learning.html").display());
    }
    Ok(ExitCode::SUCCESS)
}

/// What a run needs.
struct Bench<'a> {
    args: &'a Args,
    sprig: &'a Sprig,
    model: &'a Path,
    out: &'a Path,
    task: &'a Task,
    seed: u64,
}

impl Bench<'_> {
    fn arm(&self, arm: Arm) -> Result<Run> {
        let Self { args, task, seed, .. } = *self;
        eprintln!("{}, {} records, seed {seed}: {}", task.name, task.examples, arm.name());
        let mut words = task.flags()?;
        words.extend(flags(&[
            ("model", &self.model.to_string_lossy()),
            ("data", &task.train.to_string_lossy()),
            ("eval-data", &task.held_out.to_string_lossy()),
            ("budget", &args.budget),
            ("seed", &seed.to_string()),
            ("out", &self.out.join("adapter.gguf").to_string_lossy()),
        ]));
        words.extend(flags(arm.flags()));
        if let Some(steps) = args.steps.filter(|_| arm.takes_steps()) {
            words.extend(flags(&[("steps", &steps.to_string())]));
        }
        let done = self.sprig.train(&words, |event| {
            if event["event"] == "eval" {
                eprintln!(
                    "  {}: {}",
                    event["when"].as_str().unwrap_or_default(),
                    event["result"]["accuracy"]
                );
            }
        })?;
        let peak = done.peak();
        let Done { eval_before, eval_after, train_seconds, passes, .. } = done;
        let after = eval_after.context("sprig train did not evaluate the held-out records")?;
        let run = self.run(arm.name(), after);
        Ok(Run { before: eval_before, seconds: train_seconds, passes, peak_bytes: Some(peak), ..run })
    }

    /// A linear model over the texts' words, by scikit-learn.
    fn bag_of_words(&self, python: &Path) -> Result<Run> {
        let script = sys::workspace_root().join("tests/compat/bag_of_words.py");
        let mut command = sys::command(python, false);
        let printed = sys::output(command.arg(script).arg(&self.task.train).arg(&self.task.held_out))?;
        let after = serde_json::from_str(&printed).context("what bag_of_words.py printed")?;
        Ok(self.run("bag of words", after))
    }

    fn run(&self, arm: &'static str, after: Evaluation) -> Run {
        Run {
            task: self.task.name.clone(),
            arm,
            examples: self.task.examples,
            seed: self.seed,
            after,
            before: None,
            seconds: None,
            passes: None,
            peak_bytes: None,
        }
    }
}
