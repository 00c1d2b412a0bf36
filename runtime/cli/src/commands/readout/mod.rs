//! `sprig train --estimator readout`: one plain pass over the examples, a fit in closed form, an adapter and its sums.

mod reading;

use super::opening::{self, Opening};
use super::record::Recorder;
use crate::args::{ModelArgs, ShapeArgs, TrainArgs};
use crate::exit::{Exit, Failure};
use crate::files::{beside, check_writable, shown};
use crate::interrupt::Interrupt;
use crate::output::Output;
use reading::{Keep, Reading};
use serde_json::json;
use sprig_budget::{BudgetError, Bytes, Plan};
use sprig_engine::adapter::{AdapterMeta, Asking};
use sprig_ground::hex;
use sprig_learn::data::{DataSet, Task};
use sprig_learn::readout::file::{Origin, SumsFile};
use sprig_learn::readout::{self, Classes, Directions, Sample, Sums, Unfit};
use sprig_learn::setting::Setting;
use sprig_learn::workload::{Adapted, Workload};
use sprig_learn::{LearnError, objective};
use sprig_run::{Base, Running};
use std::time::Instant;

pub fn run(args: &TrainArgs, opening: Opening<'_>, interrupt: Interrupt) -> Result<Exit, Failure> {
    let output = Output::new(args.model.json);
    let Opening { base, data, asking: asked, budget, .. } = opening;
    readout::check(&base.geometry)?;
    let classes = Classes::of(&data.train).map_err(LearnError::from)?;
    readout::spec(&base.geometry, classes.tokens.len()).check(&base.geometry).map_err(LearnError::from)?;
    let digest = base.map.digest_hex()?;
    let origin = Origin {
        model: digest.clone(),
        asking: words(&asked),
        len: args.shape.len.as_usize(),
        tokens: classes.tokens.clone(),
    };
    let sets = sets(args, &data.train)?;
    let earlier = earlier(args, &origin, &sets)?;
    let (kept, work) = room(base, budget, earlier.as_ref().map(|(file, _)| file.directions()), |kept| {
        data.measure(workload(&args.shape, &args.model, args.records.task, base, classes.tokens.len(), kept))
    })?;
    check_writable(&args.out, result_bytes(base, kept, classes.tokens.len()))?;
    let heap_limit = args.heap_limit.map(|limit| limit.resolve(budget));
    let planned = base.plan(work, budget, heap_limit)?;
    tell(&output, &planned.plan, kept, base.geometry.ffn);
    opening::tell(args, &data);
    let engine = base.engine(&planned)?;
    let directions = Directions { inputs: base.geometry.ffn, kept };
    let mut sample = Sample::new(&base.geometry, data.train.len());
    let (sums, taken) = match earlier {
        Some((file, taken)) => (file.load(&mut sample)?, taken),
        None => (Sums::new(directions, classes.tokens.len()), 0),
    };
    let counts = classes.counts(&data.train, Some(&sums));
    classes.check(&counts, data.train.labels().is_some()).map_err(LearnError::from)?;
    let meta = AdapterMeta { asking: Some(asked), ..AdapterMeta::of(&base.geometry, &digest) };
    let keep = Keep { origin, sets, meta };
    let mut reading = Reading {
        args,
        base,
        engine: &engine,
        planned: &planned,
        session: engine.session(&planned, None)?,
        running: Running::new(base, &planned, !args.ignore_pressure)?,
        recorder: Recorder::new(&planned.plan, engine.before),
        examples: planned.tuning.cut.examples,
        output,
        interrupt,
        began: Instant::now(),
    };
    reading.learn(&data, (sums, sample, taken), &classes, &keep)
}

/// The answers of `data`, if a read-out can learn from them alone.
pub fn classes(data: &DataSet) -> Result<Classes, Unfit> {
    let classes = Classes::of(data)?;
    classes.check(&classes.counts(data, None), data.labels().is_some())?;
    Ok(classes)
}

/// That a language model is no read-out's task.
pub fn not_of_tokens() -> Failure {
    let message = format!(
        "--estimator readout learns answers that are chosen among a few words, not {}; use {} or {}, or another estimator",
        Setting::Task.to(Task::Lm),
        Setting::Task.to(Task::Label),
        Setting::Task.to(Task::Choice)
    );
    Failure::new(Exit::Usage, message)
}

