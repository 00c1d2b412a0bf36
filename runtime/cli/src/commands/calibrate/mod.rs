//! `sprig calibrate`: how sure a model is of its labels or choices, and whether rightly.

mod candidates;
mod dump;
mod page;

use crate::args::CalibrateArgs;
use crate::asking;
use crate::exit::{Exit, Failure};
use crate::files::{self, Content, Files, check_writable};
use crate::interrupt::Interrupt;
use crate::output::Output;
use crate::worn::Worn;
use candidates::{Found, told};
use dump::{Options, read, write};
use page::Diagram;
use serde_json::json;
use sprig_budget::{Bytes, alloc, process};
use sprig_engine::adapter::{Adapter, AdapterFile, AdapterMeta, Asking};
use sprig_ground::file;
use sprig_learn::LearnError;
use sprig_learn::calibration::{Bins, Difference, Item, Scores, crossed, difference, temperature};
use sprig_learn::data::{DataSet, Target, Task};
use sprig_learn::minibatch::Minibatch;
use sprig_learn::objective::Candidates;
use sprig_learn::outcome::Outcome;
use sprig_learn::session::Session;
use sprig_learn::workload::Workload;
use sprig_run::{Base, Data};
use std::path::Path;
use std::sync::Arc;

pub fn run(args: &CalibrateArgs) -> Result<Exit, Failure> {
    check_files(args)?;
    let map = args.model.open()?;
    let base = Base::open(&map)?;
    let worn = Worn::open(args.adapter.as_deref(), &args.personal, &base)?;
    let (file, asked) = worn.asking();
    let options = asking::by_adapter(&args.records, args.len, file.zip(asked))?;
    if options.task == Task::Lm {
        let message = "--task lm has no answers to be sure of among others; use --task label, choice or pair";
        return Err(Failure::new(Exit::Usage, message));
    }
    if options.task != Task::Label && args.out.is_some() {
        let message = "--out keeps the temperature of labels, and --task label alone has some; leave it out";
        return Err(Failure::new(Exit::Usage, message));
    }
    if let Some(path) = file.filter(|_| args.out.is_some() && asked.is_none()) {
        let message = format!(
            "{} does not say how it is asked, so that a temperature in it would be of no use; train it with this program, or \
             leave --out out",
            path.display()
        );
        return Err(Failure::new(Exit::BadFile, message));
    }
    if options.task == Task::Pair && args.best_of.is_some() {
        let message =
            "--best-of picks a label or letter behind each reasoning, and --task pair has none; leave it out";
        return Err(Failure::new(Exit::Usage, message));
    }
    let own_labels = asking::reads_labels(&options);
    let budget = args.model.budget()?;
    let path = files::data("--data", &args.data, own_labels)?;
    let data = base.data(&path, &args.validation, options, budget)?;
    let mut output = Output::new(args.model.json);
    let held = held(&data);
    let (items, validation) = judged(args, (&base, budget), worn, &data, held, &mut output)?;
    let scores = Scores::of(&items, validation.as_deref(), args.seed);
    let names = Options::of(&data.train);
    let against =
        args.against.as_deref().map(|path| compare(path, (&items, &names), args.seed)).transpose()?;
    if let Some(path) = &args.dump {
        write(path, &items, &names)?;
    }
    if let Some(path) = &args.page {
        let scaled = match &validation {
            Some(validation) => {
                let fitted = temperature(validation);
                Bins::of(15, items.iter().map(|item| item.confidence(fitted)))
            }
            None => Bins::of(15, crossed(&items, args.seed)),
        };
        let bins = Bins::of(15, items.iter().map(|item| item.confidence(1.0)));
        let diagram =
            Diagram { scores: &scores, bins: &bins, scaled: &scaled, command: super::command_line() };
        file::write(path, diagram.render(super::record::now()).as_bytes())?;
    }
    let drawn = args
        .best_of
        .map(|best_of| candidates::draw(args, best_of, (&base, budget), &data, held, &mut output))
        .transpose()?;
    if let Some((from, out)) = args.adapter.as_deref().zip(args.out.as_deref()) {
        write_tempered(from, out, scores.temperature as f32, &base)?;
    }
    tell(&output, &scores, against.as_ref(), drawn.as_ref())?;
    Ok(Exit::Done)
}

