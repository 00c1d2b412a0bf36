//! The release build of `sprig`, driven through its JSON contract.

use crate::sys;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sprig_ground::kernel;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// A built binary.
pub struct Sprig {
    path: PathBuf,
}

/// The last line of `sprig train --json`, and what was seen of the process from outside.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Done {
    /// Steps taken.
    pub steps: u64,
    /// Held-out quality of the untouched model.
    pub eval_before: Option<Evaluation>,
    /// And that after training.
    #[serde(default)]
    pub eval_after: Option<Evaluation>,
    /// The estimator that was chosen.
    #[serde(default)]
    pub estimator: Option<String>,
    /// Plain forward passes of one example that training is worth.
    #[serde(default)]
    pub passes: Option<f64>,
    /// Seconds of learning alone.
    #[serde(default)]
    pub train_seconds: Option<f64>,
    /// Judgements by held-back examples on the way, in order.
    #[serde(default)]
    pub judged: Vec<Judged>,
    /// What the plan laid out.
    pub plan_bytes: u64,
    /// The limit it was given.
    pub budget_bytes: u64,
    /// Most memory the process ever held, by its own account.
    pub peak_rss_bytes: u64,
    /// The same by the kernel's account, asked by this process.
    #[serde(default)]
    pub seen_peak_bytes: u64,
    /// Most bytes ever allocated on the heap.
    pub peak_heap_bytes: u64,
    /// Most bytes of the model file that were resident.
    pub mapped_bytes: u64,
    /// Median time of a training step.
    pub step_ms_median: f64,
    /// Median time of a plain forward pass of the same batch; absent when none was timed.
    pub forward_ms_median: Option<f64>,
}

/// A judgement on the way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Judged {
    /// After so many steps.
    pub step: u64,
    /// By the examples that are held back.
    pub result: Evaluation,
}

/// What `sprig eval --json` prints.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Evaluation {
    /// Examples judged.
    pub n: u64,
    /// Mean loss over them, nats.
    #[serde(default)]
    pub loss: Option<f64>,
    /// Share answered rightly.
    pub accuracy: Option<f64>,
    /// 95 % interval of the accuracy.
    pub interval: Option<(f64, f64)>,
    /// Share answered greedily with a label, rightly or not.
    #[serde(default)]
    pub answered: Option<f64>,
}

impl Evaluation {
    /// Per cent answered rightly, or the loss in nats where answers are not judged.
    pub fn figure(&self) -> Option<f64> {
        self.accuracy.map(|accuracy| 100.0 * accuracy).or(self.loss)
    }
}

impl Sprig {
    /// Builds it. A second build of unchanged sources takes a moment.
    pub fn build() -> Result<Self> {
        eprintln!("building sprig (minutes, the first time)");
        let mut cargo = sys::command("cargo", true);
        sys::check(cargo.args(["build", "--release", "--locked", "--package", "sprig"]))?;
        Ok(Self { path: sys::target_dir().join("release/sprig") })
    }

    /// One that is built already.
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// A command of it.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = sys::command(&self.path, false);
        command.args(arguments);
        command
    }

    /// Runs a command that prints one JSON value.
    pub fn json<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Result<Value> {
        let mut command = self.command(arguments);
        let printed = sys::output(command.arg("--json"))?;
        serde_json::from_str(&printed).with_context(|| format!("sprig printed no JSON but {printed:?}"))
    }

    /// Runs `sprig train`, shows every line but the last to `watch`, and returns the last.
    pub fn train(&self, arguments: &[String], watch: impl FnMut(&Value)) -> Result<Done> {
        let mut command = self.command(&["train"]);
        command.args(arguments);
        self.finish(command, watch)
    }

    /// The same with a command that is `sprig train` already.
    pub fn finish(&self, mut command: Command, mut watch: impl FnMut(&Value)) -> Result<Done> {
        command.arg("--json").stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start {}", self.path.display()))?;
        let lines = child.stdout.take().context("no standard output")?;
        let pid = child.id();
        let watcher = thread::spawn(move || peak_of(pid));
        let mut done: Option<Done> = None;
        let mut judged = Vec::new();
        for line in BufReader::new(lines).lines() {
            let line = line.context("cannot read what sprig train prints")?;
            let event: Value =
                serde_json::from_str(&line).with_context(|| format!("sprig train printed {line:?}"))?;
            if event["event"] == "done" {
                done = Some(serde_json::from_value(event).context("the last line of sprig train")?);
                continue;
            }
            watch(&event);
            if event["event"] == "judged" {
                judged.push(serde_json::from_value(event).context("a judgement of sprig train")?);
            }
        }
        let status = child.wait()?;
        if !status.success() {
            bail!("`{}` failed: {status}", sys::describe(&command));
        }
        let mut done = done.context("sprig train ended without its last line")?;
        done.judged = judged;
        done.seen_peak_bytes = watcher.join().unwrap_or(0);
        Ok(done)
    }
}

impl Done {
    /// Most memory the process ever held: the larger of the two accounts.
    pub fn peak(&self) -> u64 {
        self.peak_rss_bytes.max(self.seen_peak_bytes)
    }

    /// What of the peak is not weights.
    pub fn above_weights(&self) -> u64 {
        self.peak().saturating_sub(self.mapped_bytes)
    }
}

/// The kernel's VmHWM of a process in bytes, asked until it has ended.
fn peak_of(pid: u32) -> u64 {
    let mut peak = 0;
    // A process that has ended keeps its entry until it is waited for, but holds no memory and is none to the reader.
    while let Some(process) = kernel::process(pid) {
        peak = peak.max(process.peak);
        thread::sleep(Duration::from_millis(10));
    }
    peak
}

/// Command-line words of `pairs`: `--name value` each.
pub fn flags(pairs: &[(&str, &str)]) -> Vec<String> {
    pairs.iter().flat_map(|(name, value)| [format!("--{name}"), (*value).to_owned()]).collect()
}
