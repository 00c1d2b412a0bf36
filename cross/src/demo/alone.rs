//! `cargo xtask demo --alone`: one device that trains by itself, from nothing to a report, on real data.

use crate::sprig::{Done, Evaluation, Sprig, flags};
use crate::{data, model, sys};
use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::Instant;

/// Steps of the ways to learn that take steps, unless told otherwise.
const STEPS: u64 = 400;

/// What is planned and trained alike.
const LEN: (&str, &str) = ("len", "96");
const SHAPE: &[(&str, &str)] = &[LEN, ("budget", "200MiB")];

/// Held-out prompts shown with the model's answers before and after.
const SHOWN: usize = 3;
/// Tokens of an answer in free text.
const WRITTEN: &str = "16";

/// Runs the command.
pub fn run(args: &super::Args) -> Result<()> {
    // Absolute, because sprig runs in the workspace root.
    let out = std::path::absolute(args.out.clone().unwrap_or_else(|| sys::target_dir().join("demo")))?;
    let start = Instant::now();
    let model = model::fetch("smollm2")?;
    let files = data::write(args.data, Some(&out.join("data")), args.seed)?;
    let sprig = Sprig::build()?;
    let paths = Paths::new(&model.path, &files, &out)?;

    eprintln!("planning");
    let shape: Vec<String> =
        [flags(SHAPE), flags(&[("task", files.task)]), flags(&args.estimator.shape())].concat();
    let plan = sprig.command(&["plan", "--model", &paths.model]).args(&shape).output()?;
    // The plan is for the reader; whether it fits, training says with the right exit code.
    eprint!("{}{}", String::from_utf8_lossy(&plan.stdout), String::from_utf8_lossy(&plan.stderr));

    let labelled = files.task == "label";
    let shown = if labelled { shown(&files.held_out, files.template)? } else { begun(&files.held_out)? };
    let choices = if labelled { files.labels.join(",") } else { String::new() };
    let before = answers(&sprig, &paths, &shown, &choices, false)?;
    let training = Instant::now();
    let done = train(&sprig, &paths, &files, args)?;
    let training = training.elapsed().as_secs_f64();

    // From the adapter on disk, not from the trainer's memory: what is shipped is what is judged.
    eprintln!("evaluating {}", paths.adapter);
    let after = judge(&sprig, &model.path, Some(Path::new(&paths.adapter)), &files)?;
    let after: Evaluation = serde_json::from_value(after).context("what sprig eval printed")?;
    let finetuned = answers(&sprig, &paths, &shown, &choices, true)?;
    sys::check(sprig.command(&["report", &paths.run, "-o", &paths.report]).stdout(std::io::stderr()))?;

    let answers: Vec<Value> = shown
        .iter()
        .zip(before.iter().zip(&finetuned))
        .map(|((prompt, label), (before, after))| {
            json!({ "prompt": prompt, "label": label, "before": before, "after": after })
        })
        .collect();
    let summary = Summary {
        paths: &paths,
        done: &done,
        after: &after,
        answers,
        unit: if labelled { "examples" } else { "tokens" },
        training,
        total: start.elapsed().as_secs_f64(),
    };
    if args.json {
        println!("{}", summary.json());
    } else {
        print!("{}", summary.text());
    }
    Ok(())
}

/// How well `model` answers the records held out, with `adapter` or by itself.
pub(super) fn judge(
    sprig: &Sprig,
    model: &Path,
    adapter: Option<&Path>,
    files: &data::Files,
) -> Result<Value> {
    let mut judge = vec!["eval".to_owned(), "--raw".to_owned()];
    judge.extend(flags(&[("model", text(model)?), ("data", text(&files.held_out)?), ("task", files.task)]));
    judge.extend(flags(&[LEN]));
    if let Some(adapter) = adapter {
        judge.extend(flags(&[("adapter", text(adapter)?)]));
    }
    if files.task == "label" {
        judge.extend(flags(&[("template", files.template), ("labels", &files.labels.join(","))]));
    }
    sprig.json(&judge)
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}

/// Everything a command line names, as text.
struct Paths {
    model: String,
    train: String,
    held_out: String,
    adapter: String,
    run: String,
    report: String,
}

