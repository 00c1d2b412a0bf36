//! `sprig eval`: loss and accuracy of a model, with or without an adapter, on records.

use super::labelled;
use crate::args::EvalArgs;
use crate::asking;
use crate::exit::{Exit, Failure};
use crate::files;
use crate::interrupt::Interrupt;
use crate::output::{Output, line};
use crate::worn::{Routes, Worn};
use sprig_budget::process;
use sprig_engine::adapter::Adapter;
use sprig_learn::confusion::Confusion;
use sprig_learn::data::{DataSet, Labels};
use sprig_learn::evaluate::Evaluation;
use sprig_learn::objective;
use sprig_learn::session::Session;
use sprig_learn::workload::Workload;
use sprig_run::{Base, evaluate};

pub fn run(args: &EvalArgs) -> Result<Exit, Failure> {
    let map = args.model.open()?;
    let base = Base::open(&map)?;
    let worn = Worn::open(args.adapter.as_deref(), &args.personal, &base)?;
    let (file, asking) = worn.asking();
    let options = asking::by_adapter(&args.records, args.len, file.zip(asking))?;
    let own_labels = asking::reads_labels(&options);
    let budget = args.model.budget()?;
    let data = base.data(&files::data("--data", &args.data, own_labels)?, &[], options, budget)?;
    if !args.model.json {
        asking::told_of(&args.data, &data.train, own_labels, args.len.get())
            .into_iter()
            .try_for_each(line)?;
    }
    let (adapted, batch) = (worn.adapted(&base), args.batch.as_usize());
    let objective = objective::to_judge(args.records.task, args.label_loss);
    let work = Workload::evaluation(objective, adapted, batch, args.model.means());
    let planned = base.plan(data.measure(work), budget, None)?;
    let engine = base.engine(&planned)?;
    let adapter = worn.load(&engine)?;
    let mut session = engine.session(&planned, None)?;
    let (data, examples) = (&data.train, planned.tuning.cut.examples);
    let mut output = Output::new(args.model.json);
    let interrupt = Interrupt::listen();
    let shown = Shown { what: "evaluating", output: &mut output, interrupt: &interrupt };
    match evaluate_shown(&mut session, adapter.as_ref(), data, examples, shown)? {
        None => Err(Failure::new(Exit::Interrupted, "interrupted; an evaluation keeps nothing")),
        Some(Found { evaluation, confusion }) => {
            let by_label = confusion.and_then(|confusion| labelled::by_label(&confusion, data));
            let Evaluation { n, loss, loss_error, accuracy, interval, answered } = evaluation;
            let peak = process::status().peak_rss;
            let shares: Vec<f32> = session.mean_shares().into_iter().map(|q| q as f32).collect();
            let routes = Routes::of(&args.personal, adapter.as_ref(), &shares);
            let event = serde_json::json!({
                "gates": routes.gates, "local_blocks": routes.local,
                "n": n, "loss": loss, "loss_error": loss_error, "accuracy": accuracy, "interval": interval, "answered": answered, "cut": data.cut(),
                "len_for_95_percent": data.len_for(0.95), "labels": data.labels().map(Labels::names), "by_label": by_label,
                "peak_rss_bytes": peak,
            });
            output.event(event, || {
                let told = routes.told().map_or_else(String::new, |told| format!("\n{told}"));
                let labels = by_label
                    .as_ref()
                    .map_or_else(String::new, |found| format!("\n{}", labelled::table(found)));
                Some(describe(&evaluation) + &told + &labels)
            });
            Ok(Exit::Done)
        }
    }
}

/// Who follows an evaluation, and under which name.
pub struct Shown<'a> {
    /// What the progress line says.
    pub what: &'a str,
    /// Where it stands.
    pub output: &'a mut Output,
    /// What ends it early.
    pub interrupt: &'a Interrupt,
}

/// What an evaluation found.
pub struct Found {
    /// The means.
    pub evaluation: Evaluation,
    /// Which label each example was given, where there are labels.
    pub confusion: Option<Confusion>,
}

/// Evaluates `examples` at a time with a progress line; `None` when interrupted.
pub fn evaluate_shown(
    session: &mut Session<'_>,
    adapter: Option<&Adapter>,
    data: &DataSet,
    examples: usize,
    shown: Shown<'_>,
) -> Result<Option<Found>, Failure> {
    let Shown { what, output, interrupt } = shown;
    output.begin(what, data.len() as u64, 0);
    let mut confusion = Confusion::of(data);
    let found = evaluate(session, adapter, data, examples, confusion.as_mut(), |done| {
        output.at(done as u64, || what.to_owned());
        !interrupt.raised()
    })?;
    output.end();
    Ok(found.map(|evaluation| Found { evaluation, confusion }))
}

/// One line for people.
pub fn describe(e: &Evaluation) -> String {
    let [low, high] = e.interval;
    let answered = e.answered.map_or_else(String::new, |share| format!(", {:.1} % answered", 100.0 * share));
    format!(
        "accuracy {:.1} % (95 % interval {:.1} to {:.1}){answered}, loss {:.4}, {} judged",
        100.0 * e.accuracy,
        100.0 * low,
        100.0 * high,
        e.loss,
        e.n
    )
}
