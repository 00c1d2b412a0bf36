//! Answers as OpenAI's interface has them: whole, and in chunks.

use super::fields::Fault;
use crate::desk::{Answer, Part, Piece, Score, Scored};
use bytes::Bytes;
use hyper::StatusCode;
use serde_json::{Value, json};

/// One answer's frame.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    /// Of a chat, or of a text.
    pub(super) chat: bool,
    /// Its name.
    pub(super) id: String,
    /// Seconds since 1970.
    pub(super) created: u64,
    /// Who answers.
    pub(super) model: String,
    /// Whether probabilities are told.
    pub(super) scores: bool,
    /// Whether usage is told at the end of a stream.
    pub(super) usage: bool,
}

impl Shape {
    /// An answer that was written whole.
    pub(super) fn whole(&self, answer: &Answer, scores: &[Score]) -> Result<Value, Fault> {
        if answer.finish_reason == "interrupted" {
            return Err(ending());
        }
        let logprobs = self.logprobs(scores, 0);
        let choice = if self.chat {
            let message = json!({ "role": "assistant", "content": answer.text, "refusal": null });
            json!({ "index": 0, "message": message, "logprobs": logprobs, "finish_reason": answer.finish_reason })
        } else {
            let (text, reason) = (&answer.text, answer.finish_reason);
            json!({ "index": 0, "text": text, "logprobs": logprobs, "finish_reason": reason })
        };
        let object = if self.chat { "chat.completion" } else { "text_completion" };
        let mut value = self.frame(object, json!([choice]));
        value["usage"] = usage(answer);
        Ok(value)
    }

    /// What writes pieces as server-sent events.
    pub(super) fn stream(self) -> impl FnMut(Piece) -> Bytes + Send + 'static {
        let (mut begun, mut length) = (false, 0);
        move |piece| {
            let mut out = String::new();
            if self.chat && !std::mem::replace(&mut begun, true) && !matches!(piece, Piece::Refused(_)) {
                let delta = json!({ "role": "assistant", "content": "" });
                event(&mut out, &self.chunk(delta, &Value::Null, None));
            }
            match piece {
                Piece::Text(Part { text, scores }) => {
                    let logprobs = self.logprobs(&scores, length);
                    length += text.len();
                    let delta = if self.chat { json!({ "content": text }) } else { text.into() };
                    event(&mut out, &self.chunk(delta, &logprobs, None));
                }
                Piece::Done(answer) if answer.finish_reason == "interrupted" => {
                    event(&mut out, &ending().body());
                }
                Piece::Done(answer) => {
                    let delta = if self.chat { json!({}) } else { "".into() };
                    event(&mut out, &self.chunk(delta, &Value::Null, Some(answer.finish_reason)));
                    if self.usage {
                        let mut last = self.frame(self.kind(), json!([]));
                        last["usage"] = usage(&answer);
                        event(&mut out, &last);
                    }
                    out.push_str("data: [DONE]\n\n");
                }
                Piece::Refused(refusal) => event(&mut out, &Fault::from(&refusal).body()),
            }
            Bytes::from(out)
        }
    }

    fn kind(&self) -> &'static str {
        if self.chat { "chat.completion.chunk" } else { "text_completion" }
    }

    fn chunk(&self, said: Value, logprobs: &Value, reason: Option<&str>) -> Value {
        let key = if self.chat { "delta" } else { "text" };
        let choice = json!({ "index": 0, key: said, "logprobs": logprobs, "finish_reason": reason });
        let mut value = self.frame(self.kind(), json!([choice]));
        if self.usage {
            value["usage"] = Value::Null;
        }
        value
    }

    fn frame(&self, object: &str, choices: Value) -> Value {
        json!({
            "id": self.id, "object": object, "created": self.created, "model": self.model, "choices": choices,
        })
    }

    /// Probabilities, of a text that begins so far into the answer.
    fn logprobs(&self, scores: &[Score], begins: usize) -> Value {
        if !self.scores {
            return Value::Null;
        }
        if self.chat {
            let content: Vec<Value> = scores
                .iter()
                .map(|score| {
                    let mut value = told(&score.token);
                    value["top_logprobs"] = score.rivals.iter().map(told).collect();
                    value
                })
                .collect();
            return json!({ "content": content, "refusal": null });
        }
        let starts = scores.iter().scan(begins, |at, score| {
            let start = *at;
            *at += score.token.bytes.len();
            Some(start)
        });
        let offsets: Vec<usize> = starts.collect();
        let tops: Vec<Value> = scores
            .iter()
            .map(|score| score.rivals.iter().map(|rival| (text(rival), Value::from(rival.logprob))).collect())
            .collect();
        json!({
            "tokens": scores.iter().map(|score| text(&score.token)).collect::<Vec<_>>(),
            "token_logprobs": scores.iter().map(|score| score.token.logprob).collect::<Vec<_>>(),
            "top_logprobs": tops,
            "text_offset": offsets,
        })
    }
}

