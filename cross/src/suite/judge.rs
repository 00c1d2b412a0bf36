//! Stock llama.cpp as a judge: models of every family give its logits, with adapters and without; tokenizers its ids and those
//! of two more implementations; chat templates the text of jinja2; and the adapter of a read-out, and one that steps went on to
//! from it, load there and answer with labels, as `sprig eval` says they do.

use super::Suite;
use super::report::Outcome;
use crate::build;
use crate::packages::Pip;
use crate::sprig::{Evaluation, Sprig, flags};
use crate::{data, sys};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Texts to learn from, and to judge by.
const EXAMPLES: usize = 300;
const HELD_OUT: usize = 60;
/// Most answers on which both may differ: Sprig reads the formats' own weights with f32 activations, llama.cpp rounds these
/// to 8 bits.
const APART: f64 = 5.0;

/// Runs the stage.
pub(super) fn check(suite: &Suite) -> Result<Outcome> {
    let judge = match Judge::find() {
        Ok(judge) => judge,
        Err(why) => return Ok(Outcome::Skipped(format!("no stock llama.cpp: {why:#}"))),
    };
    if suite.tools.has_nextest() {
        let mut tests = suite.command("cargo");
        tests.args(["nextest", "run", "--locked", "--package", "sprig-tests"]);
        tests.args(["--test", "stock", "--test", "tokenizers", "--test", "chats"]);
        tests.args(["--ignore-default-filter", "--run-ignored", "all"]).env("SPRIG_STOCK", &judge.packages);
        if std::env::var_os("SPRIG_GEMMA").is_none() {
            // Its file comes with terms, which somebody has to agree to.
            tests.args(["-E", "not test(gemma_s_own_vocabulary)"]);
        }
        sys::check(&mut tests)?;
    }
    let model = suite.model.as_deref().context("the model stage did not pass")?;
    sys::check(build::plan(&mut suite.command("cargo")))?;
    let sprig = Sprig::at(sys::target_dir().join("dist/sprig"));
    let folder = tempfile::tempdir()?;
    let files = data::write(data::Name::Where, Some(folder.path()), 1)?;
    let train = first(&files.train, EXAMPLES)?;
    let held_out = first(&files.held_out, HELD_OUT)?;
    let model_flag = model.to_string_lossy();
    let asked = |data: &Path| {
        let mut words = flags(&[
            ("task", "label"),
            ("template", files.template),
            ("labels", &files.labels.join(",")),
            ("len", "256"),
            ("budget", "400MiB"),
            ("model", &model_flag),
            ("data", &data.to_string_lossy()),
        ]);
        words.push("--raw".to_owned());
        words
    };
    let [read_out, warm] = ["read-out.gguf", "warm.gguf"].map(|name| folder.path().join(name));
    let from = read_out.to_string_lossy();
    let steps = [("estimator", "reverse"), ("from", &from), ("steps", "10"), ("batch", "4")];
    let mut notes = Vec::new();
    for (out, way) in [(&read_out, &[("estimator", "readout")][..]), (&warm, &steps)] {
        let out = out.to_string_lossy();
        let words = [asked(&train), flags(way), flags(&[("out", &out)])].concat();
        sprig.train(&words, |_| ())?;
        let words = [vec!["eval".to_owned()], asked(&held_out), flags(&[("adapter", &out)])].concat();
        let ours: Evaluation =
            serde_json::from_value(sprig.json(&words)?).context("what sprig eval printed")?;
        let theirs = judge.answers(model, &held_out, files.template, &out)?;
        notes.push(agree(&ours, &theirs).with_context(|| format!("with the adapter of {way:?}"))?);
    }
    Ok(Outcome::Passed(format!("right in {}", notes.join(" and "))))
}

