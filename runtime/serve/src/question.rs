//! What may be asked, and how a question is refused.

use serde::Deserialize;
use sprig_learn::sampling::{Decoding, Stops};
use thiserror::Error;

/// Bytes of a question at most, as it arrives.
pub const MOST_BYTES: usize = 64 << 10;
/// Tokens of an answer at most.
pub const MOST_TOKENS: usize = 2048;
/// Probabilities that go with an answer at most: of its tokens, and of what might have stood in their places.
pub const MOST_SCORES: usize = 1024;
/// Tokens of an answer where the question does not say it.
const USUAL_TOKENS: usize = 64;

/// A question.
#[derive(Clone, Debug)]
pub struct Question {
    /// Who is asked, by name; the first of those served unless it says so.
    pub model: Option<String>,
    /// What is asked for.
    pub task: Task,
    /// Whether pieces are wanted as they come.
    pub stream: bool,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub enum Task {
    /// Text that follows a prompt.
    Completion(Box<Completion>),
    /// The label of `text`, as the adapter was asked for it while it learnt.
    Class {
        /// The text.
        text: String,
    },
}

/// A text that is to be written.
#[derive(Clone, Debug)]
pub struct Completion {
    /// What comes before it.
    pub prompt: Prompt,
    /// Most tokens of it; as many as there is room for unless it says so.
    pub max_tokens: Option<usize>,
    /// How its tokens are chosen.
    pub decoding: Decoding,
    /// What ends it.
    pub stops: Stops,
    /// Whether the logarithms of its tokens' probabilities are wanted, and of so many of the likeliest in each place.
    pub scores: Option<usize>,
}

/// What a text follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prompt {
    /// A text, as it is.
    Raw(String),
    /// A message of a chat, which is answered.
    Message(String),
    /// A chat, whose last turn is answered.
    Chat(Vec<Turn>),
}

/// A turn of a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// `system`, `user` or `assistant`.
    pub role: &'static str,
    /// What was said.
    pub content: String,
}

/// How large questions and answers may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Tokens of question and answer together.
    pub context: usize,
    /// Whether there are labels to choose from.
    pub labels: bool,
}

/// Why a question gets no answer.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// It cannot be understood.
    #[error("{0}")]
    Bad(String),
    /// Nobody of that name is here.
    #[error("no model `{name}` here; {models} answer")]
    NoModel {
        /// As asked.
        name: String,
        /// Those who are.
        models: String,
    },
    /// It is too large.
    #[error("{0}")]
    TooLarge(String),
    /// Others were here first.
    #[error("{0} questions wait already; ask again in a moment")]
    Busy(usize),
    /// Too many in a minute.
    #[error("more than {limit} questions a minute; ask again in {seconds} s")]
    TooOften {
        /// Questions a minute.
        limit: u32,
        /// When the next may be asked.
        seconds: u64,
    },
    /// What answers cannot.
    #[error("{0}")]
    Failed(String),
}

/// A question as JSON has it; keys that are not known here are refused by name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    model: Option<String>,
    prompt: Option<String>,
    text: Option<String>,
    raw: Option<bool>,
    max_tokens: Option<usize>,
    #[serde(default)]
    stream: bool,
}

impl Refusal {
    /// Seconds after which it may be asked again.
    pub(crate) fn wait(&self) -> Option<u64> {
        match self {
            Self::TooOften { seconds, .. } => Some(*seconds),
            Self::Busy(_) => Some(1),
            _ => None,
        }
    }
}

