//! Keeps the numbers of a training run as it goes, and turns them into its record at the end.

use super::described::{data_set, evaluation, machine, name, prefix, settings};
use super::eval::Found;
use super::labelled::by_label;
use super::opening::held_out_name;
use super::steplog::{StepLog, quantile};
use crate::args::TrainArgs;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sprig_budget::process::{self, Status};
use sprig_budget::{Bytes, Kind, Plan, Timeline, alloc};
use sprig_engine::adapter::AdapterSpec;
use sprig_learn::confusion::Confusion;
use sprig_learn::evaluate::Evaluation;
use sprig_learn::guard::Guard;
use sprig_learn::objective::Reckoned;
use sprig_learn::optimiser::Schedule;
use sprig_learn::prefix::PrefixCache;
use sprig_learn::trainer::{StepReport, Trainer};
use sprig_learn::trend::Trend;
use sprig_report::record::{self, RunRecord};
use sprig_run::{Base, Data, Engine};
use std::borrow::Cow;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Memory samples kept over a run.
const SAMPLES: usize = 512;

/// Moves for memory pressure kept; a run on a machine that is always short of memory has no end of them.
const MOVES: usize = 64;

/// Judgements kept, as many as a chart shows; then every other one. 24 bytes each, and as text some 80.
const JUDGEMENTS: usize = 128;

/// Numbers of a run under way.
pub struct Recorder {
    budget: Bytes,
    baseline: Status,
    timeline: Timeline,
    started: u64,
    steps: StepLog,
    tokens: u64,
    passes: f64,
    forward_ms: Vec<f64>,
    /// Time of passes that were no part of a step.
    passes_ms: f64,
    mapped: Bytes,
    moves: Vec<record::Moved>,
    trend: Option<Trend>,
    judged: Vec<record::Judged>,
    /// Evaluation before the first step.
    pub eval_before: Option<Evaluation>,
    /// Evaluation after the last.
    pub eval_after: Option<Evaluation>,
    /// Which labels it gave.
    confusion: Option<Confusion>,
}

/// What was run: what a record says besides the numbers that were kept.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// The command line.
    pub args: &'a TrainArgs,
    /// The model's file.
    pub base: &'a Base<'a>,
    /// The model, ready to run.
    pub engine: &'a Engine<'a>,
    /// SHA-256 of the model's file, hexadecimal.
    pub digest: &'a str,
    /// The adapter.
    pub spec: &'a AdapterSpec,
    /// The examples.
    pub data: &'a Data,
    /// What was planned.
    pub plan: &'a Plan,
    /// Steps and learning rate.
    pub schedule: Schedule,
    /// Examples that were kept back.
    pub held_back: usize,
}

/// What was trained, for the record.
pub struct Trained<'a> {
    /// Trainable numbers.
    pub weights: usize,
    /// Judge of the scalars, where there were any.
    pub guard: Option<&'a Guard>,
    /// Activations that were kept, if any.
    pub prefix: Option<&'a PrefixCache>,
}

/// What of it a checkpoint carries.
#[derive(Serialize, Deserialize)]
struct Notes<'a> {
    started: u64,
    steps: StepLog,
    tokens: u64,
    #[serde(default)]
    passes: f64,
    eval_before: Option<Evaluation>,
    #[serde(default)]
    trend: Option<Trend>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    judged: Vec<record::Judged>,
    /// What the running epoch was reckoned to, of a training that does so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reckoned: Option<Cow<'a, Reckoned>>,
}

impl Run<'_> {
    fn model(&self) -> record::Model {
        let Base { map, gguf, geometry: g, .. } = self.base;
        record::Model {
            name: name(map.path()),
            sha256: self.digest.to_owned(),
            bytes: Bytes(map.bytes().len() as u64),
            architecture: g.architecture().to_owned(),
            quantisation: gguf.tensor("blk.0.attn_q.weight").map_or_else(String::new, |t| t.ty.to_string()),
            weights: gguf.tensors().map(|t| t.elements() as u64).sum(),
            layers: g.blocks as u32,
            width: g.width as u32,
            heads: g.heads as u32,
            kv_heads: g.kv_heads as u32,
            vocabulary: g.vocabulary as u32,
        }
    }

    fn adapter(&self, trainable: usize) -> record::Adapter {
        let spec = self.spec;
        record::Adapter {
            kind: spec.kind.name().to_owned(),
            rank: spec.rank as u32,
            alpha: f64::from(spec.alpha),
            targets: spec.targets.iter().map(|t| t.name().to_owned()).collect(),
            layers: (spec.layers.start as u32, spec.layers.end as u32),
            trainable: trainable as u64,
        }
    }
}

impl Recorder {
    /// Starts the clock. `baseline`: the process just before the weights were brought into memory.
    pub fn new(plan: &Plan, baseline: Status) -> Self {
        Self {
            budget: plan.budget,
            baseline,
            timeline: Timeline::new(SAMPLES),
            started: now(),
            steps: StepLog::new(),
            tokens: 0,
            passes: 0.0,
            forward_ms: Vec::new(),
            passes_ms: 0.0,
            mapped: Bytes::ZERO,
            moves: Vec::new(),
            trend: None,
            judged: Vec::new(),
            eval_before: None,
            eval_after: None,
            confusion: None,
        }
    }

