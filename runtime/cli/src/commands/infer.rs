//! `sprig infer`: continue a prompt, greedily.

use crate::args::InferArgs;
use crate::exit::{Exit, Failure};
use crate::open;
use crate::output::line;
use sprig_budget::{alloc, process};
use sprig_engine::dual::BatchError;
use sprig_engine::model::Generator;
use sprig_engine::tokenizer::{Specials, TextStream, Tokenizer};
use sprig_learn::data::{answer, prompt};
use sprig_learn::workload::Workload;
use sprig_run::Base;
use std::io::Write;
use std::time::{Duration, Instant};

pub fn run(args: &InferArgs) -> Result<Exit, Failure> {
    let map = args.model.open()?;
    let base = Base::open(&map)?;
    let tokenizer = base.tokenizer()?;
    let tokens = prompt(&tokenizer, args.raw, &args.prompt)?;
    if tokens.is_empty() {
        return Err(Failure::new(Exit::Usage, "--prompt is empty; give at least one character to continue"));
    }
    let g = &base.geometry;
    let capacity = capacity(args, tokens.len(), g.context)?;
    let file = args.adapter.as_deref().map(|path| open::adapter(path, &base)).transpose()?;
    let work = Workload::generation(open::adapted(file.as_ref(), g), capacity, args.model.means());
    let planned = base.plan(work, args.model.budget()?, None)?;
    let engine = base.engine(&planned)?;
    let adapter = file.map(|file| file.load(g)).transpose()?;
    let mut generator = Generator::new(&engine.model, adapter.as_ref(), &engine.ctx, capacity, !args.exact)?;
    let start = Instant::now();
    let logits = generator.feed(&tokens)?;
    let prefill = start.elapsed();
    if !args.choices.is_empty() {
        return choose(args, &tokenizer, logits, rate(tokens.len(), prefill));
    }
    let top = top_logits(logits);
    let first = best(logits);
    let written = write(args, &tokenizer, &mut generator, first)?;
    // The first token came with the prompt: one decode step fewer than tokens written.
    let steps = (written.tokens as usize).saturating_sub(1);
    if args.model.json {
        line(serde_json::json!({
            "text": written.text,
            "tokens": written.tokens,
            "prompt_tokens": tokens.len(),
            "top_logits": top,
            "prefill_tokens_per_s": rate(tokens.len(), prefill),
            "decode_tokens_per_s": rate(steps, written.took),
            "peak_rss_bytes": process::status().peak_rss,
        }))?;
    } else {
        line(written.rest)?;
        let (prefill, decode) = (rate(tokens.len(), prefill), rate(steps, written.took));
        eprintln!(
            "{} prompt tokens at {prefill:.0} tokens/s, {steps} more at {decode:.1} tokens/s",
            tokens.len()
        );
    }
    Ok(Exit::Done)
}

/// Tokens of prompt and answer in all, which have to fit the model's context.
fn capacity(args: &InferArgs, have: usize, limit: usize) -> Result<usize, Failure> {
    let capacity = have + args.max_tokens as usize;
    if capacity > limit {
        let more = args.max_tokens;
        let message = format!(
            "a prompt of {have} tokens and --max-tokens {more} exceed the model's context of {limit}"
        );
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

/// Picks one of `--choices` by its first token, as a label or choice adapter was trained to.
fn choose(args: &InferArgs, tokenizer: &Tokenizer, logits: &[f32], rate: f64) -> Result<Exit, Failure> {
    let mut ids = Vec::with_capacity(args.choices.len());
    for choice in &args.choices {
        let text = answer(args.raw, &args.prompt, choice);
        match tokenizer.encode(&text, Specials::Plain).first() {
            Some(&token) if token as usize >= logits.len() => {
                let vocabulary = logits.len();
                return Err(Failure::new(Exit::BadFile, BatchError::Answer { token, vocabulary }));
            }
            Some(&id) if !ids.contains(&id) => ids.push(id),
            _ => {
                let message = format!(
                    "--choices: `{choice}` is empty or begins with the same token as another; use other words"
                );
                return Err(Failure::new(Exit::Usage, message));
            }
        }
    }
    let values: Vec<f64> = ids.iter().map(|&id| f64::from(logits[id as usize])).collect();
    let top = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = values.iter().map(|v| (v - top).exp()).sum();
    let shares: Vec<f64> = values.iter().map(|v| (v - top).exp() / sum).collect();
    let winner = values.iter().position(|v| *v == top).unwrap_or(0);
    if args.model.json {
        let choices: Vec<_> = args
            .choices
            .iter()
            .zip(&shares)
            .map(|(choice, share)| serde_json::json!({ "choice": choice, "probability": share }))
            .collect();
        let out = serde_json::json!({
            "text": args.choices[winner], "tokens": 1, "choices": choices, "prefill_tokens_per_s": rate, "decode_tokens_per_s": 0.0,
        });
        line(out)?;
    } else {
        for (choice, share) in args.choices.iter().zip(&shares) {
            line(format_args!("{:5.1} %  {choice}", 100.0 * share))?;
        }
    }
    Ok(Exit::Done)
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
