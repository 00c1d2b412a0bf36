//! `sprig eval`: loss and accuracy of a model, with or without an adapter, on a JSONL file.

use super::infer::adapter_bytes;
use crate::args::{EvalArgs, LabelStyleArg, RecordArgs};
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::open;
use crate::output::Output;
use sprig_budget::{Bytes, alloc, process};
use sprig_engine::adapter::Adapter;
use sprig_engine::kernels::Ctx;
use sprig_engine::model::PassLayout;
use sprig_engine::tokenizer::Tokenizer;
use sprig_learn::data::{DataSet, LabelStyle, Labels, LoadOptions};
use sprig_learn::estimator::Cut;
use sprig_learn::evaluate::{Evaluation, evaluate};
use sprig_learn::optimiser::Rule;
use sprig_learn::planner::{Workload, plan};
use sprig_learn::session::Session;

pub fn run(args: &EvalArgs) -> Result<Exit, Failure> {
    let map = args.model.open()?;
    let (gguf, geometry) = open::header(&map)?;
    open::check_length(args.len, &geometry)?;
    let adapter = args.adapter.as_deref().map(|path| open::adapter(path, &map, &geometry)).transpose()?;
    let data = {
        let tokenizer = Tokenizer::from_gguf(&gguf).map_err(|e| Failure::from(e).about(map.path()))?;
        DataSet::load(&args.data, &load_options(&args.records, args.len as usize, None), &tokenizer)?
    };
    alloc::release_free_memory();
    let work = Workload {
        batch: args.batch as usize,
        length: data.longest(),
        tangents: 0,
        adapter: None,
        frozen_rank: adapter.as_ref().map_or(0, Adapter::rank),
        frozen_bytes: adapter_bytes(adapter.as_ref()),
        rule: Rule::Sgd { momentum: 0.0 },
        candidates: candidates(&data),
        threads: args.model.threads(),
        data: Bytes(data.bytes() as u64),
        prefix: false,
        residency: args.model.residency(),
        loading: Bytes(Tokenizer::load_bytes(&gguf)),
    };
    let weights = open::weights(&map, &gguf, &geometry)?;
    let (tuning, _) = plan(&geometry, &weights, open::header_bytes(&gguf), &work, args.model.budget()?)?;
    let ctx =
        Ctx::new(work.threads).with_panel_rows(tuning.panel_rows).map_err(|e| Failure::new(Exit::Bug, e))?;
    let model = open::model(&map, &gguf, tuning.streamed)?;
    let layout = PassLayout::new(&geometry, tuning.pass(&geometry, &work));
    let mut session = Session::new(&model, &ctx, layout, work.length, work.batch, None)?;
    let mut output = Output::new(args.model.json);
    let interrupt = Interrupt::listen();
    match judge(&mut session, adapter.as_ref(), &data, tuning.cut, "evaluating", &mut output, &interrupt)? {
        None => Err(Failure::new(Exit::Interrupted, "interrupted; an evaluation keeps nothing")),
        Some(found) => {
            let Evaluation { n, loss, accuracy, interval } = found;
            let peak = process::status().peak_rss;
            let event = serde_json::json!({
                "n": n, "loss": loss, "accuracy": accuracy, "interval": interval, "cut": data.cut(), "peak_rss_bytes": peak,
            });
            output.event(event, || Some(describe(&found)));
            Ok(Exit::Done)
        }
    }
}

/// Evaluates with a progress line; `None` when interrupted.
pub fn judge(
    session: &mut Session<'_>,
    adapter: Option<&Adapter>,
    data: &DataSet,
    cut: Cut,
    what: &str,
    output: &mut Output,
    interrupt: &Interrupt,
) -> Result<Option<Evaluation>, Failure> {
    output.begin(what, data.len() as u64, 0);
    let found = evaluate(session, adapter, data, cut.examples, |done| {
        output.at(done as u64, || what.to_owned());
        !interrupt.raised()
    })?;
    output.end();
    Ok(found)
}

/// One line for people.
pub fn describe(e: &Evaluation) -> String {
    let [low, high] = e.interval;
    format!(
        "accuracy {:.1} % (95 % interval {:.1} to {:.1}), loss {:.4}, {} judged",
        100.0 * e.accuracy,
        100.0 * low,
        100.0 * high,
        e.loss,
        e.n
    )
}

/// Most candidates of an example; `None` for a language model.
pub fn candidates(data: &DataSet) -> Option<usize> {
    if data.is_lm() { None } else { Some((0..data.len()).map(|i| data.candidates(i)).max().unwrap_or(0)) }
}

/// How records become tokens; held-out data gets the training set's `labels`.
pub fn load_options(args: &RecordArgs, len: usize, labels: Option<Labels>) -> LoadOptions {
    LoadOptions {
        raw: args.raw,
        template: args.template.clone(),
        label_style: match args.label_style {
            LabelStyleArg::Word => LabelStyle::Word,
            LabelStyleArg::Letter => LabelStyle::Letter,
        },
        label_words: args.label_tokens.clone(),
        labels,
        ..LoadOptions::new(args.task.into(), len)
    }
}