    /// Notes for a checkpoint, with what the running epoch was `reckoned` to.
    pub fn notes(&self, trend: Option<Trend>, reckoned: Option<&Reckoned>) -> String {
        let Self { started, tokens, passes, eval_before, .. } = *self;
        let notes = Notes {
            started,
            steps: self.steps.clone(),
            tokens,
            passes,
            eval_before,
            trend,
            judged: self.judged.clone(),
            reckoned: reckoned.map(Cow::Borrowed),
        };
        serde_json::to_string(&notes).unwrap_or_default()
    }

    /// Takes up the notes of a checkpoint; unreadable ones only cost the report its past. What the running epoch was
    /// reckoned to, if anything, is the caller's.
    pub fn restore(&mut self, notes: &str) -> Option<Reckoned> {
        let notes = serde_json::from_str::<Notes<'_>>(notes).ok()?;
        (self.started, self.steps, self.tokens) = (notes.started, notes.steps.reserved(), notes.tokens);
        (self.passes, self.eval_before, self.trend) = (notes.passes, notes.eval_before, notes.trend);
        self.judged = notes.judged;
        notes.reckoned.map(Cow::into_owned)
    }

    /// Losses of the run that the notes were of.
    pub fn trend(&self) -> Option<Trend> {
        self.trend
    }

    /// A timed plain forward pass.
    pub fn forward(&mut self, took: Duration) {
        self.forward_ms.push(took.as_secs_f64() * 1e3);
    }

    /// Plain forward passes timed so far.
    pub fn forwards(&self) -> usize {
        self.forward_ms.len()
    }

    /// A step that was taken.
    pub fn step(&mut self, report: &StepReport, took: Duration) {
        let ms = took.as_secs_f64() * 1e3;
        self.steps.push(record::Step { step: report.step, loss: report.loss, lr: f64::from(report.lr), ms });
        self.tokens += report.tokens as u64;
        self.passes += report.passes;
        self.timeline.record(report.step);
        let file = process::status().file.unwrap_or_default();
        self.mapped = self.mapped.max(file);
    }

    /// A plain pass over `tokens` tokens that is no part of a step, after which `done` examples are.
    pub fn pass(&mut self, done: u64, tokens: usize, took: Duration) {
        self.passes_ms += took.as_secs_f64() * 1e3;
        self.tokens += tokens as u64;
        self.timeline.record(done);
        self.mapped = self.mapped.max(process::status().file.unwrap_or_default());
    }

    /// The evaluation after the last step.
    pub fn after(&mut self, found: Found) {
        self.eval_after = Some(found.evaluation);
        self.confusion = found.confusion;
    }

    /// A judgement after `step` steps.
    pub fn judged(&mut self, step: u64, found: &Evaluation) {
        if self.judged.len() == JUDGEMENTS {
            let mut place = 0;
            self.judged.retain(|_| {
                place += 1;
                place % 2 == 1
            });
        }
        self.judged.push(record::Judged { step, loss: found.loss, accuracy: found.accuracy });
    }

    /// A move up or down the ladder before the step after `step`.
    pub fn moved(&mut self, step: u64, plan: &Plan) {
        if self.moves.len() < MOVES {
            let rungs: Vec<_> = plan.ladder.iter().map(|r| r.why.as_str()).collect();
            let what = if rungs.is_empty() { "as planned".to_owned() } else { rungs.join("; ") };
            self.moves.push(record::Moved { step, plan: plan.total(), what });
        }
    }

    /// The event of the newest step.
    pub fn step_event(&self, report: &StepReport, steps: u64, cache: Option<&PrefixCache>) -> Value {
        let (status, prefix) = (process::status(), cache.map(PrefixCache::counts).unwrap_or_default());
        json!({
            "event": "step", "step": report.step, "steps": steps, "loss": report.loss, "lr": report.lr,
            "ms": self.steps.last().map(|s| s.ms), "tokens_per_s": self.tokens_per_s(),
            "rss_bytes": status.rss, "heap_bytes": alloc::current(), "budget_bytes": self.budget,
            "eta_s": self.median_ms() / 1e3 * (steps - report.step) as f64,
            "prefix_hits": prefix.hits, "prefix_misses": prefix.misses,
        })
    }

    /// The progress line's message.
    pub fn status_line(&self, loss: f64) -> String {
        let rss = process::status().rss.unwrap_or_default();
        format!("loss {loss:.4}  {:.0} tokens/s  {rss}", self.tokens_per_s())
    }

    /// The whole record of a training by steps.
    pub fn finish(&self, run: &Run<'_>, trainer: &Trainer<'_, '_>) -> RunRecord {
        let weights = trainer.adapter().values().len();
        self.record(run, &Trained { weights, guard: Some(&trainer.state().guard), prefix: trainer.prefix() })
    }

