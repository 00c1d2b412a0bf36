//! One line of JSONL: which schema it has, and what is wrong with it.

use super::error::{Problem, short};
use crate::setting::Setting;
use serde::Deserializer;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use sprig_ground::names;

/// What is learnt from a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Task {
    /// Predict the next token: `{prompt, completion}` or `{text}`.
    Lm,
    /// Pick one of the choices: `{question, choices, answer}`.
    Choice,
    /// Pick one of the file's labels: `{text, label}`.
    Label,
    /// Prefer one completion to another: `{prompt, chosen, rejected}`.
    Pair,
}

names!(Task, "task", [Lm = "lm", Choice = "choice", Label = "label", Pair = "pair"]);

impl Task {
    const fn needs(self) -> &'static str {
        match self {
            Self::Lm => "{\"prompt\", \"completion\"} or {\"text\"}",
            Self::Choice => "{\"question\", \"choices\", \"answer\"}",
            Self::Label => "{\"text\", \"label\"}",
            Self::Pair => "{\"prompt\", \"chosen\", \"rejected\"}",
        }
    }
}

/// Least and most that a record counts: within them a mean over many keeps what each adds.
const WEIGHTS: std::ops::RangeInclusive<f32> = 1e-6..=1e6;

/// Fewest and most choices of a question: one letter each.
pub const CHOICES: std::ops::RangeInclusive<usize> = 2..=26;

/// A record as its task needs it.
#[derive(Debug, PartialEq)]
pub(super) enum Record {
    Text(String),
    Completion { prompt: String, completion: String },
    Labelled { text: String, label: String },
    Question { question: String, choices: Vec<String>, answer: usize },
    Pair { prompt: String, chosen: String, rejected: String },
}

impl Record {
    /// Reads one line. Fields that `task` does not need are ignored, whatever they hold.
    pub(super) fn parse(line: &str, task: Task) -> Result<Self, Problem> {
        Self::weighed(line, task).map(|(record, _)| record)
    }

    /// The same, and what it counts against others: 1 unless it says so.
    pub(super) fn weighed(line: &str, task: Task) -> Result<(Self, f32), Problem> {
        let fields = Fields::parse(line)?;
        let weight = fields.known[7].map_or(Ok(1.0), weight)?;
        Self::of(&fields, task).map(|record| (record, weight))
    }

    fn of(fields: &Fields<'_>, task: Task) -> Result<Self, Problem> {
        let [prompt, completion, text, label, question, choices, answer, _, chosen, rejected] = fields.known;
        match task {
            Task::Lm => {
                if let (Some(prompt), Some(completion)) = (prompt, completion) {
                    let (prompt, completion) = (string("prompt", prompt)?, string("completion", completion)?);
                    return Ok(Self::Completion { prompt, completion });
                }
                if let Some(text) = text.filter(|_| prompt.is_none() && completion.is_none()) {
                    return Ok(Self::Text(string("text", text)?));
                }
            }
            Task::Label => {
                if let (Some(text), Some(label)) = (text, label) {
                    return Ok(Self::Labelled { text: string("text", text)?, label: label_name(label)? });
                }
            }
            Task::Choice => {
                if let (Some(question), Some(choices), Some(answer)) = (question, choices, answer) {
                    let question = string("question", question)?;
                    let choices = choice_texts(choices)?;
                    let answer = answer_index(answer, &choices)?;
                    return Ok(Self::Question { question, choices, answer });
                }
            }
            Task::Pair => {
                if let (Some(prompt), Some(chosen), Some(rejected)) = (prompt, chosen, rejected) {
                    let prompt = string("prompt", prompt)?;
                    let (chosen, rejected) = (string("chosen", chosen)?, string("rejected", rejected)?);
                    return Ok(Self::Pair { prompt, chosen, rejected });
                }
            }
        }
        Err(fields.misfit(task))
    }
}

impl Record {
    /// All its texts.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        let (few, many): ([&str; 3], &[String]) = match self {
            Self::Text(text) => ([text, "", ""], &[]),
            Self::Completion { prompt, completion } => ([prompt, completion, ""], &[]),
            Self::Labelled { text, label } => ([text, label, ""], &[]),
            Self::Question { question, choices, .. } => ([question, "", ""], choices),
            Self::Pair { prompt, chosen, rejected } => ([prompt, chosen, rejected], &[]),
        };
        few.into_iter().chain(many.iter().map(String::as_str))
    }
}

/// The fields of any schema, in the order of [`Fields::known`].
const NAMES: [&str; 10] = [
    "prompt",
    "completion",
    "text",
    "label",
    "question",
    "choices",
    "answer",
    "weight",
    "chosen",
    "rejected",
];

/// Names of fields kept for a message.
const NAMES_SHOWN: usize = 8;

/// The raw values of the known fields, `null` counting as absent, and some names for the message that none fits.
#[derive(Default)]
struct Fields<'a> {
    known: [Option<&'a RawValue>; NAMES.len()],
    found: Vec<String>,
}

impl<'a> Fields<'a> {
    fn parse(line: &'a str) -> Result<Self, Problem> {
        let mut json = serde_json::Deserializer::from_str(line);
        let fields = json.deserialize_map(Collect).and_then(|fields| json.end().map(|()| fields));
        fields.map_err(|e| {
            // The position serde_json appends speaks of a file of its own; the column alone is ours.
            let text = e.to_string();
            let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
            Problem::new(
                format!("not a JSON object: {what} (column {})", e.column()),
                "write one JSON object a line",
            )
        })
    }

