//! The budget holds: random configurations trained on the real model, the peak measured from outside.

use crate::cases::{Case, Draw, draw, write_data};
use crate::child::{Ended, run};
use crate::scene::{Scene, model, number};
use serde_json::Value;
use sprig_testkit::group::Group;
use sprig_testkit::random::Random;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A folder with data, the model, and room for the processes of a test.
pub struct Ground {
    pub scene: Scene,
    /// The model that is trained.
    pub model: PathBuf,
    /// Processor seconds of all that ran.
    pub seconds: Mutex<f64>,
}

/// What a case came to.
pub enum Outcome {
    /// It trained within the budget; plan and peak in bytes.
    Trained { plan: f64, peak: f64, line: String },
    /// The budget was below the smallest, and it was refused.
    Refused,
}

impl Ground {
    pub fn new() -> Self {
        let scene = Scene::new();
        write_data(&scene);
        Self { scene, model: model(), seconds: Mutex::new(0.0) }
    }

    /// Draws `count` cases from `seed`.
    pub fn cases(count: usize, seed: u64) -> Vec<Case> {
        let mut random = Random::new(seed);
        (0..count).map(|_| draw(&mut random)).collect()
    }

    /// The command of a case, without a budget; case `n` writes files of its own.
    pub fn line(&self, case: &Case, n: usize) -> String {
        format!("train --model {} --json --out {n}.gguf {}", self.model.display(), case.arguments)
    }

    /// A command, in the memory control group whose member file is `group` if there is one.
    fn command(&self, line: &str, group: Option<&Path>) -> Command {
        let plain = self.scene.command(line);
        match group {
            None => plain,
            Some(members) => Group::member(members, &plain),
        }
    }

    /// Runs a command.
    pub fn run(&self, line: &str, group: Option<&Path>) -> Ended {
        let ended = run(&mut self.command(line, group));
        *self.seconds.lock().unwrap() += ended.seconds;
        ended
    }

    /// The smallest budget for `line`, and the one drawn for `case`.
    pub fn budget(&self, case: &Case, line: &str, group: Option<&Path>) -> Result<(u64, u64), String> {
        let (smallest, widest) = self.plan(line, group)?;
        Ok((smallest, case.budget.bytes(smallest, widest)))
    }

    /// The plan for `line` under a budget that holds anything: the smallest that would do, and its bytes. Nothing is
    /// trained.
    fn plan(&self, line: &str, group: Option<&Path>) -> Result<(u64, u64), String> {
        let mut command = self.command(&format!("{line} --budget 1TiB"), group);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let event: Value = serde_json::from_str(&first).map_err(|e| format!("no plan: {e}: {first}"))?;
        let bytes = |key: &str| event["plan"][key].as_u64().ok_or_else(|| format!("no {key}: {first}"));
        Ok((bytes("smallest_budget_bytes")?, bytes("total_bytes")?))
    }

