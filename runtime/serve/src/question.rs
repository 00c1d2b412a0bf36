//! What may be asked, and how a question is refused.

use serde::Deserialize;
use thiserror::Error;

/// Bytes of a question at most, as it arrives.
pub const MOST_BYTES: usize = 64 << 10;
/// Tokens of an answer at most.
pub const MOST_TOKENS: usize = 2048;
/// Tokens of an answer where the question does not say it.
const USUAL_TOKENS: usize = 64;

/// A question.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// What is asked for.
    pub task: Task,
    /// Whether pieces are wanted as they come.
    pub stream: bool,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Task {
    /// Text that follows `prompt`.
    Completion {
        /// What is to be continued, or answered.
        prompt: String,
        /// Whether it is continued as it is, instead of being answered as a message of a chat.
        raw: bool,
        /// Most tokens of the answer.
        max_tokens: usize,
    },
    /// The label of `text`, as the adapter was asked for it while it learnt.
    Class {
        /// The text.
        text: String,
    },
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
    prompt: Option<String>,
    text: Option<String>,
    raw: Option<bool>,
    max_tokens: Option<usize>,
    #[serde(default)]
    stream: bool,
}

impl Question {
    /// Reads one: `{"prompt", "raw", "max_tokens", "stream"}` or `{"text"}`.
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
        let Asked { prompt, text, raw, max_tokens, stream } = asked;
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
                Task::Completion { prompt, raw: raw.unwrap_or(false), max_tokens }
            }
            (None, Some(_)) if raw.is_some() || max_tokens.is_some() || stream => {
                return bad("`raw`, `max_tokens` and `stream` belong to `prompt`; a `text` gets a label");
            }
            (None, Some(text)) => Task::Class { text },
            _ => return bad("give either `prompt`, to be continued, or `text`, to be labelled"),
        };
        Ok(Self { task, stream })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_read_or_refused_by_what_is_wrong() {
        let read = |json: &str| Question::from_json(json.as_bytes());
        let task = Task::Completion { prompt: "a".into(), raw: false, max_tokens: 64 };
        assert_eq!(read(r#"{"prompt":"a"}"#), Ok(Question { task, stream: false }));
        let task = Task::Completion { prompt: "a".into(), raw: true, max_tokens: 3 };
        let json = r#"{"prompt":"a","raw":true,"max_tokens":3,"stream":true}"#;
        assert_eq!(read(json), Ok(Question { task, stream: true }));
        let class = Question { task: Task::Class { text: "b".into() }, stream: false };
        assert_eq!(read(r#"{"text":"b"}"#), Ok(class));
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
