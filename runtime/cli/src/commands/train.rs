//! `sprig train`: data in, adapter out, inside the budget.

use super::elsewhere;
use super::foreseen::{Foreseer, best_so_far, check_useful, chosen};
use super::judging::Judge;
use super::opening::{Opening, check_files, check_resumes, keep_record, tell};
use super::preferring;
use super::readout;
use super::record::{Recorder, Run};
use super::training::Training;
use crate::alone::Alone;
use crate::args::{ShapeArgs, TrainArgs};
use crate::exit::{Exit, Failure};
use crate::files::{beside, check_writable};
use crate::interrupt::Interrupt;
use crate::output::Output;
use serde_json::json;
use sprig_engine::adapter::{AdapterFile, AdapterMeta, AdapterSpec};
use sprig_engine::model::Geometry;
use sprig_ground::hex;
use sprig_learn::checkpoint::{self, Fingerprint};
use sprig_learn::data::{Examples, Task};
use sprig_learn::estimator::Estimator;
use sprig_learn::judging::{Judged, Judging};
use sprig_learn::readout::file::SumsFile;
use sprig_learn::recipe::Way;
use sprig_learn::trainer::{Settings, Trainer};
use sprig_learn::trend::Trend;
use sprig_run::{Base, Data, Running, apart};
use std::path::Path;
use std::time::Instant;

const NOTHING_TO_JUDGE_BY: &str =
    "--eval-every has nothing to judge the run by; give --eval-data, or --held-back N of the training data";

pub fn run(args: &TrainArgs) -> Result<Exit, Failure> {
    let ended = train(args);
    if let Some(smallest) = ended.as_ref().err().and_then(Failure::smallest_budget) {
        let event = json!({ "event": "refused", "smallest_budget_bytes": smallest });
        Output::new(args.model.json).event(event, || None);
    }
    ended
}

fn train(args: &TrainArgs) -> Result<Exit, Failure> {
    let interrupt = Interrupt::listen();
    check_useful(&args.question())?;
    let task = args.records.task;
    args.shape.preference.preferring().check(task).map_err(|e| Failure::new(Exit::Usage, e))?;
    if args.question().asked == Way::ReadOut && matches!(task, Task::Lm | Task::Pair) {
        return Err(readout::not_of_tokens());
    }
    check_files(args)?;
    let _alone = Alone::claim(&args.out)?;
    check_resumes(args)?;
    let map = args.model.open()?;
    let base = Base::open(&map)?;
    let opening = interrupt.at_once(|| Opening::read(args, &base))?;
    let args = &decided(args, &opening)?;
    match args.shape.estimator {
        Way::ReadOut => readout::run(args, opening, interrupt),
        Way::Auto | Way::Steps(_) => by_steps(args, opening, interrupt),
    }
}

/// The same with an estimator, and why it is that.
fn decided(args: &TrainArgs, opening: &Opening<'_>) -> Result<TrainArgs, Failure> {
    let question = args.question();
    let with = |estimator, why| {
        let shape = ShapeArgs { estimator, ..args.shape.clone() };
        Ok(TrainArgs { shape, why, ..args.clone() })
    };
    if question.asked != Way::Auto {
        return with(question.asked, "was named".to_owned());
    }
    let (estimator, why) = match begun(args)? {
        Some(estimator) => (estimator, "made the checkpoint".to_owned()),
        None => {
            let Opening { base, ref data, ref kept, budget, .. } = *opening;
            let (shape, model, task) = (&args.shape, &args.model, args.records.task);
            let judged = args.is_judged(data.train.len());
            let foreseer = Foreseer { base, shape, model, budget, task, data: Some(data), judged, kept };
            let ways = foreseer.ways(&question)?;
            chosen(&ways, &question).map(|chosen| (chosen.way, chosen.verdict.why.clone()))?
        }
    };
    let event = json!({ "event": "estimator", "estimator": estimator.to_string(), "why": why });
    Output::new(args.model.json).event(event, || Some(format!("estimator: {estimator}, which {why}")));
    with(estimator, why)
}

/// The estimator of the training that this one is to go on with, if there is one.
fn begun(args: &TrainArgs) -> Result<Option<Way>, Failure> {
    if !args.resume {
        return Ok(None);
    }
    let path = beside(&args.out, "ckpt");
    if SumsFile::is_at(&path) {
        return Ok(Some(Way::ReadOut));
    }
    Ok(checkpoint::estimator(&path)?)
}

