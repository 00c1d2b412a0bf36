//! `sprig train`: data in, adapter out, inside the budget.

use super::eval::{candidates, describe, judge, load_options};
use super::hex;
use super::plan::workload;
use super::watch::{Watch, set_guards};
use crate::args::{DecayArg, DirectionsArg, FamilyArg, OptimizerArg, TrainArgs};
use crate::commands::record::Recorder;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::open;
use crate::output::Output;
use clap::ValueEnum;
use sprig_budget::{Bytes, Plan, alloc, process};
use sprig_engine::adapter::{Adapter, AdapterSpec};
use sprig_engine::gguf::{Gguf, Mapped};
use sprig_engine::kernels::Ctx;
use sprig_engine::model::{Geometry, PassLayout};
use sprig_engine::tokenizer::Tokenizer;
use sprig_learn::checkpoint::{self, Fingerprint};
use sprig_learn::data::DataSet;
use sprig_learn::directions::{Family, Sharing, initial_normals, run_key};
use sprig_learn::estimator::Forward;
use sprig_learn::optimiser::{Decay, Rule, Schedule};
use sprig_learn::planner::{Tuning, Workload, plan};
use sprig_learn::prefix::{Origin, PrefixCache};
use sprig_learn::session::Session;
use sprig_learn::trainer::{Settings, Trainer};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Plain forward passes timed in turn with the first steps, so that a ratio of the two sees the same machine.
const FORWARD_SAMPLES: usize = 3;

pub fn run(args: &TrainArgs) -> Result<Exit, Failure> {
    let interrupt = Interrupt::listen();
    let mut output = Output::new(args.model.json);
    let map = args.model.open()?;
    let (gguf, geometry) = open::header(&map)?;
    let spec = args.shape.adapter(&geometry)?;
    check_writable(&args.out, result_bytes(&args.out, &spec, &geometry))?;
    args.run.as_ref().map_or(Ok(()), |path| check_writable(path, 0))?;
    let (data, held_out) = load_data(args, &gguf, &map)?;
    alloc::release_free_memory();

    let (work, tuning, plan) =
        make_plan(args, &map, &gguf, &geometry, spec.clone(), &data, held_out.as_ref())?;
    output.event(serde_json::json!({ "event": "plan", "plan": plan }), || Some(format!("{plan}")));
    let digest = map.digest_hex()?;
    let before_weights = process::status();
    let model = open::model(&map, &gguf, tuning.streamed)?;
    let ctx =
        Ctx::new(work.threads).with_panel_rows(tuning.panel_rows).map_err(|e| Failure::new(Exit::Bug, e))?;
    let settings = settings(args);
    let key = settings.forward.run_key;
    let adapter = Adapter::new(&spec, &model, &ctx, |id, out| initial_normals(key, id, out))
        .map_err(|e| Failure::new(Exit::Usage, e))?;
    set_guards(&plan, args.heap_limit.map(|limit| limit.resolve(plan.budget)))?;
    let prefix = prefix_cache(args, &spec, &work, &geometry, &digest, &data, &ctx);
    let layout = PassLayout::new(&geometry, tuning.pass(&geometry, &work));
    let session = Session::new(&model, &ctx, layout, work.length, work.batch, prefix)?;
    let mut trainer = Trainer::new(session, adapter, &data, settings, tuning.cut)?;
    let (weights, header) = (open::weights(&map, &gguf, &geometry)?, open::header_bytes(&gguf));
    let mut watch = Watch::new(&geometry, weights, header, &work, tuning, &plan, !args.ignore_pressure);

    let fingerprint = fingerprint(args, &settings, &spec, &digest, &data, work.length);
    let checkpoint_path = beside(&args.out, "ckpt");
    let mut recorder = Recorder::new(&plan, before_weights);
    if args.resume
        && let Some(found) = checkpoint::load(&checkpoint_path, &fingerprint)?
    {
        recorder.restore(&found.notes);
        trainer.restore(&found.values, found.state)?;
        let step = trainer.state().step;
        output.event(serde_json::json!({ "event": "resumed", "step": step }), || {
            Some(format!("resumed at step {step}"))
        });
    }
    let save = |trainer: &mut Trainer<'_, '_>, recorder: &Recorder| {
        let write = |trainer: &Trainer<'_, '_>| {
            let values = trainer.adapter().values();
            checkpoint::save(&checkpoint_path, &fingerprint, values, trainer.state(), &recorder.notes())
        };
        // The prefix cache may have taken the disk's last room just before; it only saves time.
        write(trainer).or_else(|problem| {
            let room = trainer.session().0.prefix_mut().is_some_and(PrefixCache::give_up);
            if room { write(trainer) } else { Err(problem) }
        })
    };

    if let (Some(held_out), None) = (&held_out, recorder.eval_before) {
        let (session, adapter) = trainer.session();
        // An adapter that was just made changes nothing, so this is the untouched model.
        let Some(found) =
            judge(session, Some(adapter), held_out, tuning.cut, "before", &mut output, &interrupt)?
        else {
            return stopped(&output, 0);
        };
        output.event(serde_json::json!({ "event": "eval", "when": "before", "result": found }), || {
            Some(format!("before: {}", describe(&found)))
        });
        recorder.eval_before = Some(found);
    }
    output.begin("training", args.steps, trainer.state().step);
    while trainer.state().step < args.steps {
        let moved = match alloc::check().map_err(Failure::from).and_then(|()| watch.look(&mut trainer)) {
            Ok(moved) => moved,
            Err(failure) => {
                save(&mut trainer, &recorder)?;
                return Err(failure);
            }
        };
        if let Some(moved) = moved {
            let step = trainer.state().step;
            output.event(moved.event(step), || Some(moved.line()));
            recorder.moved(step, &moved.plan);
        }
        let start = Instant::now();
        let report = trainer.step()?;
        recorder.step(&report, start.elapsed());
        if recorder.forwards() < FORWARD_SAMPLES {
            let start = Instant::now();
            trainer.plain_forward()?;
            recorder.forward(start.elapsed());
        }
        if !report.loss.is_finite() {
            let message = format!(
                "training diverged: the loss of step {} is not a number; lower --lr (a checkpoint, if any, is kept)",
                report.step
            );
            return Err(Failure::new(Exit::Usage, message));
        }
        let message = || recorder.status_line(report.loss, args.steps);
        output.at(report.step, message);
        output.event(recorder.step_event(&report, args.steps, trainer.prefix()), || None);
        let stop = interrupt.raised();
        if stop || (args.checkpoint_every > 0 && report.step % args.checkpoint_every == 0) {
            save(&mut trainer, &recorder)?;
        }
        if stop {
            output.end();
            return stopped(&output, report.step);
        }
    }
    output.end();

    if let Some(held_out) = &held_out {
        let (session, adapter) = trainer.session();
        let Some(found) =
            judge(session, Some(adapter), held_out, watch.tuning().cut, "after", &mut output, &interrupt)?
        else {
            save(&mut trainer, &recorder)?;
            return stopped(&output, args.steps);
        };
        output.event(serde_json::json!({ "event": "eval", "when": "after", "result": found }), || {
            Some(format!("after:  {}", describe(&found)))
        });
        recorder.eval_after = Some(found);
    }
    match trainer.session().0.prefix_mut() {
        Some(cache) => cache.remove(),
        None => drop(std::fs::remove_file(beside(&args.out, "prefix"))), // of a run that was given up
    }
    if let Err(failure) = trainer.adapter().write(&args.out, "llama", &digest) {
        let _ = save(&mut trainer, &recorder); // the steps since the last checkpoint need not be lost with it
        return Err(failure.into());
    }
    let record = recorder.finish(
        args,
        &map,
        &gguf,
        &geometry,
        &digest,
        &spec,
        &data,
        held_out.as_ref(),
        &trainer,
        &plan,
        &ctx,
    );
    if let Some(path) = &args.run {
        record.write(path)?;
    }
    let _ = std::fs::remove_file(&checkpoint_path);
    output.event(recorder.done_event(&record), || Some(recorder.done_line(&record, &args.out)));
    Ok(Exit::Done)
}