    /// Leaves a checkpoint of the first step for `line`.
    fn interrupt(&self, line: &str, n: usize) {
        let (mut child, lines) = self.scene.start(&format!("{line} --budget 1TiB"));
        for event in lines {
            if self.scene.has(&format!("{n}.gguf.ckpt")) || event.unwrap().contains("\"done\"") {
                break;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Runs case `n`; what went wrong otherwise, with a command line that shows it again.
    pub fn check(&self, case: &Case, n: usize) -> Result<Outcome, String> {
        let mut line = self.line(case, n);
        let (smallest, budget) = self.budget(case, &line, None)?;
        if case.resumed && budget >= smallest {
            self.interrupt(&line, n);
            line += " --resume";
        }
        line += &format!(" --budget {budget}");
        self.judge(&line, self.run(&line, None), budget, smallest)
    }

    /// What a run of `line` within `budget` must be like.
    pub fn judge(&self, line: &str, ended: Ended, budget: u64, smallest: u64) -> Result<Outcome, String> {
        let wrong = |what: String| {
            let folder = self.scene.path("");
            Err(format!("{what}\n  cd {} && sprig {line}\n  {}", folder.display(), ended.err))
        };
        match ended.status.code() {
            Some(0) if budget >= smallest => {}
            Some(4) if budget < smallest => {
                return match named_budget(&ended.err) {
                    Some(named) if named == smallest => Ok(Outcome::Refused),
                    named => wrong(format!("the smallest budget is {smallest}, then {named:?}")),
                };
            }
            _ => return wrong(format!("{} with {budget} bytes, smallest {smallest}", ended.status)),
        }
        let last = ended.out.lines().last().unwrap_or_default();
        let Ok(done) = serde_json::from_str::<Value>(last) else {
            return wrong(format!("last line: {last}"));
        };
        let (plan, told) = (number(&done, "plan_bytes"), number(&done, "peak_rss_bytes"));
        let peak = told.max(ended.peak as f64);
        if plan > budget as f64 || peak > budget as f64 {
            let over = (peak - budget as f64) / f64::from(1 << 20);
            return wrong(format!(
                "OVER BUDGET by {over:.2} MiB: budget {budget}, plan {plan}, peak as told {told}, from outside {}",
                ended.peak
            ));
        }
        Ok(Outcome::Trained { plan, peak, line: line.to_owned() })
    }
}

/// The budget a refusal asks for.
pub fn named_budget(message: &str) -> Option<u64> {
    message.split_once("give --budget ")?.1.split_whitespace().next()?.parse().ok()
}

/// Runs `count` cases, two at a time, and prints how far plans are from peaks.
fn hold(count: usize, seed: u64) {
    let ground = Ground::new();
    let cases = Ground::cases(count, seed);
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let Some(case) = cases.get(n) else { return };
                    let outcome = ground.check(case, n);
                    found.lock().unwrap().push((n, outcome));
                }
            });
        }
    });
    let (mut errors, mut refused, mut wrong) = (Vec::new(), 0, Vec::new());
    for (n, outcome) in found.into_inner().unwrap() {
        match outcome {
            Ok(Outcome::Refused) => refused += 1,
            Ok(Outcome::Trained { plan, peak, line }) => errors.push(((plan - peak) / peak, line)),
            Err(problem) => wrong.push(format!("case {n} of seed {seed}: {problem}")),
        }
    }
    errors.sort_by(|a, b| a.0.total_cmp(&b.0));
    let at = |q: f64| 100.0 * errors[((errors.len() - 1) as f64 * q).round() as usize].0;
    println!(
        "{count} cases of seed {seed}: {} trained, {refused} refused, {} wrong; {:.0} s of processor time",
        errors.len(),
        wrong.len(),
        ground.seconds.lock().unwrap()
    );
    println!(
        "(plan - peak) / peak: min {:.2} %, median {:.2} %, 90 % {:.2} %, max {:.2} %",
        at(0.0),
        at(0.5),
        at(0.9),
        at(1.0)
    );
    println!("nearest: sprig {}\nfarthest: sprig {}", errors[0].1, errors[errors.len() - 1].1);
    if !wrong.is_empty() {
        std::mem::forget(ground); // the folder stays, so that the commands can be run again
        panic!("{} of {count} cases are wrong:\n{}", wrong.len(), wrong.join("\n"));
    }
    assert!(refused > 0 && errors.len() > count / 2);
}

/// The seed, which the environment may set to look elsewhere.
pub fn seed() -> u64 {
    std::env::var("SPRIG_SEED").map_or(1, |text| text.parse().expect("SPRIG_SEED is a number"))
}

#[test]
fn two_hundred_random_runs_of_the_real_model_hold_their_budgets() {
    hold(200, seed());
}

/// What a checkpoint brings must not be held beside what it replaces.
#[test]
fn resumed_runs_of_large_adapters_hold_their_budgets() {
    let ground = Ground::new();
    for (n, (adapter, weights)) in [
        ("b-only --rank 24", "resident"),
        ("b-only --rank 24", "streamed"),
        ("lora --rank 8 --optimizer sgd", "auto"),
    ]
    .into_iter()
    .enumerate()
    {
        let arguments = format!(
            "--task lm --raw --data ragged-lm.jsonl --batch 2 --len 11 --tangents 1 --steps 2 --targets q,v \
             --threads 1 --checkpoint-every 1 --weights {weights} --adapter-kind {adapter}"
        );
        let case = Case { arguments, budget: Draw::Widest, resumed: true };
        match ground.check(&case, n) {
            Ok(outcome) => assert!(matches!(outcome, Outcome::Trained { .. })),
            Err(problem) => panic!("{problem}"),
        }
    }
}

#[test]
#[ignore = "a quarter of an hour: the same at five times the length"]
fn a_thousand_random_runs_of_the_real_model_hold_their_budgets() {
    hold(1000, seed() + 1);
}