fn by_steps(args: &TrainArgs, opening: Opening<'_>, interrupt: Interrupt) -> Result<Exit, Failure> {
    let output = Output::new(args.model.json);
    let Opening { base, data, asking, from, kept, budget } = opening;
    let spec = args.shape.spec(args.records.task, &base.geometry, &kept)?;
    check_writable(&args.out, result_bytes(&args.out, &spec, &base.geometry))?;

    let held_back = args.held_back(data.train.len());
    let single = args.single(data.train.len() - held_back.len());
    let settings = single.settings()?;
    let mut work = args.shape.workload(args.records.task, spec.clone(), settings.rule, args.model.means());
    if args.eval_every.is_some() && !args.is_judged(data.train.len()) {
        return Err(Failure::new(Exit::Usage, NOTHING_TO_JUDGE_BY));
    }
    let best = args.is_judged(data.train.len()).then(|| best_so_far(&spec, &base.geometry));
    let pieces =
        |file: &AdapterFile| ("pieces of the adapter to go on from", file.begin_bytes(&base.geometry));
    let preference = args.shape.preference.preferring().objective(args.records.task, args.shape.label_loss());
    let references = preference.as_ref().map(|aim| preferring::held(aim, &data, args.shape.batch));
    work.held_elsewhere.extend(best.into_iter().chain(from.as_ref().map(pieces)).chain(references));
    let heap_limit = args.heap_limit.map(|limit| limit.resolve(budget));
    let planned = base.plan(data.measure(work), budget, heap_limit)?;
    let plan = &planned.plan;
    output.event(json!({ "event": "plan", "plan": plan }), || Some(plan.brief().to_string()));
    tell(args, &data);
    let digest = base.map.digest_hex()?;
    let engine = base.engine(&planned)?;
    let mut adapter = engine.adapter(&spec, single.recipe.run_key())?;
    let begun_from = from.map(|file| {
        file.begin(&mut adapter, &base.geometry)?;
        file.digest_hex()
    });
    let begun_from = begun_from.transpose()?;
    let prefix =
        engine.prefix(&beside(&args.out, "prefix"), args.prefix_cache, &digest, &data.train, &planned);
    let session = engine.session(&planned, prefix)?;
    let examples = Examples::all_but(&data.train, &held_back);
    let trainer = Trainer::new(session, adapter, examples, settings, planned.tuning.cut)?;
    let run = Run {
        args,
        base,
        engine: &engine,
        digest: &digest,
        spec: &spec,
        data: &data,
        plan,
        schedule: settings.schedule,
        held_back: held_back.len(),
    };
    let mut training = Training {
        steps: settings.schedule.steps,
        judge: judge(args, &settings, &data, &held_back),
        checkpoint_every: args.checkpoint_every,
        checkpoint: beside(&args.out, "ckpt"),
        fingerprint: fingerprint(&run, &settings, planned.work.length, begun_from),
        trainer,
        running: Running::new(base, &planned, !args.ignore_pressure)?,
        began: Instant::now(),
        recorder: Recorder::new(plan, engine.before),
        output,
        interrupt,
        judging_held_out: None,
        reckoning: None,
    };
    if !training.prefer(preference, &data, args)? {
        return Ok(training.stopped());
    }
    let meta = AdapterMeta { asking: Some(asking), ..AdapterMeta::of(&base.geometry, &digest) };
    through(training, &run, &meta)
}

/// The whole of a training that is ready to begin.
fn through(mut training: Training<'_, '_>, run: &Run<'_>, meta: &AdapterMeta) -> Result<Exit, Failure> {
    let args = run.args;
    if args.resume {
        apart(|| training.resume())?;
    } else {
        training.begin_anew();
    }
    let held_out = run.data.held_out.as_ref();
    if !training.evaluate_before(held_out)? || !training.steps()? || !training.evaluate_after(held_out)? {
        return Ok(training.stopped());
    }
    training.write(&args.out, meta)?;
    finish(training, run)
}

