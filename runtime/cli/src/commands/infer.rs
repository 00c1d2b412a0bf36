//! `sprig infer`: continue a prompt, greedily.

use super::best_of::BestOf;
use super::pick::Answers;
use crate::args::InferArgs;
use crate::asking;
use crate::exit::{Exit, Failure};
use crate::output::{line, problem};
use crate::worn::{Routes, Worn};
use sprig_budget::{alloc, process};
use sprig_engine::adapter::Asking;
use sprig_engine::model::Generator;
use sprig_engine::tokenizer::{TextStream, Tokenizer};
use sprig_learn::data::{Asker, prompt};
use sprig_learn::workload::Workload;
use sprig_run::Base;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

pub fn run(args: &InferArgs) -> Result<Exit, Failure> {
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
    let (top, first) = (top_logits(generator.logits()), best(generator.logits()));
    let written = write(args, &tokenizer, &mut generator, first)?;
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
        line(written.rest)?;
        routes.told().map_or(Ok(()), line)?;
        let (prefill, decode) = (rate(tokens.len(), prefill), rate(steps, written.took));
        problem(format_args!(
            "{} prompt tokens at {prefill:.0} tokens/s, {steps} more at {decode:.1} tokens/s",
            tokens.len()
        ));
    }
    Ok(Exit::Done)
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
    let text = args.prompt.as_deref().unwrap_or_default();
    let tokens = prompt(tokenizer, args.raw, text)?;
    if tokens.is_empty() {
        return Err(Failure::new(Exit::Usage, "--prompt is empty; give at least one character to continue"));
    }
    // What several reasonings lead to follows them, not the prompt.
    if args.choices.is_empty() || args.best_of.is_some() {
        return Ok((tokens, None));
    }
    let mut answers = Answers::new(&args.choices, args.raw, text, tokenizer)?;
    answers.warning = path
        .zip(asking)
        .and_then(|(path, asking)| asking::warning(path, asking, text, args.raw, &args.choices));
    if let Some(warning) = &answers.warning {
        problem(format_args!("sprig: warning: {warning}"));
    }
    Ok((tokens, Some(answers)))
}

/// Tokens of prompt and answer in all, which have to fit the model's context.
fn capacity(have: usize, more: u32, limit: usize) -> Result<usize, Failure> {
    let capacity = have + more as usize;
    if capacity > limit {
        let and = if more > 0 { format!(" and --max-tokens {more}") } else { String::new() };
        let message = format!("a prompt of {have} tokens{and} exceeds the model's context of {limit} tokens");
        return Err(Failure::new(Exit::Usage, message));
    }
    Ok(capacity)
}

/// An answer.
#[derive(Default)]
struct Written {
    text: String,
    /// The end of the text, which is not printed yet.
    rest: String,
    tokens: u32,
    took: Duration,
}

/// Writes the answer whose first token is `next`, as it comes unless JSON is wanted.
fn write(
    args: &InferArgs,
    tokenizer: &Tokenizer,
    generator: &mut Generator<'_>,
    mut next: u32,
) -> Result<Written, Failure> {
    let (mut written, mut stream, start) = (Written::default(), TextStream::new(), Instant::now());
    while written.tokens < args.max_tokens && Some(next) != tokenizer.eos() {
        let piece = stream.push(&tokenizer.token_bytes(next));
        let mut stdout = std::io::stdout();
        if !args.model.json && write!(stdout, "{piece}").and_then(|()| stdout.flush()).is_err() {
            break; // nobody reads on; what went wrong the last line finds out
        }
        written.text.push_str(&piece);
        written.tokens += 1;
        alloc::check()?;
        if written.tokens < args.max_tokens {
            next = best(generator.feed(&[next])?);
        }
    }
    written.took = start.elapsed();
    written.rest = stream.finish();
    written.text.push_str(&written.rest);
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

fn best(logits: &[f32]) -> u32 {
    logits
        .iter()
        .enumerate()
        .fold((0, f32::NEG_INFINITY), |best, (i, &l)| if l > best.1 { (i, l) } else { best })
        .0 as u32
}