impl Paths {
    fn new(model: &Path, files: &data::Files, out: &Path) -> Result<Self> {
        let text = |path: &Path| text(path).map(str::to_owned);
        Ok(Self {
            model: text(model)?,
            train: text(&files.train)?,
            held_out: text(&files.held_out)?,
            adapter: text(&out.join("adapter.gguf"))?,
            run: text(&out.join("run.json"))?,
            report: text(&out.join("report.html"))?,
        })
    }
}

fn train(sprig: &Sprig, paths: &Paths, files: &data::Files, args: &super::Args) -> Result<Done> {
    let mut arguments = flags(SHAPE);
    arguments.extend(flags(args.estimator.flags()));
    arguments.extend(flags(&[
        ("model", &paths.model),
        ("data", &paths.train),
        ("eval-data", &paths.held_out),
        ("task", files.task),
        ("seed", &args.seed.to_string()),
        ("out", &paths.adapter),
        ("run", &paths.run),
    ]));
    arguments.push("--raw".to_owned());
    if files.task == "label" {
        arguments.extend(flags(&[("template", files.template)]));
    }
    let asked = args.steps.or(args.estimator.takes_steps().then_some(STEPS));
    if let Some(steps) = asked {
        arguments.extend(flags(&[("steps", &steps.to_string())]));
    }
    let bar = ProgressBar::new(asked.unwrap_or(0))
        .with_style(ProgressStyle::with_template("training {bar:30} {pos}/{len} steps, {msg}, {eta} left")?);
    let done = sprig.train(&arguments, |event| {
        if let (Some(step), Some(loss)) = (event["step"].as_u64(), event["loss"].as_f64()) {
            bar.set_length(event["steps"].as_u64().unwrap_or(step));
            bar.set_position(step);
            bar.set_message(format!("loss {loss:.3}"));
        }
    })?;
    bar.finish_and_clear();
    Ok(done)
}

/// The first held-out texts of different labels, as prompts, with those labels.
fn shown(held_out: &Path, template: &str) -> Result<Vec<(String, String)>> {
    let text = fs::read_to_string(held_out).with_context(|| format!("cannot read {}", held_out.display()))?;
    let mut shown: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        let record: Value = serde_json::from_str(line)?;
        let (Some(text), Some(label)) = (record["text"].as_str(), record["label"].as_str()) else {
            continue;
        };
        if shown.len() < SHOWN && shown.iter().all(|(_, other)| other != label) {
            shown.push((template.replace("{text}", text), label.to_owned()));
        }
    }
    Ok(shown)
}

/// The first halves of the first held-out texts, as prompts, with the other halves.
fn begun(held_out: &Path) -> Result<Vec<(String, String)>> {
    let text = fs::read_to_string(held_out).with_context(|| format!("cannot read {}", held_out.display()))?;
    let mut begun = Vec::new();
    for line in text.lines().take(SHOWN) {
        let record: Value = serde_json::from_str(line)?;
        let words: Vec<&str> = record["text"].as_str().unwrap_or_default().split(' ').collect();
        let (first, rest) = words.split_at(words.len().div_ceil(2));
        begun.push((first.join(" "), rest.join(" ")));
    }
    Ok(begun)
}

fn answers(
    sprig: &Sprig,
    paths: &Paths,
    shown: &[(String, String)],
    choices: &str,
    adapter: bool,
) -> Result<Vec<String>> {
    let answer = |(prompt, _): &(String, String)| {
        let mut arguments = vec!["infer", "--model", &paths.model, "--prompt", prompt, "--raw"];
        match choices {
            "" => arguments.extend(["--max-tokens", WRITTEN]),
            choices => arguments.extend(["--choices", choices]),
        }
        if adapter {
            arguments.extend(["--adapter", &paths.adapter]);
        }
        let printed = sprig.json(&arguments)?;
        Ok(printed["text"].as_str().context("sprig infer printed no text")?.trim().to_owned())
    };
    shown.iter().map(answer).collect()
}

struct Summary<'a> {
    paths: &'a Paths,
    done: &'a Done,
    after: &'a Evaluation,
    answers: Vec<Value>,
    /// What is counted of the held-out data.
    unit: &'static str,
    training: f64,
    total: f64,
}