/// How examples are asked, as one text that two runs share exactly if they ask alike.
fn words(asked: &Asking) -> String {
    let Asking { task, raw, template, style, labels, temperature: _ } = asked;
    json!([task, raw, template, style, labels]).to_string()
}

/// The sums to go on with, and how many of the last set's examples are in them: those of this very pass, or those to add
/// to, if they are of the same task and do not know these examples yet.
fn earlier(args: &TrainArgs, origin: &Origin, sets: &[String]) -> Result<Option<(SumsFile, usize)>, Failure> {
    let checkpoint = beside(&args.out, "ckpt");
    if args.resume && checkpoint.exists() {
        let file = SumsFile::open(&checkpoint)?;
        file.check(origin)?;
        let taken = file.taken(sets)?;
        return Ok(Some((file, taken)));
    }
    let Some(path) = &args.add_to else { return Ok(None) };
    let file = SumsFile::open(path)?;
    file.check_whole()?;
    file.check(origin)?;
    if sets.iter().rev().skip(1).any(|set| Some(set) == sets.last()) {
        let message = format!(
            "--add-to {}: the examples of {} are in these sums already, and would count twice",
            path.display(),
            shown(&args.data)
        );
        return Err(Failure::new(Exit::Usage, message));
    }
    Ok(Some((file, 0)))
}

/// Digests of all sets that are in the sums to be written, this one's last.
fn sets(args: &TrainArgs, data: &DataSet) -> Result<Vec<String>, Failure> {
    let mut sets = match &args.add_to {
        Some(path) => SumsFile::open(path)?.data().to_vec(),
        None => Vec::new(),
    };
    sets.push(hex::encode(&data.digest()));
    Ok(sets)
}

/// The workload of a read-out of `classes` answers over `kept` directions.
pub fn workload(
    shape: &ShapeArgs,
    model: &ModelArgs,
    task: Task,
    base: &Base<'_>,
    classes: usize,
    kept: usize,
) -> Workload {
    let (g, batch, means) = (&base.geometry, shape.batch.as_usize(), model.means());
    let adapted = Adapted::Made(readout::spec(g, classes));
    let judged = objective::to_judge(task, shape.label_loss());
    let held_elsewhere = readout::needs(g, kept, classes, batch, means.threads);
    Workload { held_elsewhere, ..Workload::evaluation(judged, adapted, batch, means) }
}

/// The most directions that `budget` has room for, or those `given`, and the workload with them.
///
/// # Errors
/// Not even the fewest fit; the smallest budget is theirs.
pub fn room(
    base: &Base<'_>,
    budget: Bytes,
    given: Option<Directions>,
    work: impl Fn(usize) -> Workload,
) -> Result<(usize, Workload), LearnError> {
    let choices: Vec<usize> = match given {
        Some(directions) => vec![directions.kept],
        None => readout::kept(&base.geometry).collect(),
    };
    let fewest = choices.last().copied();
    for kept in choices {
        let work = work(kept);
        match base.fit(&work, budget) {
            Err(LearnError::Budget(BudgetError::TooSmall { .. })) if Some(kept) != fewest => {}
            Err(other) => return Err(other),
            Ok(_) => return Ok((kept, work)),
        }
    }
    Err(LearnError::Settings("this model's last block is too narrow for a read-out".to_owned()))
}

/// Says what is planned.
fn tell(output: &Output, plan: &Plan, kept: usize, inputs: usize) {
    let event = json!({ "event": "plan", "plan": plan, "directions": kept, "directions_in_all": inputs });
    output.event(event, || Some(format!("{}\n{}", plan.brief(), directions(kept, inputs))));
}

/// How many directions there is room for, in words.
pub fn directions(kept: usize, inputs: usize) -> String {
    match kept == inputs {
        true => format!("the read-out keeps all {inputs} directions of the last block"),
        false => format!("the read-out keeps {kept} directions of the last block's {inputs}, folded"),
    }
}

/// Bytes of the adapter, the sums and their checkpoint, each written beside the last.
fn result_bytes(base: &Base<'_>, kept: usize, classes: usize) -> u64 {
    let (trainable, _) = readout::spec(&base.geometry, classes).sizes(&base.geometry);
    2 * (Sums::bytes(kept, classes).0 + Sample::bytes(&base.geometry).0) + 4 * trainable as u64 + (8 << 10)
}
