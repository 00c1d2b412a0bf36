//! `sprig lookalike`: learn wrong answers that follow from errors, and errors that explain wrong answers, from the model's own
//! inconsistencies, on questions whose truth is executed.

mod examine;
mod material;
mod mine;
mod page;
mod phase;
mod progress;
mod record;
mod under_way;

use super::foreseen::{Foreseer, check_useful, chosen};
use crate::args::{Anchor, ItemArgs, LookalikeArgs, ShapeArgs};
use crate::exit::{Exit, Failure};
use crate::files::{Content, Files, beside, check_writable};
use crate::interrupt::Interrupt;
use crate::open::adapter;
use crate::output::Output;
use material::Material;
use progress::Progress;
use serde_json::json;
use sprig_budget::Bytes;
use sprig_engine::adapter::{AdapterFile, AdapterSpec, Place};
use sprig_engine::kernels::Ctx;
use sprig_learn::data::Task as Records;
use sprig_learn::objective::Aim;
use sprig_learn::recipe::Way;
use sprig_learn::workload::Workload;
use sprig_lookalike::{Goal, MinedPair, Schedule, Scribe, Steps, Task, phases};
use sprig_run::{Base, Running};
use std::path::PathBuf;
use std::time::Instant;
use under_way::Lookalike;

/// What is kept of an answered item, its line of a dump included: some twice what the longest takes.
const ANSWER_BYTES: usize = 2 << 10;

pub fn run(args: &LookalikeArgs) -> Result<Exit, Failure> {
    let interrupt = Interrupt::listen();
    check(args)?;
    let map = args.model.open()?;
    let base = Base::open(&map)?;
    let from = args.from.as_deref().map(|path| adapter(path, &base)).transpose()?;
    let kept = from.as_ref().map(|file| file.places(&base.geometry)).transpose()?.unwrap_or_default();
    let args = &decided(args, &base, &kept)?;
    let output = Output::new(args.model.json);
    room_for_items(args)?;
    let tokenizer = base.tokenizer()?;
    let material = Material::make(args, &tokenizer)?;
    let spec = args.shape.spec(Records::Pair, &base.geometry, &kept)?;
    let mut work = work(args, &base, &material, &spec);
    let pieces =
        |file: &AdapterFile| ("pieces of the adapter to go on from", file.begin_bytes(&base.geometry));
    work.held_elsewhere.extend(from.as_ref().map(pieces));
    let planned = base.plan(work, args.model.budget()?, None)?;
    let event = json!({ "event": "plan", "plan": planned.plan });
    output.event(event, || Some(planned.plan.brief().to_string()));
    let room = if args.mine_only { 0 } else { 16 * spec.sizes(&base.geometry).0 as u64 };
    check_writable(&args.out, room)?;
    let digest = base.map.digest_hex()?;
    let engine = base.engine(&planned)?;
    let begun_from = from.as_ref().map(AdapterFile::digest_hex).transpose()?;
    let session = engine.session(&planned, None)?;
    let lookalike = Lookalike {
        args,
        base: &base,
        engine: &engine,
        planned: &planned,
        spec: &spec,
        tokenizer: &tokenizer,
        material: &material,
        running: Running::new(&base, &planned, !args.ignore_pressure)?,
        fingerprint: progress::fingerprint(args, &spec, [Some(&digest), begun_from.as_ref()], &material),
        digest,
        from: from.as_ref(),
        progress: Progress::default(),
        output,
        interrupt,
        began: Instant::now(),
    };
    let held = (session, lookalike.begun()?);
    if args.mine_only { lookalike.only_mine(held) } else { lookalike.all(held) }
}

/// The same with an estimator: exact gradients where there is room for them.
fn decided(args: &LookalikeArgs, base: &Base<'_>, kept: &[Place]) -> Result<LookalikeArgs, Failure> {
    let question = args.shape.question(Records::Pair);
    check_useful(&question)?;
    let way = match question.asked {
        Way::Steps(_) => question.asked,
        Way::ReadOut => {
            let message =
                "--estimator readout learns labels and choices, and answers here are written; leave it out";
            return Err(Failure::new(Exit::Usage, message));
        }
        Way::Auto => {
            let foreseer = Foreseer {
                base,
                shape: &args.shape,
                model: &args.model,
                budget: args.model.budget()?,
                task: Records::Pair,
                data: None,
                judged: false,
                kept,
            };
            chosen(&foreseer.ways(&question)?, &question)?.way
        }
    };
    let shape = ShapeArgs { estimator: way, ..args.shape.clone() };
    Ok(LookalikeArgs { shape, ..args.clone() })
}

