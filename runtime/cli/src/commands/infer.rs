//! `sprig infer`: continue a prompt, by the likeliest tokens or drawn ones.

use super::best_of::BestOf;
use super::pick::Answers;
use super::prompts::{self, capacity};
use crate::args::InferArgs;
use crate::asking;
use crate::exit::{Exit, Failure};
use crate::output::{line, problem};
use crate::worn::{Routes, Worn};
use sprig_budget::{alloc, process};
use sprig_engine::adapter::Asking;
use sprig_engine::model::Generator;
use sprig_engine::tokenizer::Tokenizer;
use sprig_learn::data::{Asker, prompt};
use sprig_learn::sampling::{Chooser, Decoding, Stops, Writing};
use sprig_learn::workload::Workload;
use sprig_run::Base;
use std::borrow::Cow;
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// Bytes of a prompt that are read from standard input at most: a context of 131,072 tokens, and room to spare.
const MOST_PROMPT: u64 = 1 << 20;

pub fn run(args: &InferArgs) -> Result<Exit, Failure> {
    let decoding = decoding(args)?;
    if let Some(out) = &args.out {
        return prompts::run(args, &decoding, out);
    }
    let map = args.model.open()?;
    let base = Base::open(&map)?;
    let worn = Worn::open(args.adapter.as_deref(), &args.personal, &base)?;
    let tokenizer = base.tokenizer()?;
    let (tokens, answers) = question(args, &base, worn.asking(), &tokenizer)?;
    let candidates = args.best_of.map(|best_of| BestOf::new(args, best_of, &tokenizer)).transpose()?;
    let more = match (&candidates, &answers) {
        (Some(candidates), _) => candidates.tokens(),
        (None, Some(_)) => 0,
        (None, None) => args.max_tokens,
    };
    let g = &base.geometry;
    let capacity = capacity(tokens.len(), more, g.context)?;
    let work = Workload::generation(worn.adapted(&base), capacity, args.model.means());
    let chooser = ("choice of tokens", Chooser::bytes(g.vocabulary));
    let work = Workload { held_elsewhere: vec![chooser], ..work };
    let planned = base.plan(work, args.model.budget()?, None)?;
    let engine = base.engine(&planned)?;
    let adapter = worn.load(&engine)?;
    // What was trained and judged in f32 is answered so.
    let exact = args.exact || args.label.is_some();
    let mut generator = Generator::new(&engine.model, adapter.as_ref(), &engine.ctx, capacity, !exact)?;
    let start = Instant::now();
    generator.feed(&tokens)?;
    let prefill = start.elapsed();
    if let Some(candidates) = candidates {
        candidates.answer(&tokenizer, &mut generator, &tokens)?;
        return Ok(Exit::Done);
    }
    let routes = Routes::of(&args.personal, adapter.as_ref(), generator.shares());
    if let Some(answers) = answers {
        answers.print(args, generator.logits(), (tokens.len(), rate(tokens.len(), prefill)), &routes)?;
        return Ok(Exit::Done);
    }
    let top = top_logits(generator.logits());
    let mut chooser = Chooser::new(base.geometry.vocabulary);
    let writing = Writing::begin(&tokenizer, &mut chooser, decoding, &tokens, args.max_tokens);
    let written = write(args, writing, &mut generator)?;
    // The first token came with the prompt: one decode step fewer than tokens written.
    let steps = (written.tokens as usize).saturating_sub(1);
    if args.model.json {
        line(serde_json::json!({
            "text": written.text,
            "tokens": written.tokens,
            "prompt_tokens": tokens.len(),
            "top_logits": top,
            "gates": routes.gates,
            "local_blocks": routes.local,
            "prefill_tokens_per_s": rate(tokens.len(), prefill),
            "decode_tokens_per_s": rate(steps, written.took),
            "peak_rss_bytes": process::status().peak_rss,
        }))?;
    } else {
        line("")?;
        routes.told().map_or(Ok(()), line)?;
        let (prefill, decode) = (rate(tokens.len(), prefill), rate(steps, written.took));
        problem(format_args!(
            "{} prompt tokens at {prefill:.0} tokens/s, {steps} more at {decode:.1} tokens/s",
            tokens.len()
        ));
    }
    Ok(Exit::Done)
}

