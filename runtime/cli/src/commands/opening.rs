//! What every training begins with, whichever way it takes: its files checked, the model's header and the data read.

use crate::args::TrainArgs;
use crate::asking;
use crate::exit::{Exit, Failure};
use crate::files::{self, Content, Files, beside, check_writable, shown};
use crate::open::adapter;
use crate::output::{Output, problem};
use serde_json::json;
use sprig_budget::Bytes;
use sprig_engine::adapter::{AdapterFile, Asking, Place};
use sprig_learn::data::{LoadOptions, Overflow};
use sprig_report::RunRecord;
use sprig_run::{Base, Data};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A training before anything is planned.
pub struct Opening<'a> {
    /// The model's file.
    pub base: &'a Base<'a>,
    /// The examples.
    pub data: Data,
    /// How they are asked.
    pub asking: Asking,
    /// The adapter to go on from.
    pub from: Option<AdapterFile>,
    /// Its layers.
    pub kept: Vec<Place>,
    /// Most bytes of the process.
    pub budget: Bytes,
}

impl<'a> Opening<'a> {
    /// Reads the data of a training of the model `base`.
    pub fn read(args: &TrainArgs, base: &'a Base<'a>) -> Result<Self, Failure> {
        let options = asking::by_flags(&args.records, args.shape.len)?;
        let overflow = Some(Overflow::into(files::folder(&args.out)));
        let options = LoadOptions { part: args.part(), overflow, ..options };
        let budget = args.model.budget()?;
        check_writable(&args.out, 0)?;
        check_writable(&record_of(args), 0)?;
        let from = args.from.as_deref().map(|path| adapter(path, base)).transpose()?;
        let kept = from.as_ref().map(|file| file.places(&base.geometry)).transpose()?.unwrap_or_default();
        let train =
            files::data("--data", &args.data, asking::reads_labels(&options) || args.split.is_some())?;
        let held_out = files::data("--eval-data", &args.eval_data, false)?;
        let data = base.data(&train, &held_out, options.clone(), budget)?;
        let asking = options.asking(data.train.labels());
        asking.check().map_err(|e| Failure::new(Exit::Usage, e))?;
        Ok(Self { base, data, asking, from, kept, budget })
    }
}

/// Says what is made of the data: how they are split, what labels are answered by, and what is lost of texts that are too
/// long, or was never there.
pub fn tell(args: &TrainArgs, data: &Data) {
    let output = Output::new(args.model.json);
    let held_out = data.held_out.as_ref().map(|set| (held_out_name(args), set));
    if let (Some(_), Some((name, set))) = (args.split, &held_out) {
        let event = json!({ "event": "split", "train": data.train.len(), "held_out": set.len() });
        output.event(event, || {
            Some(format!("{} examples to learn from, {} held out ({name})", data.train.len(), set.len()))
        });
    }
    if let Some((labels, told)) = data.train.labels().and_then(|l| asking::renamed(l).map(|told| (l, told))) {
        let words: BTreeMap<_, _> = labels.renamed().collect();
        output.event(json!({ "event": "words", "words": words }), || Some(told));
    }
    for (name, set) in std::iter::once((shown(&args.data), &data.train)).chain(held_out) {
        if set.empty() > 0 {
            let event = json!({ "event": "empty", "data": name, "n": set.len(), "empty": set.empty() });
            output.event(event, || {
                let (empty, n) = (set.empty(), set.len());
                Some(format!("{name}: {empty} of {n} records have no text; take them out, or add it"))
            });
        }
        let Some(cut) = asking::cut(set, args.shape.len.get()) else { continue };
        let event = json!({
            "event": "cut", "data": name, "n": set.len(), "cut": set.cut(), "len": args.shape.len,
            "len_for_95_percent": set.len_for(0.95),
        });
        output.event(event, || Some(format!("{name}: {cut}")));
    }
}

/// What the held-out data are called.
pub fn held_out_name(args: &TrainArgs) -> String {
    match args.split {
        Some(share) => format!("{}% of {}", 100.0 * share, shown(&args.data)),
        None => shown(&args.eval_data),
    }
}

/// Where the record of a training goes.
pub fn record_of(args: &TrainArgs) -> PathBuf {
    args.run.clone().unwrap_or_else(|| beside(&args.out, "run.json"))
}

/// Writes the record of a training. One that nobody asked for takes nothing from a training that is done.
pub fn keep_record(args: &TrainArgs, record: &RunRecord) -> Result<(), Failure> {
    match record.write(&record_of(args)) {
        Err(error) if args.run.is_none() => problem(format!("{error}; the adapter is whole")),
        written => written?,
    }
    Ok(())
}

/// Refuses to go on with a training that is over: it would begin anew, over the adapter that it made.
pub fn check_resumes(args: &TrainArgs) -> Result<(), Failure> {
    let checkpoint = beside(&args.out, "ckpt");
    if !args.resume || checkpoint.exists() || !args.out.exists() {
        return Ok(());
    }
    let (out, checkpoint) = (args.out.display(), checkpoint.display());
    let message = format!(
        "--resume: there is no checkpoint {checkpoint}, but {out} is there, so that training is over; give --from {out} and \
         another --out to train it further, or leave --resume out to train anew over it"
    );
    Err(Failure::new(Exit::Usage, message))
}

/// No result over what is read, nor over another.
pub fn check_files(args: &TrainArgs) -> Result<(), Failure> {
    let sums = beside(&args.out, "sums");
    // Sums may be added to in place: they are read whole before they are written.
    let other = args.add_to.as_deref().filter(|path| *path != sums);
    Files::new()
        .reads("--model", args.model.model.as_path())
        .reads_all("--data", &args.data)
        .reads("--config", args.config.as_deref())
        .reads_all("--eval-data", &args.eval_data)
        .reads("--add-to", other)
        .reads("--from", args.from.as_deref())
        .writes("--out", args.out.as_path(), Content::Adapter)
        .writes("--run", record_of(args).as_path(), Content::Record)
        .keeps("the checkpoint of --out", &beside(&args.out, "ckpt"))
        .keeps("the activations kept for --out", &beside(&args.out, "prefix"))
        .keeps("what preferences of --out are measured against", &beside(&args.out, "references"))
        .keeps("the sums of --out", &sums)
        .check()
}
