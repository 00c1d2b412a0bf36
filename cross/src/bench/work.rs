//! The training work that the figures are about, and runs of the built binary on it, each a process of its own so
//! that peaks do not mix.

use crate::sprig::{Done, Sprig, flags};
use crate::{data, sys};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// More than any planned work needs.
const ROOM: &str = "8GiB";

/// Shape of a training run. LoRA on q and v, language-model loss, one direction a tangent over one shared primal.
#[derive(Clone, Debug)]
pub struct Work {
    pub batch: u32,
    pub len: u32,
    pub tangents: u32,
    pub rank: u32,
    /// Only this many top blocks of how many; the activations below them are cached. All when absent.
    pub layers: Option<(u32, u32)>,
    pub threads: usize,
    /// What `sprig plan` lays out where there is room, when absent: the peak must keep to the plan.
    pub budget: Option<String>,
    pub steps: u32,
}

/// Tokens a second.
#[derive(Clone, Copy, Debug)]
pub struct Speed {
    /// Of a prompt.
    pub prefill: f64,
    /// Of writing.
    pub decode: f64,
}

/// What all runs share.
pub struct Bench<'a> {
    sprig: &'a Sprig,
    out: &'a Path,
    /// The real model.
    pub model: PathBuf,
    /// The work that is varied.
    pub work: Work,
    text: PathBuf,
    one_batch: PathBuf,
    prompt: String,
}

impl Work {
    /// 8 × 64, K = 1, rank 8, within what its plan lays out.
    pub fn usual(threads: usize, steps: u32) -> Self {
        Self { batch: 8, len: 64, tangents: 1, rank: 8, layers: None, threads, budget: None, steps }
    }

    fn flags(&self) -> Vec<String> {
        let rank = self.rank.to_string();
        let mut words = flags(&[
            ("task", "lm"),
            ("estimator", "forward"),
            ("batch", &self.batch.to_string()),
            ("len", &self.len.to_string()),
            ("tangents", &self.tangents.to_string()),
            ("adapter-kind", "lora"),
            ("rank", &rank),
            ("alpha", &(2 * self.rank).to_string()),
            ("targets", "q,v"),
            ("threads", &self.threads.to_string()),
        ]);
        if let Some((trained, of)) = self.layers {
            words.extend(flags(&[("layers", &format!("{}..{of}", of - trained))]));
        }
        words
    }
}

impl<'a> Bench<'a> {
    /// Writes the text to train on into `out`.
    pub fn new(sprig: &'a Sprig, model: PathBuf, out: &'a Path, work: Work) -> Result<Self> {
        let lines = text(out)?;
        let (text, one_batch) = (out.join("text.jsonl"), out.join("one_batch.jsonl"));
        let write = |path: &Path, lines: &[String]| {
            fs::write(path, lines.join("\n")).with_context(|| format!("cannot write {}", path.display()))
        };
        write(&text, &lines)?;
        write(&one_batch, lines.get(..work.batch as usize).context("too little text for a batch")?)?;
        // 508 tokens of SmolLM2, as the peer reads 512: attention grows with the square of the length.
        let prompt = lines.concat().chars().take(2115).collect();
        Ok(Self { sprig, out, model, work, text, one_batch, prompt })
    }