impl Summary<'_> {
    fn json(&self) -> Value {
        let Done { eval_before, budget_bytes, plan_bytes, peak_rss_bytes, steps, .. } = self.done;
        json!({
            "event": "done",
            "estimator": self.done.estimator,
            "accuracy_before": eval_before.as_ref().and_then(|e| e.accuracy),
            "accuracy_after": self.after.accuracy,
            "interval": self.after.interval,
            "n": self.after.n,
            "train_seconds": self.done.train_seconds,
            "loss_before": eval_before.as_ref().and_then(|e| e.loss),
            "loss_after": self.after.loss,
            "untouched": eval_before.as_ref().map(evaluation),
            "finetuned": evaluation(self.after),
            "budget_bytes": budget_bytes,
            "plan_bytes": plan_bytes,
            "peak_rss_bytes": peak_rss_bytes,
            "steps": steps,
            "step_ms_median": self.done.step_ms_median,
            "training_seconds": self.training,
            "total_seconds": self.total,
            "adapter": self.paths.adapter,
            "adapter_bytes": fs::metadata(&self.paths.adapter).map(|file| file.len()).ok(),
            "report": self.paths.report,
            "answers": self.answers,
        })
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for answer in &self.answers {
            let word = |key: &str| answer[key].as_str().unwrap_or("").replace('\n', "\\n");
            text += &format!("\n{}\n", answer["prompt"].as_str().unwrap_or(""));
            text += &format!(
                "  untouched: {:24} finetuned: {:24} right: {}\n",
                word("before"),
                word("after"),
                word("label")
            );
        }
        let untouched = self.done.eval_before.as_ref().map_or_else(|| "not measured".to_owned(), percent);
        let bytes = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
        let minutes = |seconds: f64| format!("{:.1} minutes", seconds / 60.0);
        text += &format!("\nuntouched   {untouched}\nfinetuned   {}\n", percent(self.after));
        if let (Some(before), Some(after)) =
            (self.done.eval_before.as_ref().and_then(|e| e.loss), self.after.loss)
        {
            text += &format!("loss        {before:.3}, then {after:.3}\n");
        }
        text += &format!("held out    {} {}\n", self.after.n, self.unit);
        text += &format!("budget      {}\n", bytes(self.done.budget_bytes));
        text += &format!("planned     {}\n", bytes(self.done.plan_bytes));
        text += &format!("peak        {}\n", bytes(self.done.peak_rss_bytes));
        let way = self.done.estimator.as_deref().unwrap_or("gradients");
        let seconds = self.done.train_seconds.unwrap_or(self.training);
        text += &format!("learning    {seconds:.0} seconds ({way})\n");
        text += &format!("in all      {}\n", minutes(self.total));
        text += &format!("adapter     {}\nreport      file://{}\n", self.paths.adapter, self.paths.report);
        text
    }
}

fn evaluation(evaluation: &Evaluation) -> Value {
    json!({ "n": evaluation.n, "accuracy": evaluation.accuracy, "interval": evaluation.interval })
}

/// `71.2 % (67.4 to 74.7 %)`
pub(super) fn percent(evaluation: &Evaluation) -> String {
    let Some(accuracy) = evaluation.accuracy else { return "no accuracy".to_owned() };
    let interval = evaluation
        .interval
        .map_or_else(String::new, |(low, high)| format!(" ({:.1} to {:.1} %)", 100.0 * low, 100.0 * high));
    format!("{:.1} %{interval}", 100.0 * accuracy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_prompts_have_different_labels() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("held_out.jsonl");
        let lines: Vec<_> = ["a", "a", "b", "a", "c", "d"]
            .iter()
            .enumerate()
            .map(|(n, label)| json!({ "text": n.to_string(), "label": label }).to_string())
            .collect();
        fs::write(&path, lines.join("\n")).unwrap();
        let prompts: Vec<_> =
            shown(&path, "prompt {text}").unwrap().into_iter().map(|(prompt, _)| prompt).collect();
        assert_eq!(prompts, ["prompt 0", "prompt 2", "prompt 4"]);
    }

    #[test]
    fn accuracy_is_printed_with_its_interval() {
        let evaluation = Evaluation {
            n: 600,
            loss: None,
            accuracy: Some(0.7125),
            interval: Some((0.675, 0.7471)),
            answered: None,
        };
        assert_eq!(percent(&evaluation), "71.2 % (67.5 to 74.7 %)");
    }
}
