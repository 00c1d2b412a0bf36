//! The training work that the figures are about, and runs of the built binary on it, each a process of its own so
//! that peaks do not mix.

use crate::sprig::{Done, Sprig, flags};
use crate::{data, sys};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sprig_testkit::group::Group;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// More than any planned work needs.
const ROOM: &str = "8GiB";
/// Limit of the group that a plan is made in, bytes: more than that.
const ROOMY: u64 = 16 << 30;

/// Where gradients come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Forward gradients, so many tangents over one shared primal.
    Forward,
    /// Exact gradients.
    Exact,
}

/// Shape of a training run. LoRA, language-model loss, one direction a tangent.
#[derive(Clone, Debug)]
pub struct Work {
    pub way: Way,
    pub targets: &'static str,
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

/// A training run in a memory control group.
#[derive(Clone, Debug)]
pub struct Held {
    /// The run.
    pub run: Done,
    /// Most bytes the kernel charged to the group, pages of files among them; none where there is no group.
    pub charged: Option<u64>,
    /// What the plan lays out where there is room, bytes.
    pub planned: u64,
    /// The smallest budget it names, bytes.
    pub smallest: u64,
}

/// Tokens a second.
#[derive(Clone, Copy, Debug)]
pub struct Speed {
    /// Of a prompt.
    pub prefill: f64,
    /// Of writing.
    pub decode: f64,
    /// Most bytes that the process held while it wrote.
    pub peak: f64,
}

/// Inference with an adapter, and with a device's own beside it.
#[derive(Clone, Copy, Debug)]
pub struct Personal {
    /// The adapter alone.
    pub adapter: Speed,
    /// Both, with shares.
    pub soft: Speed,
    /// In each block one of them.
    pub hard: Speed,
    /// Bytes of the adapter's file.
    pub bytes: f64,
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
        let (way, targets) = (Way::Forward, "q,v");
        Self {
            way,
            targets,
            batch: 8,
            len: 64,
            tangents: 1,
            rank: 8,
            layers: None,
            threads,
            budget: None,
            steps,
        }
    }

    /// The same with exact gradients in all `blocks` of a model, which has so many.
    pub fn exact(self, blocks: u32) -> Self {
        Self { way: Way::Exact, layers: Some((blocks, blocks)), ..self }
    }

    /// How its gradients come about, for tables.
    pub fn way(&self) -> String {
        match self.way {
            Way::Forward => format!("forward, K = {}", self.tangents),
            Way::Exact => "exact gradients".to_owned(),
        }
    }

    fn flags(&self) -> Vec<String> {
        let rank = self.rank.to_string();
        let mut words = flags(&[
            ("task", "lm"),
            ("batch", &self.batch.to_string()),
            ("len", &self.len.to_string()),
            ("adapter-kind", "lora"),
            ("rank", &rank),
            ("alpha", &(2 * self.rank).to_string()),
            ("targets", self.targets),
            ("threads", &self.threads.to_string()),
        ]);
        words.extend(match self.way {
            Way::Forward => flags(&[("estimator", "forward"), ("tangents", &self.tangents.to_string())]),
            Way::Exact => flags(&[("estimator", "reverse")]),
        });
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
        self.run(model, work, None)
    }

    fn run(&self, model: &Path, work: &Work, group: Option<&Group>) -> Result<Done> {
        let budget = match &work.budget {
            Some(budget) => budget.clone(),
            None => self.planned(model, work, "total_bytes")?.to_string(),
        };
        eprintln!(
            "training {}: {} x {}, {}, rank {}, {}, {} threads, budget {}",
            model.file_name().unwrap_or_default().to_string_lossy(),
            work.batch,
            work.len,
            work.way(),
            work.rank,
            work.layers.map_or("all blocks".to_owned(), |(trained, of)| format!("{trained} of {of} blocks")),
            work.threads,
            budget
        );
        self.sprig.finish(member(self.training(model, work, &budget)?, group), |_| ())
    }

    fn training(&self, model: &Path, work: &Work, budget: &str) -> Result<Command> {
        let mut arguments = vec!["train".to_owned()];
        arguments.extend(work.flags());
        // With the lower blocks' output kept, every batch after the first finds it: one batch is enough.
        let is_cached = work.layers.is_some_and(|(trained, of)| trained < of);
        let data = if is_cached { &self.one_batch } else { &self.text };
        arguments.extend(flags(&[
            ("model", utf8(model)?),
            ("data", utf8(data)?),
            ("lr", "0.0001"),
            ("seed", "1"),
            ("checkpoint-every", "0"),
            ("budget", budget),
            ("steps", &work.steps.to_string()),
            ("out", utf8(&self.out.join("adapter.gguf"))?),
        ]));
        if work.way == Way::Forward {
            arguments.extend(flags(&[("directions", "shared")]));
        }
        Ok(self.sprig.command(&arguments))
    }

    /// A training run as a member of a memory control group that may hold `limit` bytes, what the plan lays out when absent,
    /// and swap nothing. Where no group can be made the process alone is counted.
    pub fn train_within(&self, model: &Path, work: &Work, limit: Option<u64>) -> Result<Held> {
        forget_pages(model);
        // A group counts more than the process, and the plan knows.
        let plan = self.plan(model, work, Group::new("bench-plan", ROOMY).ok().as_ref())?;
        let (planned, smallest) = (bytes(&plan, "total_bytes")?, bytes(&plan, "smallest_budget_bytes")?);
        let limit = limit.unwrap_or(planned);
        let work = Work { budget: Some(limit.to_string()), ..work.clone() };
        match Group::new("bench", limit) {
            Ok(group) => {
                let run = self.run(model, &work, Some(&group))?;
                let (charged, killed) = group.usage();
                ensure!(killed == 0, "the kernel killed a process of a group of {limit} bytes");
                Ok(Held { run, charged: Some(charged), planned, smallest })
            }
            Err(why) => {
                eprintln!("no memory control group can be made here: {why}");
                Ok(Held { run: self.run(model, &work, None)?, charged: None, planned, smallest })
            }
        }
    }