fn stopped(output: &Output, step: u64) -> Result<Exit, Failure> {
    output.event(serde_json::json!({ "event": "interrupted", "step": step }), || {
        Some(format!("interrupted at step {step}; go on with the same command and --resume"))
    });
    Ok(Exit::Interrupted)
}

fn load_data(args: &TrainArgs, gguf: &Gguf<'_>, map: &Mapped) -> Result<(DataSet, Option<DataSet>), Failure> {
    // The tokenizer (some tens of MiB) lives only here: it is gone before the arena is made.
    let tokenizer = Tokenizer::from_gguf(gguf).map_err(|e| Failure::from(e).about(map.path()))?;
    let len = args.shape.len as usize;
    let data = DataSet::load(&args.data, &load_options(&args.records, len, None), &tokenizer)?;
    let held_out = match &args.eval_data {
        None => None,
        Some(path) => {
            Some(DataSet::load(path, &load_options(&args.records, len, data.labels().cloned()), &tokenizer)?)
        }
    };
    Ok((data, held_out))
}

fn make_plan(
    args: &TrainArgs,
    map: &Mapped,
    gguf: &Gguf<'_>,
    geometry: &Geometry,
    spec: AdapterSpec,
    data: &DataSet,
    held_out: Option<&DataSet>,
) -> Result<(Workload, Tuning, Plan), Failure> {
    let longest = data.longest().max(held_out.map_or(0, DataSet::longest));
    let cached = spec.layers.start > 0;
    let work = Workload {
        length: longest,
        candidates: candidates(data).max(held_out.and_then(candidates)),
        data: Bytes((data.bytes() + held_out.map_or(0, DataSet::bytes)) as u64),
        prefix: cached,
        ..workload(&args.model, gguf, &args.shape, spec, args.records.task.into())
    };
    let weights = open::weights(map, gguf, geometry)?;
    let (tuning, plan) = plan(geometry, &weights, open::header_bytes(gguf), &work, args.model.budget()?)?;
    Ok((work, tuning, plan))
}