fn told(scored: &Scored) -> Value {
    json!({ "token": text(scored), "logprob": scored.logprob, "bytes": scored.bytes })
}

fn text(scored: &Scored) -> String {
    String::from_utf8_lossy(&scored.bytes).into_owned()
}

fn usage(answer: &Answer) -> Value {
    let (read, written) = (answer.prompt_tokens, answer.completion_tokens);
    json!({ "prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written })
}

fn event(out: &mut String, value: &Value) {
    out.push_str(&format!("data: {value}\n\n"));
}

fn ending() -> Fault {
    let message = "the server is ending; ask again when it is back".to_owned();
    Fault::new(StatusCode::SERVICE_UNAVAILABLE, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(chat: bool) -> Shape {
        let (id, model) = ("x-1".to_owned(), "m".to_owned());
        Shape { chat, id, created: 7, model, scores: true, usage: true }
    }

    fn score(bytes: &[u8]) -> Score {
        let scored = |bytes: &[u8]| Scored { bytes: bytes.into(), logprob: -0.5 };
        Score { token: scored(bytes), rivals: vec![scored(b"z")] }
    }

    fn answer(finish_reason: &'static str) -> Answer {
        let text = "ab".to_owned();
        Answer { text, finish_reason, prompt_tokens: 3, completion_tokens: 2, ..Answer::default() }
    }

    /// The events of a stream, before the last.
    fn events(chat: bool, end: Piece) -> (Vec<Value>, String) {
        let mut write = shape(chat).stream();
        let part = |text: &str| Part { text: text.into(), scores: vec![score(text.as_bytes())] };
        let pieces = [Piece::Text(part("a")), Piece::Text(part("b")), end];
        let all: String =
            pieces.into_iter().map(|piece| String::from_utf8(write(piece).to_vec()).unwrap()).collect();
        let mut lines: Vec<&str> = all.split("\n\n").filter(|event| !event.is_empty()).collect();
        let last = lines.pop().unwrap().to_owned();
        let read = |line: &str| serde_json::from_str(line.strip_prefix("data: ").unwrap()).unwrap();
        (lines.into_iter().map(read).collect(), last)
    }

    #[test]
    fn a_chat_streams_role_texts_reason_usage_and_done() {
        let (events, last) = events(true, Piece::Done(answer("stop")));
        assert_eq!(last, "data: [DONE]");
        let deltas: Vec<&Value> = events.iter().map(|event| &event["choices"][0]["delta"]).collect();
        assert_eq!(deltas[0], &json!({ "role": "assistant", "content": "" }));
        assert_eq!((deltas[1]["content"].as_str(), deltas[2]["content"].as_str()), (Some("a"), Some("b")));
        assert_eq!((deltas[3], &events[3]["choices"][0]["finish_reason"]), (&json!({}), &json!("stop")));
        assert_eq!(events[1]["choices"][0]["logprobs"]["content"][0]["top_logprobs"][0]["token"], "z");
        assert_eq!((&events[4]["choices"], &events[4]["usage"]["total_tokens"]), (&json!([]), &json!(5)));
        assert!(
            events.iter().all(|event| event["object"] == "chat.completion.chunk" && event["id"] == "x-1")
        );
        assert!(events[..4].iter().all(|event| event["usage"].is_null()));
    }

    #[test]
    fn a_text_streams_with_offsets_and_a_broken_answer_ends_in_an_error() {
        let (events, _) = events(false, Piece::Done(answer("length")));
        assert_eq!(events[1]["choices"][0]["logprobs"]["text_offset"], json!([1]));
        assert_eq!(
            (&events[0]["choices"][0]["text"], &events[0]["object"]),
            (&json!("a"), &json!("text_completion"))
        );
        let (_, last) = self::events(true, Piece::Done(answer("interrupted")));
        assert!(last.contains("\"error\"") && last.contains("ending"), "{last}");
    }

    #[test]
    fn a_whole_answer_has_what_its_chunks_have() {
        let value = shape(true).whole(&answer("stop"), &[score(b"a")]).unwrap();
        assert_eq!(value["choices"][0]["message"]["content"], "ab");
        assert_eq!(value["choices"][0]["logprobs"]["content"][0]["bytes"], json!([97]));
        assert_eq!(value["usage"]["prompt_tokens"], 3);
        assert_eq!(shape(false).whole(&answer("interrupted"), &[]).unwrap_err().status.as_u16(), 503);
    }
}