impl Question {
    /// Reads one: `{"prompt", "raw", "max_tokens", "stream"}` or `{"text"}`, either with a `"model"`.
    ///
    /// # Errors
    /// What is wrong with it, by key and limit.
    pub fn from_json(json: &[u8]) -> Result<Self, Refusal> {
        if json.len() > MOST_BYTES {
            let text = format!("a question of {} bytes; {MOST_BYTES} are read", json.len());
            return Err(Refusal::TooLarge(text));
        }
        let asked: Asked =
            serde_json::from_slice(json).map_err(|e| Refusal::Bad(format!("no question: {e}")))?;
        let Asked { model, prompt, text, raw, max_tokens, stream } = asked;
        let bad = |text: &str| Err(Refusal::Bad(text.to_owned()));
        let task = match (prompt, text) {
            (Some(prompt), None) if prompt.is_empty() => {
                return bad("`prompt` is empty; give a character or more");
            }
            (Some(prompt), None) => {
                let max_tokens = max_tokens.unwrap_or(USUAL_TOKENS);
                if !(1..=MOST_TOKENS).contains(&max_tokens) {
                    let text = format!("`max_tokens` is {max_tokens}; 1 to {MOST_TOKENS} are written");
                    return Err(Refusal::TooLarge(text));
                }
                let prompt = if raw == Some(true) { Prompt::Raw(prompt) } else { Prompt::Message(prompt) };
                Task::Completion(Box::new(Completion::greedy(prompt, Some(max_tokens))))
            }
            (None, Some(_)) if raw.is_some() || max_tokens.is_some() || stream => {
                return bad("`raw`, `max_tokens` and `stream` belong to `prompt`; a `text` gets a label");
            }
            (None, Some(text)) => Task::Class { text },
            _ => return bad("give either `prompt`, to be continued, or `text`, to be labelled"),
        };
        Ok(Self { model, task, stream })
    }
}

impl Completion {
    /// What the likeliest tokens write.
    pub fn greedy(prompt: Prompt, max_tokens: Option<usize>) -> Self {
        let (decoding, stops) = (Decoding::default(), Stops::default());
        Self { prompt, max_tokens, decoding, stops, scores: None }
    }

    /// Tokens that it has at most, whatever there is room for.
    pub(crate) fn most(&self) -> usize {
        let scores = self.scores.map_or(MOST_TOKENS, |rivals| MOST_SCORES / (1 + rivals));
        self.max_tokens.unwrap_or(MOST_TOKENS).min(MOST_TOKENS).min(scores)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_read_or_refused_by_what_is_wrong() {
        let read = |json: &str| Question::from_json(json.as_bytes());
        let completion = |json: &str| match read(json).unwrap() {
            Question { task: Task::Completion(asked), stream, model } => {
                (asked.prompt, asked.max_tokens, stream, model)
            }
            other => panic!("{other:?}"),
        };
        let message = Prompt::Message("a".into());
        assert_eq!(completion(r#"{"prompt":"a"}"#), (message, Some(64), false, None));
        let json = r#"{"prompt":"a","raw":true,"max_tokens":3,"stream":true,"model":"m"}"#;
        assert_eq!(completion(json), (Prompt::Raw("a".into()), Some(3), true, Some("m".into())));
        assert!(matches!(read(r#"{"text":"b"}"#).unwrap().task, Task::Class { text } if text == "b"));
        for (json, says) in [
            ("", "no question"),
            ("[]", "no question"),
            ("{}", "either `prompt`"),
            (r#"{"prompt":""}"#, "empty"),
            (r#"{"prompt":"a","text":"b"}"#, "either `prompt`"),
            (r#"{"text":"b","max_tokens":3}"#, "belong to `prompt`"),
            (r#"{"prompt":"a","max_tokens":0}"#, "1 to 2048"),
            (r#"{"prompt":"a","max_tokens":2049}"#, "1 to 2048"),
            (r#"{"promt":"a"}"#, "promt"),
        ] {
            let refused = read(json).unwrap_err().to_string();
            assert!(refused.contains(says), "{json}: {refused}");
        }
        let long = format!(r#"{{"prompt":"{}"}}"#, "x".repeat(MOST_BYTES));
        assert!(matches!(read(&long), Err(Refusal::TooLarge(text)) if text.contains("65536")));
    }
}
