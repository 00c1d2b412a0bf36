//! Confidence@k on data: several reasonings about each question, and what their answers come to.

use super::dump::Options;
use super::widest;
use crate::args::CalibrateArgs;
use crate::commands::drawing::{Drawing, again};
use crate::commands::pick::Answers;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::output::Output;
use crate::worn::Worn;
use serde::Serialize;
use serde_json::{Map, Value, json};
use sprig_budget::Bytes;
use sprig_engine::model::Generator;
use sprig_engine::tokenizer::{Specials, Tokenizer};
use sprig_ground::{PathError, file};
use sprig_learn::calibration::{AtK, Dependence, Question, counts};
use sprig_learn::data::{DataSet, Target};
use sprig_learn::directions::run_key;
use sprig_learn::sampling::{ConfidenceAt, Sampler};
use sprig_learn::workload::Workload;
use sprig_run::{Base, Data};
use std::path::Path;

/// What candidates come to.
#[derive(Serialize)]
pub struct Found {
    /// By their number.
    pub at: Vec<AtK>,
    /// Whether the others' confidences say what one's own does not; none of confidence at tokens.
    pub dependence: Option<Dependence>,
}

/// Draws and judges `best_of` reasonings about each question of the data within `budget`, beside what is `held`.
pub fn draw(
    args: &CalibrateArgs,
    best_of: u32,
    (base, budget): (&Base<'_>, Bytes),
    data: &Data,
    held: (&'static str, Bytes),
    output: &mut Output,
) -> Result<Found, Failure> {
    let set = &data.train;
    let (tokenizer, options) = (base.tokenizer()?, Options::of(set));
    let drawing = Drawing {
        sampler: Sampler { key: run_key(args.seed), temperature: args.temperature.get() },
        max_tokens: args.max_tokens,
        cue: tokenizer.encode(&args.cue, Specials::Plain),
    };
    let names: Vec<String> = (0..widest(set)).map(|i| options.name(i)).collect();
    let answers = Answers::new(&names, true, &args.cue, &tokenizer).map_err(|_| {
        let message = "two answers begin with the same token behind --cue; give one behind which they do not";
        Failure::new(Exit::Usage, message)
    })?;
    let longest = (0..set.len()).map(|i| question(set, i).0.len()).max().unwrap_or(0);
    let (capacity, context) = (longest + drawing.tokens() as usize, base.geometry.context);
    if capacity > context {
        let message = format!(
            "a question of {longest} tokens with --max-tokens {} and --cue exceeds the model's context of {context} tokens",
            args.max_tokens
        );
        return Err(Failure::new(Exit::Usage, message));
    }
    let worn = Worn::open(args.adapter.as_deref(), &args.personal, base)?;
    let work = data.measure(Workload::generation(worn.adapted(base), capacity, args.model.means()));
    let shares = set.len() * best_of as usize * (size_of::<Vec<f64>>() + 8 * names.len() + 16);
    let more = [held, ("candidates", Bytes(shares as u64))];
    let held_elsewhere = work.held_elsewhere.iter().cloned().chain(more).collect();
    let planned =
        base.plan(Workload { length: capacity, candidates: 0, held_elsewhere, ..work }, budget, None)?;
    let engine = base.engine(&planned)?;
    let adapter = worn.load(&engine)?;
    let mut generator = Generator::new(&engine.model, adapter.as_ref(), &engine.ctx, capacity, true)?;
    let (what, interrupt, mut questions) = ("reasoning", Interrupt::listen(), Vec::with_capacity(set.len()));
    output.begin(what, set.len() as u64, 0);
    for i in 0..set.len() {
        questions.push(asked(
            &drawing,
            (args.conf_at, best_of),
            (&tokenizer, &answers),
            &mut generator,
            (set, i),
        )?);
        if interrupt.raised() {
            return Err(Failure::new(Exit::Interrupted, "interrupted before all reasonings were drawn"));
        }
        output.at(i as u64 + 1, || what.to_owned());
    }
    output.end();
    if let Some(path) = &args.candidates {
        write(path, &questions, &options)?;
    }
    let by_tokens =
        || counts(best_of as usize).enumerate().map(|(place, k)| AtK::alone(&questions, place, k));
    Ok(match args.conf_at {
        ConfidenceAt::Sample => {
            Found { at: AtK::each(&questions), dependence: Dependence::of(&questions, args.seed) }
        }
        ConfidenceAt::Token => Found { at: by_tokens().collect(), dependence: None },
    })
}

/// The candidates of question `i` of `set`: each a reasoning of its own, or where the surest is taken of each token one for each
/// number of draws that is told of.
fn asked(
    drawing: &Drawing,
    (at, best_of): (ConfidenceAt, u32),
    (tokenizer, answers): (&Tokenizer, &Answers),
    generator: &mut Generator<'_>,
    (set, i): (&DataSet, usize),
) -> Result<Question, Failure> {
    let (tokens, options, answer) = question(set, i);
    let draws: Vec<u32> = match at {
        ConfidenceAt::Sample => vec![1; best_of as usize],
        ConfidenceAt::Token => counts(best_of as usize).map(|k| k as u32).collect(),
    };
    generator.rewind(0);
    generator.feed(tokens)?;
    let mut candidates = Vec::with_capacity(draws.len());
    for (place, draws) in draws.into_iter().enumerate() {
        if place > 0 {
            again(generator, tokens)?;
        }
        // Every candidate has texts of its own; those that differ in their draws alone have the same.
        let own = if at == ConfidenceAt::Sample { place as u32 } else { 0 };
        drawing.reason(tokenizer, generator, (i as u32 * MOST + own, draws))?;
        candidates.push(answers.of_first(options, generator.logits())?);
    }
    Ok(Question { answer, candidates })
}

/// Most candidates of a question.
const MOST: u32 = 64;

/// What is asked in example `i` of `set`, in tokens; its number of options, and the right one.
fn question(set: &DataSet, i: usize) -> (&[u32], usize, usize) {
    let example = set.example(i);
    match example.target {
        Target::Label { row, candidates, answer } => (&example.tokens[..=row], candidates.len(), answer),
        Target::Lm { .. } | Target::Pair { .. } => (&[], 0, 0),
    }
}

fn write(path: &Path, questions: &[Question], options: &Options) -> Result<(), Failure> {
    let written = file::replace(path, |out| {
        for (id, Question { answer, candidates }) in questions.iter().enumerate() {
            let named = |shares: &Vec<f64>| -> Map<String, Value> {
                shares.iter().enumerate().map(|(i, &p)| (options.name(i), p.into())).collect()
            };
            let each: Vec<_> = candidates.iter().map(named).collect();
            let line = json!({ "id": id, "answer": options.name(*answer), "candidates": each });
            writeln!(out, "{line}").map_err(PathError::at("write", path))?;
        }
        Ok::<_, PathError>(())
    });
    Ok(written?)
}

/// For people.
pub fn told(found: &Found) -> String {
    let mut text = String::new();
    for AtK { k, confidence, single, majority, soft_vote, oracle, .. } in &found.at {
        let [surest, one, most, sum, any] =
            [confidence, single, majority, soft_vote, oracle].map(|share| 100.0 * share);
        text += &format!(
            "\n{k} reasonings: the surest is right in {surest:.1} %; the first {one:.1} %, most {most:.1} %, their sum {sum:.1} %, \
             any {any:.1} %"
        );
    }
    if let Some(Dependence { correlation, p, .. }) = found.dependence {
        text +=
            &format!("\ncorrectness and the others' confidence: correlation {correlation:+.3}, p = {p:.4}");
    }
    text
}
