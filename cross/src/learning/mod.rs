//! `cargo xtask learn`: what each estimator learns of a task, in which time and by how many passes, over several seeds.

mod page;
mod table;
pub mod task;

use crate::arm::Arm;
use crate::sprig::{Done, Evaluation, Sprig, flags};
use crate::{model, sys};
use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use task::{Source, Task};

/// Arguments of `cargo xtask learn`.
#[derive(clap::Args)]
pub struct Args {
    /// Tasks: data sets of `cargo xtask data`, or folders of train.jsonl, held_out.jsonl and task.json ({"task", "template",
    /// "len", "raw"}), or of such folders 1, 2 and so on, one for each seed
    #[arg(long, value_name = "NAME|DIR", value_delimiter = ',', default_value = "where")]
    tasks: Vec<Source>,
    /// Ways to learn; those that apply to a task if none are given
    #[arg(long, value_enum, value_name = "LIST", value_delimiter = ',')]
    arms: Vec<Arm>,
    /// Seeds, from 1: of data sets' choice and order, and of training
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100))]
    seeds: u64,
    /// The first of them
    #[arg(long, value_name = "S", default_value_t = 1)]
    first_seed: u64,
    /// Learn from the first so many records only; several numbers give a curve [default: all]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    examples: Vec<usize>,
    /// Most bytes of each process
    #[arg(long, value_name = "SIZE", default_value = "200MiB")]
    budget: String,
    /// Steps of the ways that take steps [default: what `sprig train` takes]
    #[arg(long)]
    steps: Option<u64>,
    /// A Python with scikit-learn and the wheels tests/compat/stock.py names: a bag of words, and with the first seed a
    /// linear probe of stock llama.cpp's last hidden states, are judged beside them
    #[arg(long, value_name = "PYTHON")]
    python: Option<PathBuf>,
    /// Folder for learning.json and learning.html; what is in there already is not measured again [default: target/learning]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the results as one JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// One training, judged on held-out records.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    /// The task's name.
    pub task: String,
    /// The way's name.
    pub arm: String,
    /// Records learnt from.
    pub examples: usize,
    /// The seed.
    pub seed: u64,
    /// Held-out quality afterwards.
    pub after: Evaluation,
    /// And of the untouched model.
    pub before: Option<Evaluation>,
    /// Seconds of learning, loading and evaluation left out.
    pub seconds: Option<f64>,
    /// Plain forward passes of one example that it is worth.
    pub passes: Option<f64>,
    /// Most bytes the process held.
    pub peak_bytes: Option<u64>,
    /// Accuracy of the examples it held back in per cent, or their loss where answers are not judged, after so many passes.
    #[serde(default)]
    pub course: Vec<(f64, f64)>,
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
    let mut found = Found::read(out.join("learning.json"))?;
    let model = model::fetch("smollm2")?.path;
    let sprig = Sprig::build()?;
    for source in &args.tasks {
        for seed in args.first_seed..args.first_seed + args.seeds {
            let task = source.task(&out, seed)?;
            let whole = [task.examples];
            let sizes: &[usize] = if args.examples.is_empty() { &whole } else { &args.examples };
            for &examples in sizes.iter().filter(|&&n| n <= task.examples) {
                let part = task.first(examples, &out)?;
                Bench { args, sprig: &sprig, model: &model, out: &out, task: &part, seed }.all(&mut found)?;
            }
        }
    }
    let rows = table::rows(&found.runs);
    fs::write(out.join("learning.html"), page::page(&rows, &found.runs, &args.budget))?;
    let text = table::text(&rows);
    if args.json {
        println!("{}", serde_json::json!({ "runs": found.runs }));
        eprint!("{text}");
    } else {
        print!("{text}");
        println!("\n{}", out.join("learning.html").display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs that were measured, now or earlier, and the file that keeps them.
struct Found {
    file: PathBuf,
    runs: Vec<Run>,
}

impl Found {
    /// Those of an earlier call; none if there is no file.
    fn read(file: PathBuf) -> Result<Self> {
        let runs = match fs::read_to_string(&file) {
            Ok(text) => serde_json::from_str(&text).with_context(|| {
                format!("{} holds no runs; move it away, or give --out another folder", file.display())
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
        };
        Ok(Self { file, runs })
    }

    fn has(&self, task: &Task, arm: &str, seed: u64) -> bool {
        self.runs.iter().any(|run| {
            (&*run.task, &*run.arm, run.examples, run.seed) == (&*task.name, arm, task.examples, seed)
        })
    }

    /// Quality of the untouched model on the records that `task` is judged by.
    fn before(&self, task: &Task, seed: u64) -> Option<Evaluation> {
        let same = |run: &&Run| (&*run.task, run.seed) == (&*task.name, seed);
        self.runs.iter().filter(same).find_map(|run| run.before.clone())
    }

    /// Adds a run, and keeps it whatever becomes of the rest.
    fn push(&mut self, run: Run) -> Result<()> {
        self.runs.push(run);
        sprig_ground::file::write(&self.file, serde_json::to_string_pretty(&self.runs)?.as_bytes())?;
        Ok(())
    }
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
    /// Every way that is asked for and not found yet.
    fn all(&self, found: &mut Found) -> Result<()> {
        let Self { args, task, seed, .. } = *self;
        for arm in args.arms(task) {
            if found.has(task, arm.name(), seed) {
                continue;
            }
            eprintln!("{}, {} records, seed {seed}: {}", task.name, task.examples, arm.name());
            let before = match found.before(task, seed) {
                Some(before) => before,
                None => self.judged(None)?,
            };
            found.push(Run { before: Some(before), ..self.arm(arm)? })?;
        }
        let python = args.python.as_deref().filter(|_| task.is_labelled());
        let Some(python) = python else { return Ok(()) };
        for (arm, script) in [("bag of words", "bag_of_words.py"), ("linear probe", "linear_probe.py")] {
            // A probe takes llama.cpp minutes.
            if !found.has(task, arm, seed) && (seed == 1 || script != "linear_probe.py") {
                eprintln!("{}, {} records, seed {seed}: {arm}", task.name, task.examples);
                found.push(self.peer(python, arm, script)?)?;
            }
        }
        Ok(())
    }

    fn arm(&self, arm: Arm) -> Result<Run> {
        let adapter = self.out.join("adapter.gguf");
        let (mut seconds, mut passes, mut peak, mut course) = (0.0, 0.0, 0, Vec::new());
        for (stage, flags) in arm.stages().iter().enumerate() {
            let done = self.trained(arm, flags, (stage > 0).then_some(&adapter))?;
            let share =
                |step: u64| passes + done.passes.unwrap_or(0.0) * step as f64 / done.steps.max(1) as f64;
            let judged = done.judged.iter();
            course.extend(judged.filter_map(|j| Some((share(j.step), j.result.figure()?))));
            passes += done.passes.context("sprig train named no passes")?;
            seconds += done.train_seconds.context("sprig train named no seconds")?;
            peak = peak.max(done.peak());
        }
        let after = self.judged(Some(&adapter))?;
        eprintln!(
            "  {:.3} {}, {seconds:.0} s, {passes:.0} passes",
            after.figure().unwrap_or(f64::NAN),
            if after.accuracy.is_some() { "% right" } else { "nats" },
        );
        let (seconds, passes, peak_bytes) = (Some(seconds), Some(passes), Some(peak));
        Ok(Run { seconds, passes, peak_bytes, course, ..self.run(arm.name(), after) })
    }

    /// One `sprig train`, from an adapter if there is one.
    fn trained(&self, arm: Arm, own: &[(&str, &str)], from: Option<&Path>) -> Result<Done> {
        let Self { args, task, seed, .. } = *self;
        let out = self.out.join("adapter.gguf");
        let mut words = task.flags();
        words.extend(flags(own));
        words.extend(flags(&[
            ("model", &self.model.to_string_lossy()),
            ("data", &task.train.to_string_lossy()),
            ("budget", &args.budget),
            ("seed", &seed.to_string()),
            ("out", &out.to_string_lossy()),
        ]));
        if let Some(from) = from {
            let start = self.out.join("start.gguf");
            fs::rename(from, &start).context("no adapter of the stage before")?;
            words.extend(flags(&[("from", &start.to_string_lossy())]));
        }
        let takes_steps = arm.takes_steps();
        if let Some(steps) = args.steps.filter(|_| takes_steps) {
            words.extend(flags(&[("steps", &steps.to_string()), ("held-back", "10%")]));
        }
        self.sprig.train(&words, |_| ())
    }

    /// The held-out records' verdict on an adapter, or on the untouched model.
    fn judged(&self, adapter: Option<&Path>) -> Result<Evaluation> {
        let mut words = vec!["eval".to_owned()];
        words.extend(self.task.flags());
        words.extend(flags(&[
            ("model", &self.model.to_string_lossy()),
            ("data", &self.task.held_out.to_string_lossy()),
            ("budget", &self.args.budget),
        ]));
        if let Some(adapter) = adapter {
            words.extend(flags(&[("adapter", &adapter.to_string_lossy())]));
        }
        serde_json::from_value(self.sprig.json(&words)?).context("what sprig eval printed")
    }

    /// A judge of another making, by a script of tests/compat.
    fn peer(&self, python: &Path, arm: &str, script: &str) -> Result<Run> {
        let mut command = sys::command(python, false);
        command.arg(sys::workspace_root().join("tests/compat").join(script));
        command.arg(&self.task.train).arg(&self.task.held_out);
        if script == "linear_probe.py" {
            command.arg(self.model).args(["--template", self.task.template()]);
        }
        let after = serde_json::from_str(&sys::output(&mut command)?)
            .with_context(|| format!("what {script} printed"))?;
        Ok(self.run(arm, after))
    }

    fn run(&self, arm: &str, after: Evaluation) -> Run {
        Run {
            task: self.task.name.clone(),
            arm: arm.to_owned(),
            examples: self.task.examples,
            seed: self.seed,
            after,
            before: None,
            seconds: None,
            passes: None,
            peak_bytes: None,
            course: Vec::new(),
        }
    }
}
