//! `sprig infer`: continue a prompt, greedily.

use crate::args::InferArgs;
use crate::exit::{Exit, Failure};
use crate::open;
use crate::output::line;
use sprig_budget::{Bytes, Kind, Move, Region, Step, alloc, climb};
use sprig_engine::adapter::Adapter;
use sprig_engine::dual::HEAD_TILE;
use sprig_engine::kernels::Ctx;
use sprig_engine::model::{Generator, KvCache};
use sprig_engine::tokenizer::{Message, Specials, TextStream, Tokenizer};
use sprig_learn::base::Base;
use sprig_learn::planner::{Residency, STREAMED_TIME, program};
use std::io::Write;
use std::time::Instant;

pub fn run(args: &InferArgs) -> Result<Exit, Failure> {
    let map = args.model.open()?;
    let base = Base::open(&map)?;
    let geometry = &base.geometry;
    let tokenizer = base.tokenizer()?;
    let prompt = match args.raw {
        true => args.prompt.clone(),
        false => tokenizer.chat(&[Message { role: "user", content: &args.prompt }], true)?,
    };
    let mut tokens = tokenizer.encode(&prompt, if args.raw { Specials::Plain } else { Specials::Parse });
    if let Some(first) = tokenizer.prefix() {
        tokens.insert(0, first);
    }
    if tokens.is_empty() {
        return Err(Failure::new(Exit::Usage, "--prompt is empty; give at least one character to continue"));
    }
    let capacity = tokens.len() + args.max_tokens as usize;
    if capacity > geometry.context {
        let (have, more, limit) = (tokens.len(), args.max_tokens, geometry.context);
        let message = format!(
            "a prompt of {have} tokens and --max-tokens {more} exceed the model's context of {limit}"
        );
        return Err(Failure::new(Exit::Usage, message));
    }
    let adapter = args.adapter.as_deref().map(|path| open::adapter(path, &base)).transpose()?;
    let threads = args.model.threads();
    let layout = Generator::layout(geometry, adapter.as_ref(), threads, Ctx::PANEL_ROWS, capacity);
    let heap = |name: &str, bytes: Bytes| Region::new(name, Kind::Heap, bytes);
    let weights = base.weights()?;
    let kept = alloc::current();
    let regions = |streamed: &bool| {
        vec![
            match streamed {
                false => Region::new("weights", Kind::Mapped, weights.file),
                true => Region::new("weights", Kind::Mapped, weights.streamed(HEAD_TILE, threads)),
            },
            Region::new("pass", Kind::Arena, layout.bytes()),
            heap("keys and values", KvCache::bytes(geometry, capacity)),
            heap(
                "logits and rotary table",
                Bytes((geometry.vocabulary * 4 + capacity * geometry.rope_dims * 4) as u64),
            ),
            heap("tokenizer and tables", kept),
            Region::new("program", Kind::Fixed, program()),
        ]
    };
    let residency = args.model.weights;
    let stream = |streamed: &bool| {
        (!streamed && residency == Residency::Auto).then(|| Move {
            config: true,
            why: "each token maps all weights anew, one linear layer at a time".to_owned(),
            time_factor: STREAMED_TIME,
        })
    };
    let rung = Step { name: "streamed weights", next: &stream };
    let (streamed, _) = climb(residency == Residency::Streamed, &[rung], args.model.budget()?, regions)?;
    let model = base.model(streamed)?;
    let ctx = Ctx::new(threads).map_err(|e| Failure::new(Exit::Usage, e))?;
    let mut generator = Generator::new(&model, adapter.as_ref(), &ctx, capacity, !args.exact)?;

    let start = Instant::now();
    let logits = generator.feed(&tokens)?;
    let prefill = start.elapsed();
    if !args.choices.is_empty() {
        return choose(args, &tokenizer, logits, tokens.len() as f64 / prefill.as_secs_f64().max(1e-9));
    }
    let top = top_logits(logits);
    let mut next = best(logits);
    let (mut text, mut stream, mut written) = (String::new(), TextStream::new(), 0u32);
    let start = Instant::now();
    while written < args.max_tokens && Some(next) != tokenizer.eos() {
        let piece = stream.push(&tokenizer.token_bytes(next));
        let mut stdout = std::io::stdout();
        if !args.model.json && write!(stdout, "{piece}").and_then(|()| stdout.flush()).is_err() {
            break; // nobody reads on; what went wrong the last line finds out
        }
        text.push_str(&piece);
        written += 1;
        if written < args.max_tokens {
            next = best(generator.feed(&[next])?);
        }
    }
    let decode = start.elapsed();
    let last = stream.finish();
    text.push_str(&last);
    // The first token came with the prompt: one decode step fewer than tokens written.
    let rate = |n: usize, t: std::time::Duration| n as f64 / t.as_secs_f64().max(1e-9);
    let steps = (written as usize).saturating_sub(1);
    if args.model.json {
        let out = serde_json::json!({
            "text": text,
            "tokens": written,
            "prompt_tokens": tokens.len(),
            "top_logits": top,
            "prefill_tokens_per_s": rate(tokens.len(), prefill),
            "decode_tokens_per_s": rate(steps, decode),
            "peak_rss_bytes": sprig_budget::process::status().peak_rss,
        });
        line(out)?;
    } else {
        line(last)?;
        eprintln!(
            "{} prompt tokens at {:.0} tokens/s, {steps} more at {:.1} tokens/s",
            tokens.len(),
            rate(tokens.len(), prefill),
            rate(steps, decode)
        );
    }
    Ok(Exit::Done)
}

/// Picks one of `--choices` by its first token, as a label or choice adapter was trained to.
fn choose(args: &InferArgs, tokenizer: &Tokenizer, logits: &[f32], rate: f64) -> Result<Exit, Failure> {
    let mut ids = Vec::with_capacity(args.choices.len());
    for choice in &args.choices {
        // Raw prompts end in a word or colon, so the answer begins with a space; a chat answer begins the turn.
        let text = if args.raw { format!(" {choice}") } else { choice.clone() };
        match tokenizer.encode(&text, Specials::Plain).first() {
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

/// Heap bytes of an adapter that only runs.
pub fn adapter_bytes(adapter: Option<&Adapter>) -> Bytes {
    Bytes(adapter.map_or(0, |a| 4 * a.numbers() as u64))
}