    /// A training run.
    pub fn train(&self, model: &Path, work: &Work) -> Result<Done> {
        let budget = match &work.budget {
            Some(budget) => budget.clone(),
            None => self.planned(model, work, "total_bytes")?.to_string(),
        };
        eprintln!(
            "training {}: {} x {}, K = {}, rank {}, {}, {} threads, budget {}",
            model.file_name().unwrap_or_default().to_string_lossy(),
            work.batch,
            work.len,
            work.tangents,
            work.rank,
            work.layers.map_or("all blocks".to_owned(), |(trained, of)| format!("{trained} of {of} blocks")),
            work.threads,
            budget
        );
        let mut arguments = work.flags();
        // With the lower blocks' output kept, every batch after the first finds it: one batch is enough.
        let data = if work.layers.is_some() { &self.one_batch } else { &self.text };
        arguments.extend(flags(&[
            ("model", utf8(model)?),
            ("data", utf8(data)?),
            ("directions", "shared"),
            ("lr", "0.0001"),
            ("seed", "1"),
            ("checkpoint-every", "0"),
            ("budget", &budget),
            ("steps", &work.steps.to_string()),
            ("out", utf8(&self.out.join("adapter.gguf"))?),
        ]));
        self.sprig.train(&arguments, |_| ())
    }

    /// A figure of the plan for `work` where there is room: `total_bytes` or `smallest_budget_bytes`.
    pub fn planned(&self, model: &Path, work: &Work, figure: &str) -> Result<u64> {
        let mut arguments = vec!["plan".to_owned()];
        arguments.extend(work.flags());
        arguments.extend(flags(&[("model", utf8(model)?), ("budget", ROOM)]));
        let plan = self.sprig.json(&arguments)?;
        plan[figure].as_u64().with_context(|| format!("sprig plan gave no {figure}"))
    }

    /// Prefill of about 512 tokens, and the writing of `tokens` after a short prompt: the work llama_bench.py times.
    pub fn inference(&self, tokens: u32) -> Result<Speed> {
        eprintln!("inference");
        let infer = |prompt: &str, tokens: u32| {
            let mut arguments = vec!["infer".to_owned(), "--raw".to_owned()];
            arguments.extend(flags(&[
                ("model", utf8(&self.model)?),
                ("prompt", prompt),
                ("max-tokens", &tokens.to_string()),
                ("threads", &self.work.threads.to_string()),
            ]));
            self.sprig.json(&arguments)
        };
        let (prefill, decode) = (infer(&self.prompt, 1)?, infer("Once upon a time", tokens)?);
        let written = decode["tokens"].as_u64().unwrap_or(0);
        ensure!(written * 2 >= u64::from(tokens), "the model ended its text after {written} tokens");
        Ok(Speed {
            prefill: figure(&prefill, "prefill_tokens_per_s")?,
            decode: figure(&decode, "decode_tokens_per_s")?,
        })
    }

    /// The same by llama.cpp.
    pub fn llama_cpp(&self, python: &Path, repeats: u32) -> Result<Speed> {
        eprintln!("llama.cpp");
        let script = sys::workspace_root().join("tests/compat/llama_bench.py");
        let mut command = Command::new(python);
        command.arg(script).arg(&self.model).arg(self.work.threads.to_string()).arg(repeats.to_string());
        let printed: Value =
            serde_json::from_str(&sys::output(&mut command)?).context("llama_bench.py printed no JSON")?;
        Ok(Speed {
            prefill: figure(&printed, "prefill_tokens_per_s")?,
            decode: figure(&printed, "decode_tokens_per_s")?,
        })
    }
}

/// A number in JSON.
pub fn figure(printed: &Value, key: &str) -> Result<f64> {
    printed[key].as_f64().with_context(|| format!("no {key} in {printed}"))
}

/// JSONL records of `{"text"}`, each longer than 256 tokens: generated reports, strung together.
fn text(out: &Path) -> Result<Vec<String>> {
    let files = data::write(data::Name::Desks, Some(&out.join("data")), 1)?;
    let reports = fs::read_to_string(&files.train)?;
    let mut lines = Vec::new();
    for group in reports.lines().collect::<Vec<_>>().chunks(24) {
        let mut text = String::new();
        for line in group {
            let record: Value = serde_json::from_str(line)?;
            text.push_str(record["text"].as_str().unwrap_or_default());
            text.push('\n');
        }
        lines.push(serde_json::json!({ "text": text }).to_string());
    }
    Ok(lines)
}

fn utf8(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}