    /// The whole record.
    pub fn record(&self, run: &Run<'_>, trained: &Trained<'_>) -> RunRecord {
        let Run { args, engine, data, plan, .. } = *run;
        let status = process::status();
        let scalars = trained.guard.map_or(record::Scalars { total: 0, skipped: 0, clipped: 0 }, |guard| {
            record::Scalars { total: guard.seen, skipped: guard.skipped, clipped: guard.clipped }
        });
        RunRecord {
            version: record::VERSION,
            sprig_version: env!("CARGO_PKG_VERSION").to_owned(),
            command: super::command_line(),
            started: self.started,
            ended: now(),
            seed: args.seed,
            task: args.records.task.to_string(),
            model: run.model(),
            train_data: data_set(&args.data, &data.train),
            eval_data: data.held_out.as_ref().map(|set| match args.split {
                Some(_) => record::DataSet { name: held_out_name(args), ..data_set(&args.data, set) },
                None => data_set(&args.eval_data, set),
            }),
            adapter: run.adapter(trained.weights),
            settings: settings(args, run.schedule, run.held_back),
            plan: plan.clone(),
            measured: self.measured(plan, &status),
            timeline: self.timeline.iter().copied().collect(),
            steps: self.steps.steps(),
            moves: self.moves.clone(),
            judged: self.judged.clone(),
            eval_before: self.eval_before.map(evaluation),
            eval_after: self.eval_after.map(|found| record::Evaluation {
                by_label: self
                    .confusion
                    .as_ref()
                    .zip(data.held_out.as_ref())
                    .and_then(|(c, set)| by_label(c, set))
                    // Records of a drawn share have no numbers by which they are found in the file.
                    .map(|found| if args.split.is_some() { found.without_records() } else { found }),
                ..evaluation(found)
            }),
            speed: record::Speed {
                tokens_per_s: self.tokens_per_s(),
                step_ms_median: self.median_ms(),
                step_ms_p95: quantile(self.steps.times(), 0.95),
                forward_ms_median: (!self.forward_ms.is_empty())
                    .then(|| quantile(self.forward_ms.clone(), 0.5)),
            },
            scalars,
            prefix: trained.prefix.map(prefix),
            threads: engine.ctx.pool.threads() as u32,
            isa: engine.ctx.isa.to_string(),
            machine: machine(),
        }
    }

    /// The last event.
    pub fn done_event(&self, record: &RunRecord, args: &TrainArgs) -> Value {
        let accuracy = |e: Option<Evaluation>| e.map(|e| e.accuracy);
        let loss = |step: Option<&record::Step>| step.map(|s| s.loss);
        let prefix = record.prefix.clone().unwrap_or_default();
        json!({
            "event": "done", "estimator": args.shape.estimator.to_string(), "why": args.why,
            "train_seconds": self.steps.total_ms() / 1e3,
            "eval_accuracy_before": accuracy(self.eval_before), "eval_accuracy_after": accuracy(self.eval_after),
            "steps": self.steps.count(), "loss_first": loss(self.steps.first()), "loss_last": loss(self.steps.last()),
            "eval_before": self.eval_before, "eval_after": self.eval_after, "passes": self.passes,
            "plan_bytes": record.plan.total(), "budget_bytes": self.budget,
            "peak_rss_bytes": record.measured.peak_rss, "peak_heap_bytes": record.measured.peak_heap,
            "mapped_bytes": record.measured.mapped, "step_ms_median": record.speed.step_ms_median,
            "forward_ms_median": record.speed.forward_ms_median, "tokens_per_s": record.speed.tokens_per_s,
            "prefix_hits": prefix.hits, "prefix_misses": prefix.misses, "prefix_corrupt": prefix.corrupt,
            "prefix_failed": prefix.error.is_some(), "prefix_error": prefix.error,
        })
    }

    /// The last line for people.
    pub fn done_line(&self, record: &RunRecord, out: &Path) -> String {
        format!(
            "wrote {}: {} steps worth {:.0} plain passes of an example, {:.0} tokens/s, peak {} of {} (planned {})",
            out.display(),
            self.steps.count(),
            self.passes,
            record.speed.tokens_per_s,
            record.measured.peak_rss,
            self.budget,
            record.plan.total()
        )
    }

    fn measured(&self, plan: &Plan, status: &Status) -> record::Measured {
        let mapped = self.mapped.0.saturating_sub(self.baseline.file.unwrap_or_default().0);
        // Arena regions are what was cut from the arena, byte for byte; weights are resident file pages that came
        // after the program's own. Heap regions cannot be told apart.
        let mut regions: std::collections::BTreeMap<_, _> = plan
            .regions
            .iter()
            .filter(|r| r.kind == Kind::Arena)
            .map(|r| (r.name.clone(), r.bytes))
            .collect();
        regions.insert("weights".to_owned(), Bytes(mapped));
        record::Measured {
            peak_rss: status.peak_rss.unwrap_or_default(),
            peak_heap: alloc::peak(),
            mapped: Bytes(mapped),
            regions,
        }
    }

    fn tokens_per_s(&self) -> f64 {
        self.tokens as f64 / ((self.steps.total_ms() + self.passes_ms) / 1e3).max(1e-9)
    }

    fn median_ms(&self) -> f64 {
        quantile(self.steps.times(), 0.5)
    }
}

pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}