    /// A figure of the plan for `work` where there is room: `total_bytes` or `smallest_budget_bytes`.
    pub fn planned(&self, model: &Path, work: &Work, figure: &str) -> Result<u64> {
        bytes(&self.plan(model, work, None)?, figure)
    }

    /// The plan for `work` where there is room.
    fn plan(&self, model: &Path, work: &Work, group: Option<&Group>) -> Result<Value> {
        let mut arguments = vec!["plan".to_owned()];
        arguments.extend(work.flags());
        arguments.extend(flags(&[
            ("model", utf8(model)?),
            ("budget", ROOM),
            ("steps", &work.steps.to_string()),
        ]));
        let printed = sys::output(member(self.sprig.command(&arguments), group).arg("--json"))?;
        serde_json::from_str(&printed).context("what sprig plan printed")
    }

    /// Prefill of about 512 tokens, and the writing of `tokens` after a short prompt: the work llama_bench.py times.
    pub fn inference(&self, tokens: u32) -> Result<Speed> {
        self.inference_with(tokens, &[])
    }

    /// The same with what `worn` names.
    fn inference_with(&self, tokens: u32, worn: &[String]) -> Result<Speed> {
        eprintln!("inference {}", worn.join(" "));
        let infer = |prompt: &str, tokens: u32| {
            let mut arguments = vec!["infer".to_owned(), "--raw".to_owned()];
            arguments.extend(flags(&[
                ("model", utf8(&self.model)?),
                ("prompt", prompt),
                ("max-tokens", &tokens.to_string()),
                ("threads", &self.work.threads.to_string()),
            ]));
            arguments.extend_from_slice(worn);
            self.sprig.json(&arguments)
        };
        let (prefill, decode) = (infer(&self.prompt, 1)?, infer("Once upon a time", tokens)?);
        let written = decode["tokens"].as_u64().unwrap_or(0);
        ensure!(written * 2 >= u64::from(tokens), "the model ended its text after {written} tokens");
        Ok(Speed {
            prefill: figure(&prefill, "prefill_tokens_per_s")?,
            decode: figure(&decode, "decode_tokens_per_s")?,
            peak: figure(&decode, "peak_rss_bytes")?,
        })
    }

    /// The same with an adapter of rank 8 on q and v of all blocks, and with a device's own beside it; both are made here.
    pub fn personal(&self, tokens: u32) -> Result<Personal> {
        let (adapter, state) = (self.out.join("adapter.gguf"), self.out.join("personal.sprig"));
        self.train(
            &self.model,
            &Work { steps: 1, layers: Some((30, 30)), way: Way::Exact, ..self.work.clone() },
        )?;
        let mut derive = vec!["personalise".to_owned(), "--raw".to_owned()];
        derive.extend(flags(&[
            ("task", "lm"),
            ("model", utf8(&self.model)?),
            ("adapter", utf8(&adapter)?),
            ("data", utf8(&self.one_batch)?),
            ("len", "64"),
            ("local-epochs", "1"),
            ("shared-epochs", "1"),
            ("budget", ROOM),
            ("out", utf8(&state)?),
        ]));
        self.sprig.json(&derive)?;
        let worn = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let personal = worn(&["--personal", utf8(&state)?]);
        Ok(Personal {
            adapter: self.inference_with(tokens, &worn(&["--adapter", utf8(&adapter)?]))?,
            soft: self.inference_with(tokens, &personal)?,
            hard: self.inference_with(tokens, &[personal, worn(&["--hard"])].concat())?,
            bytes: fs::metadata(&adapter)?.len() as f64,
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
            peak: 0.0,
        })
    }
}

/// Writes a file's pages back and lets go of those in the page cache, so that the next reader is charged for them.
fn forget_pages(path: &Path) {
    let (mut sync, mut dd) = (Command::new("sync"), Command::new("dd"));
    let input = format!("if={}", path.display());
    // Without these tools some pages are charged to whoever read them first: the figure is then smaller, not wrong.
    if !sys::succeeds(sync.arg(path)) || !sys::succeeds(dd.args([&input, "iflag=nocache", "count=0"])) {
        eprintln!("the pages of {} could not be let go of", path.display());
    }
}

/// The same command as a member of `group`, if there is one, from its start.
fn member(command: Command, group: Option<&Group>) -> Command {
    match group {
        Some(group) => Group::member(&group.members(), &command),
        None => command,
    }
}

fn bytes(plan: &Value, figure: &str) -> Result<u64> {
    plan[figure].as_u64().with_context(|| format!("sprig plan gave no {figure}"))
}

/// A number in JSON.
pub fn figure(printed: &Value, key: &str) -> Result<f64> {
    printed[key].as_f64().with_context(|| format!("no {key} in {printed}"))
}

/// JSONL records of `{"text"}`, each longer than 512 tokens: generated reports, strung together.
fn text(out: &Path) -> Result<Vec<String>> {
    let files = data::write(data::Name::Desks, Some(&out.join("data")), 1)?;
    let reports = fs::read_to_string(&files.train)?;
    let mut lines = Vec::new();
    for group in reports.lines().collect::<Vec<_>>().chunks(48) {
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
