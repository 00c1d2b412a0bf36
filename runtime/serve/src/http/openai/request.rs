//! From the bodies of OpenAI's interface to questions.

use super::fields::{Fault, Fields, Raw};
use crate::question::{Completion, MOST_SCORES, MOST_TOKENS, Prompt, Question, Task, Turn};
use serde_json::json;
use sprig_learn::sampling::{Decoding, Stops};

/// Tokens of a completion where the request does not say it, as OpenAI has it.
const USUAL_TOKENS: usize = 16;
/// Most rivals of a token in a chat, and in a completion, as OpenAI has it.
const MOST_RIVALS: [usize; 2] = [20, 5];

/// A request for a text.
#[derive(Debug)]
pub(super) struct Asked {
    /// What is asked.
    pub(super) question: Question,
    /// Whether usage is told at the end of a stream.
    pub(super) usage: bool,
}

/// Reads `POST /v1/chat/completions`. `seed` is for a request that has none and wants chance.
pub(super) fn chat(body: &[u8], seed: u64) -> Result<Asked, Fault> {
    let mut fields = Fields::of_body(body)?;
    let messages: Vec<Raw> = fields.need("messages")?;
    if messages.is_empty() {
        return Err(Fault::of("messages", "there are none; give one or more"));
    }
    let turns = messages.into_iter().enumerate().map(|(i, value)| turn(format!("messages[{i}]"), value));
    let prompt = Prompt::Chat(turns.collect::<Result<_, _>>()?);
    let scores = match (fields.take::<bool>("logprobs")?, fields.take::<usize>("top_logprobs")?) {
        (Some(true), rivals) => Some(("top_logprobs", rivals.unwrap_or(0))),
        (_, Some(rivals)) if rivals > 0 => {
            return Err(Fault::of("top_logprobs", "it goes with `logprobs`: true; add that"));
        }
        _ => None,
    };
    let (short, long) = (fields.take("max_tokens")?, fields.take("max_completion_tokens")?);
    if short.is_some() && long.is_some() && short != long {
        return Err(Fault::of("max_tokens", "it differs from `max_completion_tokens`; give one of them"));
    }
    let max_tokens = match (long, short) {
        (Some(most), _) => Some(("max_completion_tokens", most)),
        (None, most) => most.map(|most| ("max_tokens", most)),
    };
    let tools = "tools are not called here; leave it out";
    fields.only("tools", &[json!([])], tools)?;
    fields.only("functions", &[json!([])], tools)?;
    fields.only("tool_choice", &[json!("none"), json!("auto")], tools)?;
    fields.only("response_format", &[json!({ "type": "text" })], "text alone is written; leave it out")?;
    fields.only("modalities", &[json!(["text"])], "text alone is written; leave it out")?;
    finish(fields, prompt, (max_tokens, scores, MOST_RIVALS[0]), seed)
}

/// Reads `POST /v1/completions`.
pub(super) fn completion(body: &[u8], seed: u64) -> Result<Asked, Fault> {
    let mut fields = Fields::of_body(body)?;
    let prompt = match texts("prompt", &fields.need::<Raw>("prompt")?)?.as_mut_slice() {
        [text] => std::mem::take(text),
        _ => return Err(Fault::of("prompt", "one text is continued at a time; give one")),
    };
    if prompt.is_empty() {
        return Err(Fault::of("prompt", "it is empty; give a character or more"));
    }
    let scores = fields.take("logprobs")?.map(|rivals| ("logprobs", rivals));
    let max_tokens = ("max_tokens", fields.take("max_tokens")?.unwrap_or(USUAL_TOKENS));
    fields.only("echo", &[json!(false)], "prompts are not repeated here; leave it out")?;
    fields.only("best_of", &[json!(1)], "one completion is written; leave it out")?;
    fields.only("suffix", &[json!("")], "texts are continued at their end alone; leave it out")?;
    finish(fields, Prompt::Raw(prompt), (Some(max_tokens), scores, MOST_RIVALS[1]), seed)
}

/// Reads `POST /v1/classify`: `{"text", "model"}`.
pub(super) fn class(body: &[u8]) -> Result<Question, Fault> {
    let mut fields = Fields::of_body(body)?;
    let (model, text) = (fields.take("model")?, fields.need("text")?);
    fields.end()?;
    Ok(Question { model, task: Task::Class { text }, stream: false })
}

