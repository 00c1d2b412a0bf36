//! `sprig classify`: the labels of texts, by an adapter that is asked exactly what it was trained to answer.

use super::answers::Answers;
use crate::args::ClassifyArgs;
use crate::asking;
use crate::exit::{Exit, Failure};
use crate::files::{Content, Files, all, beside, check_writable, shown};
use crate::interrupt::Interrupt;
use crate::output::{Output, line};
use crate::worn::Worn;
use serde_json::json;
use sprig_budget::{Bytes, alloc, process};
use sprig_engine::adapter::Adapter;
use sprig_learn::LearnError;
use sprig_learn::calibration::probabilities;
use sprig_learn::data::{Asker, MAX_TEXT, Texts};
use sprig_learn::minibatch::Minibatch;
use sprig_learn::objective::Candidates;
use sprig_learn::outcome::Outcome;
use sprig_learn::session::Session;
use sprig_learn::workload::Workload;
use sprig_run::Base;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Labels of which the last line tells how many texts have them.
const SHOWN: usize = 12;

pub fn run(args: &ClassifyArgs) -> Result<Exit, Failure> {
    check_files(args)?;
    let map = args.model.open()?;
    let base = Base::open(&map)?;
    base.check_length(args.len.as_usize())?;
    let worn = Worn::open(args.adapter.as_deref(), &args.personal, &base)?;
    let (path, asking) = worn.asking();
    let options = asking::trained_labels("sprig classify", path, asking, args.len.as_usize())?;
    let tokenizer = base.tokenizer()?;
    let asker = Asker::new(base.map.path(), &options, &tokenizer)?;
    let candidates = Candidates::new(asker.labels().names().len());
    let batch = if args.text.is_some() { 1 } else { args.batch.as_usize() };
    let work =
        Workload::evaluation(Arc::new(candidates.clone()), worn.adapted(&base), batch, args.model.means());
    let work = Workload {
        length: args.len.as_usize(),
        candidates: asker.labels().names().len(),
        held_elsewhere: vec![
            ("tokenizer", base.tokenizer_bytes()),
            ("texts under way", Bytes((Texts::BYTES + 3 * batch * MAX_TEXT) as u64)),
        ],
        ..work
    };
    let planned = base.plan(work, args.model.budget()?, None)?;
    let engine = base.engine(&planned)?;
    let adapter = worn.load(&engine)?;
    let mut session = engine.session(&planned, None)?;
    let examples = planned.tuning.cut.examples;
    let temperature = args.temperature.map_or(asker.temperature(), |given| f64::from(given.get()));
    let mut classifier =
        Classifier { asker, session: &mut session, adapter: adapter.as_ref(), candidates, temperature };
    match (&args.text, &args.out) {
        (Some(text), _) => one(args, &mut classifier, text),
        (None, Some(out)) => many(args, &mut classifier, out, examples),
        (None, None) => Err(Failure::new(Exit::Usage, "--data needs --out, for the answers")),
    }
}

/// Who says which label a text has.
struct Classifier<'c, 'm, 't> {
    asker: Asker<'t>,
    session: &'c mut Session<'m>,
    adapter: Option<&'c Adapter>,
    candidates: Candidates,
    temperature: f64,
}

/// What was found of a text.
struct Found {
    /// Of each label, in their order.
    shares: Vec<f64>,
    /// Whether the text lost its end.
    cut: bool,
}

impl Classifier<'_, '_, '_> {
    /// Asks about some texts, no more than the session has room for.
    fn ask(&mut self, texts: &[String]) -> Result<Vec<Found>, Failure> {
        let (set, cut) = self.asker.set(texts)?;
        let ids: Vec<usize> = (0..set.len()).collect();
        let batch = Minibatch::new(&set, &ids);
        let mut outcomes = vec![Outcome::default(); ids.len()];
        self.session.run(self.adapter, None, batch, &mut outcomes, &mut [])?;
        alloc::check()?;
        let found = batch.examples().zip(cut).enumerate().map(|(e, ((_, example), cut))| {
            let logits: Vec<f64> = self.candidates.scores(self.session.parts(), e, &example).collect();
            if logits.iter().any(|l| !l.is_finite()) {
                let message = "a logit is no finite number; the training of the adapter diverged".to_owned();
                return Err(LearnError::Settings(message).into());
            }
            Ok(Found { shares: probabilities(&logits, self.temperature), cut })
        });
        found.collect()
    }
}

impl Classifier<'_, '_, '_> {
    /// Answers all of `texts`, the last of which is row `last`.
    fn answer(&mut self, texts: &mut Vec<String>, last: u64, answers: &mut Answers) -> Result<(), Failure> {
        if texts.is_empty() {
            return Ok(());
        }
        let found = self.ask(texts)?;
        let first = last + 1 - texts.len() as u64;
        let names = self.asker.labels().names();
        for ((found, text), row) in found.iter().zip(texts.drain(..)).zip(first..) {
            let best = found.best();
            let (label, share) = (&names[best], found.shares[best]);
            let answer =
                json!({ "row": row, "label": label, "share": share, "cut": found.cut, "text": text });
            answers.take(row, &answer)?;
        }
        answers.flush()
    }
}