fn settings(args: &TrainArgs) -> Settings {
    let family = match args.family {
        Some(FamilyArg::Rademacher) => Family::Rademacher,
        Some(FamilyArg::Walsh) => Family::Walsh,
        Some(FamilyArg::Gaussian) => Family::Gaussian,
        None if args.shape.tangents > 1 => Family::Walsh,
        None => Family::Rademacher,
    };
    Settings {
        forward: Forward {
            family,
            sharing: match args.directions {
                DirectionsArg::Shared => Sharing::Shared,
                DirectionsArg::PerExample => Sharing::PerExample,
            },
            tangents: args.shape.tangents as usize,
            run_key: run_key(args.seed),
        },
        rule: match args.shape.optimizer {
            OptimizerArg::Sgd => Rule::Sgd { momentum: args.momentum },
            // β₂ = 0.99: a forward gradient's scale is known within a hundred steps.
            OptimizerArg::Adamw => {
                Rule::AdamW { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, decay: args.weight_decay }
            }
        },
        schedule: Schedule {
            peak: args.lr,
            warmup: args.warmup,
            steps: args.steps,
            decay: match args.decay {
                DecayArg::Constant => Decay::Constant,
                DecayArg::Linear => Decay::Linear,
                DecayArg::Cosine => Decay::Cosine,
            },
        },
        batch: args.shape.batch as usize,
        seed: args.seed,
    }
}

fn prefix_cache(
    args: &TrainArgs,
    spec: &AdapterSpec,
    work: &Workload,
    g: &Geometry,
    digest: &str,
    data: &DataSet,
    ctx: &Ctx,
) -> Option<PrefixCache> {
    if spec.layers.start == 0 {
        return None;
    }
    // A share makes no sense of a disk whose size we do not ask; a percentage is taken of the memory at hand.
    let limit = args.prefix_cache.resolve(process::memory_at_hand().unwrap_or(Bytes::ZERO));
    let (data, blocks) = (data.digest(), spec.layers.start);
    let origin = Origin { model: digest, data, blocks, width: g.width, isa: ctx.isa.name() };
    Some(PrefixCache::open(&beside(&args.out, "prefix"), limit, &origin, work.length))
}

/// Everything the result depends on, under the names of the flags.
fn fingerprint(
    args: &TrainArgs,
    settings: &Settings,
    spec: &AdapterSpec,
    digest: &str,
    data: &DataSet,
    length: usize,
) -> Fingerprint {
    let targets: Vec<_> = spec.targets.iter().map(|t| t.name()).collect();
    [
        ("model", digest.to_owned()),
        ("data", hex(&data.digest())),
        ("task", word(args.records.task)),
        ("adapter-kind", spec.kind.name().to_owned()),
        ("rank", spec.rank.to_string()),
        ("alpha", spec.alpha.to_string()),
        ("targets", targets.join(",")),
        ("layers", format!("{}..{}", spec.layers.start, spec.layers.end)),
        ("tangents", settings.forward.tangents.to_string()),
        ("directions", word(args.directions)),
        ("family", format!("{:?}", settings.forward.family).to_lowercase()),
        ("optimizer", word(args.shape.optimizer)),
        ("momentum", args.momentum.to_string()),
        ("weight-decay", args.weight_decay.to_string()),
        ("lr", args.lr.to_string()),
        ("warmup", args.warmup.to_string()),
        ("steps", args.steps.to_string()),
        ("decay", word(args.decay)),
        ("batch", settings.batch.to_string()),
        ("len", length.to_string()),
        ("seed", settings.seed.to_string()),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}

/// A choice as the command line spells it.
fn word(choice: impl ValueEnum) -> String {
    choice.to_possible_value().map_or_else(String::new, |v| v.get_name().to_owned())
}

/// Bytes that writing takes at its worst beside what is on disk: a second checkpoint, or the adapter beside the last one.
fn result_bytes(out: &Path, spec: &AdapterSpec, g: &Geometry) -> u64 {
    let (trainable, frozen) = spec.sizes(g);
    // Values and two moments.
    let (checkpoint, adapter) = (12 * trainable as u64, 4 * (trainable + frozen) as u64);
    let there = std::fs::metadata(beside(out, "ckpt")).map_or(0, |m| m.len());
    // Names, settings and notes are some KiB.
    (checkpoint + checkpoint.max(adapter) + (8 << 10)).saturating_sub(there)
}

/// Finds out now, not after an hour, that a file cannot be written to `path`, or that `bytes` more have no room there.
fn check_writable(path: &Path, bytes: u64) -> Result<(), Failure> {
    if path.is_dir() {
        return Err(Failure::new(Exit::Usage, format_args!("{} is a folder; name a file", path.display())));
    }
    let folder = folder(path);
    tempfile::tempfile_in(&folder)
        .and_then(|mut file| std::io::copy(&mut std::io::repeat(0).take(bytes), &mut file))
        .map(drop)
        .map_err(|e| Failure::io("write in", &folder, e).about(path))
}

fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{extension}"));
    name.into()
}