/// Writes the adapter of the file `from` anew, with the temperature of its labels.
fn write_tempered(from: &Path, out: &Path, temperature: f32, base: &Base<'_>) -> Result<(), Failure> {
    let file = AdapterFile::open(from)?;
    let asking = file.meta().asking.clone().map(|asking| Asking { temperature: Some(temperature), ..asking });
    let meta = AdapterMeta { asking, ..file.meta().clone() };
    Ok(file.load(&base.geometry)?.write(out, &meta)?)
}

/// Judges the data, and those that the temperature is fitted to.
fn judged(
    args: &CalibrateArgs,
    (base, budget): (&Base<'_>, Bytes),
    worn: Worn,
    data: &Data,
    held: (&'static str, Bytes),
    output: &mut Output,
) -> Result<(Vec<Item>, Option<Vec<Item>>), Failure> {
    let candidates = Candidates::new(sets(data).map(widest).max().unwrap_or(0));
    let (adapted, batch) = (worn.adapted(base), args.batch.as_usize());
    let work = Workload::evaluation(Arc::new(candidates.clone()), adapted, batch, args.model.means());
    let held_elsewhere = work.held_elsewhere.iter().cloned().chain([held]).collect();
    let planned = base.plan(data.measure(Workload { held_elsewhere, ..work }), budget, None)?;
    let engine = base.engine(&planned)?;
    let adapter = worn.load(&engine)?;
    let mut session = engine.session(&planned, None)?;
    let mut judge = Judge {
        session: &mut session,
        adapter: adapter.as_ref(),
        candidates,
        examples: planned.tuning.cut.examples,
        interrupt: Interrupt::listen(),
    };
    let items = judge.items(&data.train, "judging", output)?;
    let validation = data.held_out.as_ref().map(|set| judge.items(set, "validation", output)).transpose()?;
    Ok((items, validation))
}

fn sets(data: &Data) -> impl Iterator<Item = &DataSet> {
    std::iter::once(&data.train).chain(&data.held_out)
}

/// What judged items take.
fn held(data: &Data) -> (&'static str, Bytes) {
    let (items, most) =
        (sets(data).map(DataSet::len).sum::<usize>(), sets(data).map(widest).max().unwrap_or(0));
    ("items", Bytes((items * (size_of::<Item>() + 8 * most + 64)) as u64))
}

fn tell(
    output: &Output,
    scores: &Scores,
    against: Option<&Difference>,
    drawn: Option<&Found>,
) -> Result<(), Failure> {
    let mut event = json!(scores);
    event["against"] = json!(against);
    event["best_of"] = json!(drawn);
    event["peak_rss_bytes"] = json!(process::status().peak_rss);
    output.event(event, || {
        let Scores { n, accuracy, ece15, gap, brier, nll, auroc, temperature, ece15_scaled, floor15, set_size90, .. } =
            scores;
        let share = |v: f64| 100.0 * v;
        let auroc = auroc.map_or_else(|| "-".to_owned(), |a| format!("{a:.3}"));
        let mut text = format!(
            "{n} judged, {:.1} % right; calibration error {:.2} % (a calibrated model's would be {:.2} %), confidence {:+.2} \
             points over accuracy; Brier {brier:.4}, log-likelihood -{nll:.4}, AUROC {auroc}; with temperature \
             {temperature:.3}: {:.2} %; {set_size90:.2} options hold the answer nine times in ten",
            share(*accuracy),
            share(*ece15),
            share(*floor15),
            share(*gap),
            share(*ece15_scaled),
        );
        if let Some(Difference { ece15, ece15_interval: [from, to], .. }) = against {
            text += &format!(
                "\nagainst the other: error {:+.2} points ({:+.2} to {:+.2})",
                share(*ece15),
                share(*from),
                share(*to)
            );
        }
        Some(text + &drawn.map_or_else(String::new, told))
    });
    Ok(())
}

/// Compares with what the file at `path` says of the same items.
fn compare(path: &Path, (items, names): (&[Item], &Options), seed: u64) -> Result<Difference, Failure> {
    let other = read(path, names, items.len())?;
    let same = other.len() == items.len() && other.iter().zip(items).all(|(a, b)| a.answer == b.answer);
    difference(items, &other, seed).filter(|_| same).ok_or_else(|| {
        let message = format!(
            "{}: its {} items are not the {} judged here; give a dump of the same --data",
            path.display(),
            other.len(),
            items.len()
        );
        Failure::new(Exit::BadFile, message)
    })
}

/// Who judges items.
struct Judge<'j, 'm> {
    session: &'j mut Session<'m>,
    adapter: Option<&'j Adapter>,
    candidates: Candidates,
    examples: usize,
    interrupt: Interrupt,
}

impl Judge<'_, '_> {
    /// All of `set`.
    fn items(&mut self, set: &DataSet, what: &str, output: &mut Output) -> Result<Vec<Item>, Failure> {
        let (mut items, mut judged) = (Vec::<Item>::with_capacity(set.len()), 0);
        let ids: Vec<usize> = (0..set.len()).collect();
        let mut outcomes = vec![Outcome::default(); self.examples];
        output.begin(what, set.len() as u64, 0);
        for part in ids.chunks(self.examples) {
            let batch = Minibatch::new(set, part);
            self.session.run(self.adapter, None, batch, &mut outcomes[..part.len()], &mut [])?;
            for (e, (id, example)) in batch.examples().enumerate() {
                let mut scores = self.candidates.scores(self.session.parts(), e, &example);
                match (example.target, items.last_mut()) {
                    // One more wrong answer to the question before.
                    (Target::Pair { .. }, Some(item)) if goes_on(set, id) => {
                        item.logits.extend(scores.nth(1))
                    }
                    (Target::Pair { .. }, _) => items.push(Item { logits: scores.collect(), answer: 0 }),
                    (Target::Label { answer, .. }, _) => {
                        items.push(Item { logits: scores.collect(), answer });
                    }
                    (Target::Lm { .. }, _) => {}
                }
            }
            alloc::check()?;
            if self.interrupt.raised() {
                return Err(Failure::new(Exit::Interrupted, "interrupted; nothing was written"));
            }
            judged += part.len();
            output.at(judged as u64, || what.to_owned());
        }
        output.end();
        if items.iter().flat_map(|item| &item.logits).any(|l| !l.is_finite()) {
            let message = "a logit is no finite number; the training of the adapter diverged".to_owned();
            return Err(LearnError::Settings(message).into());
        }
        Ok(items)
    }
}

/// Whether pair `id` is about the question of the pair before, and its right answer: another wrong one stands against it.
fn goes_on(set: &DataSet, id: usize) -> bool {
    let right = |id: usize| {
        let example = set.example(id);
        match example.target {
            Target::Pair { first, second } => Some((first, &example.tokens[..second])),
            Target::Label { .. } | Target::Lm { .. } => None,
        }
    };
    id.checked_sub(1).is_some_and(|before| right(before) == right(id))
}

/// Most candidates of an example.
fn widest(set: &DataSet) -> usize {
    let of = |i: usize| match set.example(i).target {
        Target::Label { candidates, .. } => candidates.len(),
        Target::Pair { .. } => 2,
        Target::Lm { .. } => 0,
    };
    (0..set.len()).map(of).max().unwrap_or(0)
}

/// No result over what is read, nor over another.
fn check_files(args: &CalibrateArgs) -> Result<(), Failure> {
    Files::new()
        .reads("--model", args.model.model.as_path())
        .reads("--adapter", args.adapter.as_deref())
        .reads("--personal", args.personal.personal.as_deref())
        .reads_all("--data", &args.data)
        .reads_all("--validation", &args.validation)
        .reads("--against", args.against.as_deref())
        .writes("--out", args.out.as_deref(), Content::Adapter)
        .writes("--dump", args.dump.as_deref(), Content::Dump)
        .writes("--candidates", args.candidates.as_deref(), Content::Dump)
        .writes("--page", args.page.as_deref(), Content::Page)
        .check()?;
    [&args.out, &args.dump, &args.candidates, &args.page]
        .into_iter()
        .flatten()
        .try_for_each(|path| check_writable(path, 0))
}