impl Found {
    /// The place of the likeliest label; of equals the first.
    fn best(&self) -> usize {
        let first = (0, f64::NEG_INFINITY);
        self.shares.iter().enumerate().fold(first, |b, (i, p)| if *p > b.1 { (i, *p) } else { b }).0
    }
}

/// Prints the labels of one text by their share, the winner marked.
fn one(args: &ClassifyArgs, classifier: &mut Classifier<'_, '_, '_>, text: &str) -> Result<Exit, Failure> {
    let found = classifier.ask(&[text.to_owned()])?;
    let Some(found) = found.first() else { return Ok(Exit::Done) };
    let names = classifier.asker.labels().names();
    let mut order: Vec<usize> = (0..names.len()).collect();
    order.sort_by(|&a, &b| found.shares[b].total_cmp(&found.shares[a]).then(a.cmp(&b)));
    if args.model.json {
        let each = order.iter().map(|&i| json!({ "label": names[i], "share": found.shares[i] }));
        line(json!({
            "label": names[found.best()], "share": found.shares[found.best()], "cut": found.cut,
            "temperature": classifier.temperature,
            "labels": each.collect::<Vec<_>>(), "peak_rss_bytes": process::status().peak_rss,
        }))?;
        return Ok(Exit::Done);
    }
    for (place, &i) in order.iter().enumerate() {
        let mark = if place == 0 { '*' } else { ' ' };
        line(format_args!("{mark} {:5.1} %  {}", 100.0 * found.shares[i], names[i]))?;
    }
    if found.cut {
        line(format_args!("the text was cut to {} tokens; --len asks about more of it", args.len))?;
    }
    Ok(Exit::Done)
}

/// Labels the texts of files, in answers that a run that was stopped goes on from.
fn many(
    args: &ClassifyArgs,
    classifier: &mut Classifier<'_, '_, '_>,
    out: &Path,
    examples: usize,
) -> Result<Exit, Failure> {
    let (mut output, interrupt) = (Output::new(args.model.json), Interrupt::listen());
    let files = all(&args.data)?;
    let rows = count(&files, args)?;
    let mut answers = Answers::open(&beside(out, "part"))?;
    let known = answers.rows();
    answers.tell(&output);
    output.begin("classifying", rows, known);
    let (mut row, mut texts) = (0, Vec::with_capacity(examples));
    for path in &files {
        let mut rows = Texts::open(path, args.columns())?;
        while let Some(text) = rows.next()? {
            row += 1;
            // The last that was answered is asked once more: it tells whether these are the same texts and the same adapter.
            if row < known {
                continue;
            }
            texts.push(text);
            if texts.len() == examples || row == known {
                classifier.answer(&mut texts, row, &mut answers)?;
                output.at(row, || "classifying".to_owned());
            }
            if interrupt.raised() {
                output.end();
                return Err(answers.interrupted());
            }
        }
    }
    classifier.answer(&mut texts, row, &mut answers)?;
    output.end();
    let (labels, cut) = answers.counts();
    let event = json!({
        "event": "done", "rows": row, "out": out, "cut": cut, "labels": labels, "peak_rss_bytes": process::status().peak_rss,
    });
    let mut each: Vec<_> = labels.iter().collect();
    each.sort_by_key(|(_, n)| std::cmp::Reverse(**n));
    let mut told: Vec<_> = each.iter().take(SHOWN).map(|(name, n)| format!("{name} {n}")).collect();
    told.extend((each.len() > SHOWN).then(|| "...".to_owned()));
    let cut = if cut > 0 { format!("; {cut} texts were cut to {} tokens", args.len) } else { String::new() };
    answers.finish(row, out)?;
    output
        .event(event, || Some(format!("wrote {}: {row} answers ({}){cut}", out.display(), told.join(", "))));
    Ok(Exit::Done)
}

/// Rows of all files, each of which has a text: what is wrong with one is told before any is asked about.
fn count(files: &[PathBuf], args: &ClassifyArgs) -> Result<u64, Failure> {
    let mut rows = 0;
    for path in files {
        let mut texts = Texts::open(path, args.columns())?;
        while texts.next()?.is_some() {
            rows += 1;
        }
    }
    match rows {
        0 => Err(Failure::new(Exit::BadFile, format!("{}: no rows", shown(&args.data)))),
        _ => Ok(rows),
    }
}

/// No result over what is read, nor over another.
fn check_files(args: &ClassifyArgs) -> Result<(), Failure> {
    let part = args.out.as_ref().map(|out| beside(out, "part"));
    Files::new()
        .reads("--model", args.model.model.as_path())
        .reads("--adapter", args.adapter.as_deref())
        .reads("--personal", args.personal.personal.as_deref())
        .reads_all("--data", &args.data)
        .writes("--out", args.out.as_deref(), Content::Answers)
        .writes("answers so far", part.as_deref(), Content::Answers)
        .check()?;
    args.out.as_deref().map_or(Ok(()), |out| check_writable(out, 0))
}