/// What is held at once: a training of pairs, the questions, and a model that writes.
fn work(args: &LookalikeArgs, base: &Base<'_>, material: &Material, spec: &AdapterSpec) -> Workload {
    let (g, means) = (&base.geometry, args.model.means());
    let work = args.shape.workload(Records::Pair, spec.clone(), args.shape.rule(), means);
    let length = material.longest() + material.most;
    let writing =
        Scribe::bytes(g, spec.largest_rank(), (work.means.threads, Ctx::PANEL_ROWS), capacity(material));
    // Of each its tokens, an entry, a reference and a place in the order, and its line while it is read.
    let pairs = args.pairs() * (8 * length + 64 + 2 * size_of::<MinedPair>() + 1024);
    let sets = material.supervised.bytes() + material.watched.bytes();
    let other = match args.mining.reference {
        Anchor::Phase => Bytes::ZERO,
        Anchor::Supervised | Anchor::Base => Bytes(8 * (spec.sizes(g).0 + spec.sizes(g).1) as u64),
    };
    let held_elsewhere = vec![
        ("tokenizer", base.tokenizer_bytes()),
        ("questions", Bytes((material.item_bytes() + sets) as u64)),
        (
            "what is answered in the tests",
            Bytes((material.tested(args.dump.is_some()) * ANSWER_BYTES) as u64),
        ),
        ("mined pairs", Bytes(pairs as u64)),
        ("keys, values and passes of answers", writing),
        ("the adapter that preferences are measured against", other),
    ];
    Workload { held_elsewhere, length, prefix: false, ..work }
}

/// Refuses, before any is made, more items than the budget could hold.
fn room_for_items(args: &LookalikeArgs) -> Result<(), Failure> {
    let ItemArgs { train, dev, test, ref families, .. } = args.items;
    let items = families.len() as u64 * (u64::from(train) + u64::from(dev) + 4 * u64::from(test));
    let (need, budget) = (Bytes(items * material::ITEM_BYTES), args.model.budget()?);
    if need <= budget {
        return Ok(());
    }
    let message = format!(
        "{items} items take about {need}, and the budget is {budget}; ask for fewer (--items, --test) or give a larger --budget"
    );
    Err(Failure::new(Exit::Budget, message))
}

/// Most tokens of a text that is written: a question about an error of the longest text, and the answer.
fn capacity(material: &Material) -> usize {
    material.longest() + 2 * material.most
}

impl LookalikeArgs {
    /// Most pairs that a phase can visit, none twice.
    fn pairs(&self) -> usize {
        let steps = phases(self.schedule, self.cycles, self.steps());
        let most = steps.iter().filter(|phase| phase.goal != Goal::Supervised);
        let most = most.map(|phase| phase.steps).max().unwrap_or(0) as usize;
        let questions = self.items.families.len() * self.items.train as usize * self.items.tasks.len();
        (most * self.shape.batch.as_usize()).min(questions * self.mining.most as usize)
    }

    /// Where mined pairs are kept.
    fn kept_pairs(&self) -> PathBuf {
        if self.mine_only { self.out.clone() } else { beside(&self.out, "pairs") }
    }

    /// Steps of a cycle.
    fn steps(&self) -> Steps {
        Steps { supervised: self.supervised_steps, preferred: self.preference_steps }
    }
}

/// Refuses what cannot be: repeated names, files that would be written over.
fn check(args: &LookalikeArgs) -> Result<(), Failure> {
    let tasks = &args.items.tasks;
    let repeated = tasks.iter().enumerate().find(|(i, task)| tasks[..*i].contains(task));
    if let Some((_, task)) = repeated {
        return Err(Failure::new(Exit::Usage, format!("--tasks names {task} twice; name it once")));
    }
    if args.schedule != Schedule::Supervised && tasks[..] == [Task::Options] {
        let message =
            "--tasks t5 has no inconsistencies to mine; name t1 or t2 beside it, or use --schedule sft";
        return Err(Failure::new(Exit::Usage, message));
    }
    let aim = args.shape.preference.preferring().aim(Records::Pair);
    if let Some(aim @ (Aim::Sft | Aim::Rcft)) = aim {
        let message =
            format!("--objective {aim} prefers nothing; use --schedule sft for supervised steps alone");
        return Err(Failure::new(Exit::Usage, message));
    }
    if args.preference_lr.is_some() && matches!(args.schedule, Schedule::Batches | Schedule::Joint) {
        let message = format!(
            "--preference-lr is of phases of preferences alone; with --schedule {} all steps have the rate of --lr",
            args.schedule
        );
        return Err(Failure::new(Exit::Usage, message));
    }
    let files =
        Files::new().reads("--model", args.model.model.as_path()).reads("--from", args.from.as_deref());
    if args.mine_only {
        if args.preference_steps == 0 {
            let message =
                "--mine-only mines as many pairs as --preference-steps would visit; give at least 1";
            return Err(Failure::new(Exit::Usage, message));
        }
        return files.writes("--out", args.out.as_path(), Content::Pairs).check();
    }
    files
        .writes("--out", args.out.as_path(), Content::Adapter)
        .writes("--run", args.run.as_deref(), Content::Record)
        .writes("--page", args.page.as_deref(), Content::Page)
        .writes("--dump", args.dump.as_deref(), Content::Dump)
        .keeps("the checkpoint of --out", &beside(&args.out, "ckpt"))
        .keeps("the adapter that preferences are measured against", &beside(&args.out, "first"))
        .keeps("the pairs mined for --out", &args.kept_pairs())
        .check()?;
    let written = [&args.run, &args.page, &args.dump];
    written.into_iter().flatten().try_for_each(|path| check_writable(path, 0))
}