    fn misfit(&self, task: Task) -> Problem {
        let has = |names: &[&str]| {
            NAMES.iter().zip(&self.known).filter(|(n, v)| names.contains(n) && v.is_some()).count()
                == names.len()
        };
        let other = if has(&["question", "choices", "answer"]) {
            Some("choice")
        } else if has(&["text", "label"]) {
            Some("label")
        } else if has(&["prompt", "chosen", "rejected"]) {
            Some("pair")
        } else if has(&["prompt", "completion"]) || has(&["text"]) {
            Some("lm")
        } else {
            None
        };
        let found = match self.found.as_slice() {
            [] => "no fields".to_owned(),
            names => format!("the fields {}", names.join(", ")),
        };
        let hint = match other.filter(|o| *o != task.name()) {
            Some(other) => format!(" (this record would do for {})", Setting::Task.to(other)),
            None => String::new(),
        };
        Problem::new(found, format!("task {} needs {}{hint}", task.name(), task.needs()))
    }
}

struct Collect;

impl<'de> Visitor<'de> for Collect {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Fields::default();
        let mut seen = [false; NAMES.len()];
        while let Some(name) = map.next_key::<std::borrow::Cow<'_, str>>()? {
            let shown = fields.found.len() < NAMES_SHOWN;
            if shown {
                fields.found.push(short(&name));
            }
            let Some(i) = NAMES.iter().position(|known| *known == name) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if std::mem::replace(&mut seen[i], true) {
                return Err(serde::de::Error::custom(format_args!("field \"{name}\" appears twice")));
            }
            fields.known[i] = map.next_value::<Option<&RawValue>>()?;
            if let Some(last) = fields.found.last_mut().filter(|_| shown && fields.known[i].is_none()) {
                last.push_str(" (null)");
            }
        }
        Ok(fields)
    }
}

fn string(field: &'static str, raw: &RawValue) -> Result<String, Problem> {
    serde_json::from_str(raw.get()).map_err(|_| Problem::field(field, found(raw), "write a string"))
}

fn weight(raw: &RawValue) -> Result<f32, Problem> {
    let number = serde_json::from_str(raw.get()).ok().filter(|weight| WEIGHTS.contains(weight));
    number.ok_or_else(|| {
        let remedy =
            format!("write a number from {} to {}, or leave it out for 1", WEIGHTS.start(), WEIGHTS.end());
        Problem::field("weight", format!("found {}", short(raw.get())), remedy)
    })
}

fn label_name(raw: &RawValue) -> Result<String, Problem> {
    let name = match integer(raw) {
        Some(number) => number.to_string(),
        None => string("label", raw)
            .map_err(|_| Problem::field("label", found(raw), "write a string or an integer"))?,
    };
    if name.trim().is_empty() {
        return Err(Problem::field("label", "found an empty label", "name the class, or take the line out"));
    }
    Ok(name)
}

fn choice_texts(raw: &RawValue) -> Result<Vec<String>, Problem> {
    let wrong = |found: String| {
        let remedy = format!("write an array of {} to {} strings", CHOICES.start(), CHOICES.end());
        Problem::field("choices", found, remedy)
    };
    let raws: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| wrong(found(raw)))?;
    if !CHOICES.contains(&raws.len()) {
        return Err(wrong(format!("found {} choices", raws.len())));
    }
    raws.into_iter()
        .map(|raw| match serde_json::from_str(raw.get()) {
            Ok(Value::String(text)) => Ok(text),
            Ok(Value::Number(number)) => Ok(number.to_string()),
            _ => Err(wrong(format!("{} among them", found(raw)))),
        })
        .collect()
}

/// The index of the answer: an integer is an index from 0; a string is a choice's text or its letter.
fn answer_index(raw: &RawValue, choices: &[String]) -> Result<usize, Problem> {
    let last = choices.len() - 1;
    let wrong = |found: String| {
        let remedy = format!("write an index from 0 to {last}, a letter, or the text of one choice");
        Problem::field("answer", found, remedy)
    };
    let (direct, text) = match integer(raw) {
        Some(number) => (usize::try_from(number).ok().filter(|&i| i <= last), number.to_string()),
        None => {
            let text: String = serde_json::from_str(raw.get()).map_err(|_| wrong(found(raw)))?;
            let letter = match text.as_bytes() {
                [b] if b.is_ascii_alphabetic() => Some(usize::from(b.to_ascii_uppercase() - b'A')),
                _ => None,
            };
            (letter.filter(|&i| i <= last), text)
        }
    };
    let mut meant: Vec<usize> = (0..choices.len()).filter(|&i| choices[i] == text).collect();
    meant.extend(direct.filter(|i| !meant.contains(i)));
    match meant[..] {
        [index] => Ok(index),
        [] => Err(wrong(format!("{} is none of the {} choices", short(&text), choices.len()))),
        _ => Err(Problem::field(
            "answer",
            format!("{} could mean choices {} and {} (from 0)", short(&text), meant[0], meant[1]),
            "write it in a way that fits one choice only",
        )),
    }
}

fn integer(raw: &RawValue) -> Option<i64> {
    serde_json::from_str(raw.get()).ok()
}

fn found(raw: &RawValue) -> String {
    let kind = match raw.get().as_bytes().first() {
        Some(b'"') => return format!("found {}", short(raw.get())),
        Some(b'[') => "an array",
        Some(b'{') => "an object",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    };
    format!("found {kind}")
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