/// Writes the record of a training whose adapter is there, and says what there is to say of it.
fn finish(training: Training<'_, '_>, run: &Run<'_>) -> Result<Exit, Failure> {
    let Training { trainer, recorder, output, checkpoint, .. } = training;
    let record = recorder.finish(run, &trainer);
    keep_record(run.args, &record)?;
    let _ = std::fs::remove_file(checkpoint);
    let _ = std::fs::remove_file(beside(&run.args.out, "references"));
    let args = run.args;
    output.event(recorder.done_event(&record, args), || {
        Some(recorder.done_line(&record, &args.out) + "\n" + &elsewhere::lines(&args.model.model, &args.out))
    });
    Ok(Exit::Done)
}

/// What judges a training on its way: held-out data or the examples that were kept back, or its own losses where there are
/// none.
fn judge<'d>(args: &TrainArgs, settings: &Settings, data: &'d Data, held_back: &'d [usize]) -> Judge<'d> {
    let (steps, held_out) = (settings.schedule.steps, args.is_judged_by_held_out());
    let examples = match data.held_out.as_ref().filter(|_| held_out) {
        Some(data) => Examples::all_but(data, &[]),
        None => Examples::some(&data.train, held_back),
    };
    if examples.is_empty() {
        return Judge::Losses(Trend::new(steps));
    }
    let (tangents, patience) = (settings.estimator.needs().tangents, args.patience.get());
    let usual = Judging::new(steps, settings.batch, tangents, examples.len(), patience);
    let every = args.eval_every.map_or(usual.every, |every| every.get().into());
    Judge::Examples { examples, held_out, judging: Judging { every, ..usual }, judged: Judged::default() }
}

/// Everything the result depends on, under the names of the flags.
fn fingerprint(run: &Run<'_>, settings: &Settings, length: usize, from: Option<String>) -> Fingerprint {
    let Run { args, spec, digest, data, held_back, .. } = *run;
    let held_out = data.held_out.as_ref().map(|set| (checkpoint::HELD_OUT, hex::encode(&set.digest())));
    let judging = [("held-back", held_back.to_string()), ("patience", args.patience.to_string())];
    let judging = judging.into_iter().filter(|_| held_back > 0);
    let every = args.eval_every.map(|every| ("eval-every", every.to_string()));
    let preference = args.shape.preference.settings(args.records.task);
    let label_loss = matches!(args.records.task, Task::Label | Task::Choice)
        .then(|| ("label-loss", args.shape.label_loss().to_string()));
    // Checkpoints of before it could be given have none.
    let dropout = settings.dropout.is_on().then(|| ("dropout", args.shape.dropout.to_string()));
    let targets: Vec<_> = spec.targets.iter().map(|t| t.name()).collect();
    [
        (checkpoint::MODEL, digest.to_owned()),
        (checkpoint::DATA, hex::encode(&data.train.digest())),
        ("task", args.records.task.to_string()),
        ("adapter-kind", spec.kind.name().to_owned()),
        ("rank", spec.rank.to_string()),
        ("alpha", spec.alpha.to_string()),
        ("targets", targets.join(",")),
        ("layers", format!("{}..{}", spec.layers.start, spec.layers.end)),
        (checkpoint::ESTIMATOR, args.shape.estimator.to_string()),
        ("optimizer", args.shape.optimizer.to_string()),
        ("momentum", args.momentum.to_string()),
        ("weight-decay", args.weight_decay.to_string()),
        ("lr", settings.schedule.peak.to_string()),
        ("warmup", args.warmup.to_string()),
        (checkpoint::STEPS, settings.schedule.steps.to_string()),
        ("decay", args.decay.to_string()),
        ("batch", settings.batch.to_string()),
        ("len", length.to_string()),
        ("seed", settings.seed.to_string()),
    ]
    .into_iter()
    .chain(settings.estimator.settings())
    .chain(judging)
    .chain(every)
    .chain(label_loss)
    .chain(dropout)
    .chain(preference)
    .chain(held_out)
    .chain(from.map(|digest| (checkpoint::FROM, digest)))
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}

/// Bytes that writing takes at its worst beside what is on disk: a second checkpoint, or the adapter beside the last one.
fn result_bytes(out: &Path, spec: &AdapterSpec, g: &Geometry) -> u64 {
    let (trainable, frozen) = spec.sizes(g);
    // Values, two moments and the best values so far.
    let (checkpoint, adapter) = (16 * trainable as u64, 4 * (trainable + frozen) as u64);
    let there = std::fs::metadata(beside(out, "ckpt")).map_or(0, |m| m.len());
    // Names, settings and notes are some KiB.
    (checkpoint + checkpoint.max(adapter) + (8 << 10)).saturating_sub(there)
}