/// A field's name and what it says.
type Said = Option<(&'static str, usize)>;

/// What both interfaces have.
fn finish(
    mut fields: Fields,
    prompt: Prompt,
    (max_tokens, scores, most_rivals): (Said, Said, usize),
    seed: u64,
) -> Result<Asked, Fault> {
    let model = fields.take("model")?;
    let stream = fields.take("stream")?.unwrap_or(false);
    let usage = match fields.take::<Raw>("stream_options")? {
        None => false,
        Some(_) if !stream => return Err(Fault::of("stream_options", "it goes with `stream`: true")),
        Some(value) => {
            let mut options = Fields::of_value("stream_options".to_owned(), &value)?;
            let usage = options.take("include_usage")?.unwrap_or(false);
            options.only("include_obfuscation", &[json!(false)], "nothing is obfuscated; leave it out")?;
            options.end()?;
            usage
        }
    };
    let decoding = decoding(&mut fields, seed)?;
    let stops =
        fields.take::<Raw>("stop")?.map(|value| texts("stop", &value)).transpose()?.unwrap_or_default();
    let stops = Stops::new(&stops).map_err(|e| Fault::of("stop", e))?;
    fields.only("n", &[json!(1)], "one answer is written; ask again for another")?;
    let none = "it is not honoured here; use `repetition_penalty`, or leave it out";
    fields.only("frequency_penalty", &[json!(0), json!(0.0)], none)?;
    fields.only("presence_penalty", &[json!(0), json!(0.0)], none)?;
    fields.only("logit_bias", &[json!({})], "logits are not shifted here; leave it out")?;
    fields.only("store", &[json!(false)], "nothing of a request is kept; leave it out")?;
    // Who asks on whose behalf is for the asker's own books.
    fields.take::<String>("user")?;
    fields.end()?;
    if let Some((name, most)) = max_tokens.filter(|(_, most)| !(1..=MOST_TOKENS).contains(most)) {
        return Err(Fault::of(name, format!("{most} tokens; 1 to {MOST_TOKENS} are written")));
    }
    if let Some((name, rivals)) = scores {
        if rivals > most_rivals {
            return Err(Fault::of(name, format!("{rivals} in each place; {most_rivals} are told")));
        }
        let most = MOST_SCORES / (1 + rivals);
        if let Some((_, tokens)) = max_tokens.filter(|(_, tokens)| *tokens > most) {
            let why =
                format!("for {tokens} tokens; with {rivals} others each they are told of {most} at most");
            return Err(Fault::of(name, why));
        }
    }
    let (max_tokens, scores) = (max_tokens.map(|(_, most)| most), scores.map(|(_, rivals)| rivals));
    let asked = Completion { prompt, max_tokens, decoding, stops, scores };
    Ok(Asked { question: Question { model, task: Task::Completion(Box::new(asked)), stream }, usage })
}

fn decoding(fields: &mut Fields, seed: u64) -> Result<Decoding, Fault> {
    let usual = Decoding::default();
    let decoding = Decoding {
        temperature: fields.take("temperature")?.unwrap_or(usual.temperature),
        top_k: fields.take("top_k")?.unwrap_or(usual.top_k),
        top_p: fields.take("top_p")?.unwrap_or(usual.top_p),
        min_p: fields.take("min_p")?.unwrap_or(usual.min_p),
        repetition_penalty: fields.take("repetition_penalty")?.unwrap_or(usual.repetition_penalty),
        seed: fields.take::<i64>("seed")?.map_or(seed, |seed| seed as u64),
    };
    decoding.check().map_err(|e| Fault::of(e.name, &e))?;
    Ok(decoding)
}

/// One text, or a list of them.
fn texts(field: &str, value: &Raw) -> Result<Vec<String>, Fault> {
    match serde_json::from_str(value.get()) {
        Ok(text) => Ok(vec![text]),
        Err(_) => {
            serde_json::from_str(value.get()).map_err(|_| Fault::of(field, "give a text, or a list of texts"))
        }
    }
}

/// A message.
fn turn(path: String, value: Raw) -> Result<Turn, Fault> {
    let mut fields = Fields::of_value(path, &value)?;
    let role: String = fields.need("role")?;
    let role = match &*role {
        "system" | "developer" => "system",
        "user" => "user",
        "assistant" => "assistant",
        _ => return Err(Fault::of(fields.name("role"), "it is none of system, user and assistant")),
    };
    let value: Raw = fields.need("content")?;
    let content = match serde_json::from_str(value.get()) {
        Ok(text) => text,
        Err(_) => {
            let wrong = |_| Fault::of(fields.name("content"), "give a text, or a list of parts");
            let parts: Vec<Raw> = serde_json::from_str(value.get()).map_err(wrong)?;
            let part = |(i, value)| part(fields.name(&format!("content[{i}]")), value);
            parts.into_iter().enumerate().map(part).collect::<Result<_, _>>()?
        }
    };
    fields.end()?;
    Ok(Turn { role, content })
}

/// A part of a message.
fn part(path: String, value: Raw) -> Result<String, Fault> {
    let mut fields = Fields::of_value(path, &value)?;
    let kind: String = fields.need("type")?;
    if kind != "text" {
        return Err(Fault::of(fields.name("type"), "the models here read text alone; give `text`"));
    }
    let text = fields.need("text")?;
    fields.end()?;
    Ok(text)
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