/// Holds one judge's verdict to the other's; the accuracies in words.
fn agree(ours: &Evaluation, theirs: &Evaluation) -> Result<String> {
    let (Some(a), Some(b), Some(answered)) = (ours.accuracy, theirs.accuracy, theirs.answered) else {
        anyhow::bail!("no accuracies: {ours:?}, {theirs:?}");
    };
    ensure!(ours.n == theirs.n, "{} texts judged here, {} there", ours.n, theirs.n);
    let n = theirs.n as f64;
    ensure!(answered >= 0.99, "llama.cpp answers {:.0} of {n} texts with a label", answered * n);
    ensure!(n * (a - b).abs() <= APART, "{:.0} of {n} right here, {:.0} in llama.cpp", a * n, b * n);
    Ok(format!("{:.0} of {n} (sprig eval: {:.0})", b * n, a * n))
}

/// The file that holds the first `records` of one.
pub(super) fn first(path: &Path, records: usize) -> Result<PathBuf> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let some: String = text.lines().take(records).flat_map(|line| [line, "\n"]).collect();
    let out = path.with_extension("first.jsonl");
    fs::write(&out, some).with_context(|| format!("cannot write {}", out.display()))?;
    Ok(out)
}

/// A Python that has stock llama.cpp.
struct Judge {
    python: PathBuf,
    /// Where its packages are.
    packages: PathBuf,
}

impl Judge {
    /// The one of an earlier run, or else one is fetched.
    fn find() -> Result<Self> {
        let pip = Pip::find()?;
        let judge = Self { python: pip.python().to_owned(), packages: sys::target_dir().join("tools/judge") };
        if !judge.is_whole() {
            pip.install(&wheels("stock.py")?, &judge.packages)?;
            sys::output(&mut judge.script("stock.py"))?;
        }
        Ok(judge)
    }

    /// Whether all wheels are there: an earlier run may have known fewer.
    fn is_whole(&self) -> bool {
        let mut others = sys::command(&self.python, false);
        others.env("PYTHONPATH", &self.packages).args(["-c", "import jinja2, sentencepiece, tokenizers"]);
        sys::succeeds(&mut self.script("stock.py")) && sys::succeeds(&mut others)
    }

    fn answers(&self, model: &Path, data: &Path, template: &str, adapter: &str) -> Result<Evaluation> {
        let mut command = self.script("llama_answers.py");
        command.arg(model).arg(data).args(["--template", template, "--adapter", adapter]);
        serde_json::from_str(&sys::output(&mut command)?).context("what llama_answers.py printed")
    }

    fn script(&self, name: &str) -> Command {
        let mut command = sys::command(&self.python, false);
        command.env("PYTHONPATH", &self.packages).arg(compat(name));
        command
    }
}

/// The requirements that a script names.
pub(super) fn wheels(script: &str) -> Result<Vec<String>> {
    let text = fs::read_to_string(compat(script)).with_context(|| format!("cannot read {script}"))?;
    let line = text.lines().find_map(|line| line.trim().strip_prefix("pip install "));
    let line = line.with_context(|| format!("{script} names no wheels"))?;
    Ok(line.split_whitespace().map(str::to_owned).collect())
}

fn compat(name: &str) -> PathBuf {
    sys::workspace_root().join("tests/compat").join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluation(n: u64, accuracy: f64, answered: f64) -> Evaluation {
        Evaluation { n, loss: None, accuracy: Some(accuracy), interval: None, answered: Some(answered) }
    }

    #[test]
    fn a_few_answers_apart_are_let_pass_and_one_without_a_label_is_not() {
        let ours = evaluation(60, 0.9, 1.0);
        assert_eq!(agree(&ours, &evaluation(60, 52.0 / 60.0, 1.0)).unwrap(), "52 of 60 (sprig eval: 54)");
        for (theirs, words) in [
            (evaluation(60, 0.9, 59.0 / 60.0), "59 of 60 texts with a label"),
            (evaluation(60, 48.0 / 60.0, 1.0), "54 of 60 right here, 48 in llama.cpp"),
            (evaluation(59, 0.9, 1.0), "60 texts judged here, 59 there"),
        ] {
            let error = agree(&ours, &theirs).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn the_wheels_are_those_that_the_scripts_name() {
        for (script, count) in [("stock.py", 5), ("openai_client.py", 1), ("transformers_logits.py", 4)] {
            let wheels = wheels(script).unwrap();
            assert!(wheels.len() == count && wheels.iter().all(|wheel| wheel.contains("==")), "{wheels:?}");
        }
    }
}
