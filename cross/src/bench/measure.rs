//! Runs of the built binary, each a process of its own so that peaks do not mix.

use super::Args;
use crate::sprig::{Done, Sprig, flags};
use crate::{data, model, sys};
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The training work all figures are about: batch 8 of 64 tokens, LoRA of rank 8 on q and v, language-model
/// loss, one direction a tangent over one shared primal.
const WORK: &[(&str, &str)] = &[
    ("task", "lm"),
    ("batch", "8"),
    ("len", "64"),
    ("adapter-kind", "lora"),
    ("rank", "8"),
    ("alpha", "16"),
    ("targets", "q,v"),
];

/// What only training takes.
const TRAINING: &[(&str, &str)] =
    &[("directions", "shared"), ("lr", "0.0001"), ("seed", "1"), ("checkpoint-every", "0")];

/// Tangents a pass.
const TANGENTS: &[u32] = &[1, 2, 4, 8];

/// What a budget for `WORK` at the widest must hold; the narrow runs are expected well below it.
const BUDGET: &str = "600MiB";

/// Everything that was measured.
pub struct Measured {
    /// Training by the number of tangents.
    pub training: BTreeMap<u32, Done>,
    /// The work of one tangent within the budget that the plan calls the smallest.
    pub tight: Done,
    /// `sprig infer` on a prompt of about 512 tokens.
    pub inference: Speed,
    /// The same work by llama.cpp.
    pub llama_cpp: Option<Speed>,
    /// One step on the geometry of Llama-2-7B.
    pub scale: Option<Done>,
}

/// Tokens a second.
pub struct Speed {
    pub prefill: f64,
    pub decode: f64,
}

impl Measured {
    /// Runs everything `args` asks for.
    pub fn take(sprig: &Sprig, model: &Path, out: &Path, args: &Args) -> Result<Self> {
        let steps = if args.quick { 2 } else { 12 };
        let text = text(out)?;
        let bench = Bench { sprig, out, text: &text, threads: args.threads.to_string() };
        let mut training = BTreeMap::new();
        for &tangents in TANGENTS {
            training.insert(tangents, bench.train(model, tangents, BUDGET, steps)?);
        }
        let smallest = bench.smallest_budget(model)?;
        let tight = bench.train(model, 1, &smallest.to_string(), 2)?;
        let inference = bench.inference(model, if args.quick { 8 } else { 64 })?;
        let llama_cpp =
            args.llama_bench.as_deref().map(|python| bench.llama_cpp(python, model)).transpose()?;
        let scale = args.scale.then(|| bench.scale()).transpose()?;
        Ok(Self { training, tight, inference, llama_cpp, scale })
    }
}

struct Bench<'a> {
    sprig: &'a Sprig,
    out: &'a Path,
    text: &'a str,
    threads: String,
}

impl Bench<'_> {
    fn train(&self, model: &Path, tangents: u32, budget: &str, steps: u32) -> Result<Done> {
        eprintln!("training, {tangents} tangents, budget {budget}");
        let mut arguments = flags(WORK);
        arguments.extend(flags(TRAINING));
        arguments.extend(flags(&[
            ("model", utf8(model)?),
            ("data", self.text),
            ("tangents", &tangents.to_string()),
            ("steps", &steps.to_string()),
            ("budget", budget),
            ("threads", &self.threads),
            ("out", utf8(&self.out.join("adapter.gguf"))?),
            ("run", utf8(&self.out.join("run.json"))?),
        ]));
        self.sprig.train(&arguments, |_| ())
    }

    /// What `sprig plan` calls the smallest budget for one tangent.
    fn smallest_budget(&self, model: &Path) -> Result<u64> {
        let mut arguments = vec!["plan".to_owned()];
        arguments.extend(flags(WORK));
        arguments.extend(flags(&[
            ("model", utf8(model)?),
            ("tangents", "1"),
            ("budget", BUDGET),
            ("threads", &self.threads),
        ]));
        let plan = self.sprig.json(&arguments)?;
        plan["smallest_budget_bytes"].as_u64().context("sprig plan gave no smallest_budget_bytes")
    }

    fn inference(&self, model: &Path, tokens: u32) -> Result<Speed> {
        eprintln!("inference");
        // About 512 tokens of SmolLM2, five characters a token on this text.
        let prompt: String = fs::read_to_string(self.text)?.chars().take(2400).collect();
        let printed = self.sprig.json(&[
            "infer",
            "--model",
            utf8(model)?,
            "--prompt",
            &prompt,
            "--max-tokens",
            &tokens.to_string(),
            "--raw",
            "--threads",
            &self.threads,
        ])?;
        Speed::read(&printed)
    }

    fn llama_cpp(&self, python: &Path, model: &Path) -> Result<Speed> {
        eprintln!("llama.cpp");
        let script = sys::workspace_root().join("tests/compat/llama_bench.py");
        let printed = sys::output(Command::new(python).arg(script).arg(model).arg(&self.threads))?;
        Speed::read(&serde_json::from_str(&printed).context("llama_bench.py printed no JSON")?)
    }

    /// Two steps of the same work on a model of random weights, within 1 GiB.
    fn scale(&self) -> Result<Done> {
        let file = sys::target_dir().join("models/llama-2-7b.synthetic.gguf");
        if !file.is_file() {
            eprintln!("writing {}", file.display());
            fs::create_dir_all(file.parent().context("a file needs a folder")?)?;
            model::synthesise(model::Geometry::Llama2x7b, &file)?;
        }
        self.train(&file, 1, "1GiB", 2)
    }
}

impl Speed {
    fn read(printed: &Value) -> Result<Self> {
        let read = |key: &str| printed[key].as_f64().with_context(|| format!("no {key}"));
        Ok(Self { prefill: read("prefill_tokens_per_s")?, decode: read("decode_tokens_per_s")? })
    }
}

/// A JSONL file of `{"text"}` long enough for 64 tokens each: generated reports, strung together.
fn text(out: &Path) -> Result<String> {
    let files = data::write(data::Name::Desks, Some(&out.join("data")), 1)?;
    let reports = fs::read_to_string(&files.train)?;
    let mut lines = String::new();
    for group in reports.lines().collect::<Vec<_>>().chunks(6) {
        let mut text = String::new();
        for line in group {
            let record: Value = serde_json::from_str(line)?;
            text.push_str(record["text"].as_str().unwrap_or_default());
            text.push('\n');
        }
        lines.push_str(&serde_json::json!({ "text": text }).to_string());
        lines.push('\n');
    }
    let path = out.join("text.jsonl");
    fs::write(&path, lines).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(utf8(&path)?.to_owned())
}

fn utf8(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}