/// How the answer is written, if it is written freely.
fn decoding(args: &InferArgs) -> Result<(Decoding, Stops), Failure> {
    let picks = args.label.is_some() || !args.choices.is_empty() || args.best_of.is_some();
    if let Some(flag) = args.decoding.given(args.best_of.is_none()).filter(|_| picks) {
        let message = match (args.best_of, &args.label) {
            (Some(_), _) => {
                format!("{flag} is for one answer that is written freely; leave it or --best-of out")
            }
            (None, Some(_)) => {
                format!("{flag} draws words, and --label takes the likeliest label; leave it out")
            }
            (None, None) => format!(
                "{flag} draws words, and --choices takes the likeliest choice; leave it out, or add --best-of"
            ),
        };
        return Err(Failure::new(Exit::Usage, message));
    }
    args.decoding.asked().map_err(|e| Failure::new(Exit::Usage, e))
}

/// The prompt, from the command line or from standard input, which may end in one line break that is not part of it.
fn asked(args: &InferArgs) -> Result<Cow<'_, str>, Failure> {
    let prompt = args.prompt.as_deref().unwrap_or_default();
    if prompt != "-" {
        return Ok(prompt.into());
    }
    let bad = |message: String| Failure::new(Exit::BadFile, format!("standard input {message}"));
    let mut text = String::new();
    let read = std::io::stdin().lock().take(MOST_PROMPT + 1).read_to_string(&mut text);
    read.map_err(|e| bad(format!("cannot be read as a prompt: {e}; give UTF-8 text")))?;
    if text.len() as u64 > MOST_PROMPT {
        return Err(bad(format!("has more than the {MOST_PROMPT} bytes that a prompt may have; shorten it")));
    }
    let whole = text.strip_suffix('\n').map_or(text.len(), |text| text.trim_end_matches('\r').len());
    text.truncate(whole);
    Ok(text.into())
}

/// What is asked, in tokens, and the answers to pick from if any were named: by the flags, or by the adapter.
fn question(
    args: &InferArgs,
    base: &Base<'_>,
    (path, asking): (Option<&Path>, Option<&Asking>),
    tokenizer: &Tokenizer,
) -> Result<(Vec<u32>, Option<Answers>), Failure> {
    if let Some(text) = &args.label {
        let options = asking::labelling(path, asking, base.geometry.context)?;
        let mut asker = Asker::new(base.map.path(), &options, tokenizer)?;
        let asked = asker.ask(text)?;
        let answers = Answers::labels(asker.labels(), asked.cut);
        return Ok((asked.tokens, Some(answers)));
    }
    let text = asked(args)?;
    let tokens = prompt(tokenizer, args.raw, &text)?;
    if tokens.is_empty() {
        return Err(Failure::new(Exit::Usage, "--prompt is empty; give at least one character to continue"));
    }
    // What several reasonings lead to follows them, not the prompt.
    if args.choices.is_empty() || args.best_of.is_some() {
        return Ok((tokens, None));
    }
    let mut answers = Answers::new(&args.choices, args.raw, &text, tokenizer)?;
    answers.warning = path
        .zip(asking)
        .and_then(|(path, asking)| asking::warning(path, asking, &text, args.raw, &args.choices));
    if let Some(warning) = &answers.warning {
        problem(format_args!("sprig: warning: {warning}"));
    }
    Ok((tokens, Some(answers)))
}

/// An answer.
#[derive(Default)]
struct Written {
    text: String,
    tokens: u32,
    took: Duration,
}

/// Writes the answer, as it comes unless JSON is wanted.
fn write(
    args: &InferArgs,
    mut writing: Writing<'_>,
    generator: &mut Generator<'_>,
) -> Result<Written, Failure> {
    let (mut written, start) = (Written::default(), Instant::now());
    loop {
        let step = writing.step(generator.logits());
        let mut stdout = std::io::stdout();
        if !args.model.json && write!(stdout, "{}", step.text).and_then(|()| stdout.flush()).is_err() {
            break; // nobody reads on; what went wrong the last line finds out
        }
        written.text.push_str(&step.text);
        alloc::check()?;
        if step.end.is_some() {
            break;
        }
        generator.feed(&[step.token])?;
    }
    (written.tokens, written.took) = (writing.tokens(), start.elapsed());
    Ok(written)
}

fn rate(tokens: usize, took: Duration) -> f64 {
    tokens as f64 / took.as_secs_f64().max(1e-9)
}

/// The ten largest logits as (token id, logit): what other programs can be compared by.
fn top_logits(logits: &[f32]) -> Vec<(usize, f32)> {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
    order.into_iter().take(10).map(|i| (i, logits[i])).collect()
}
