//! One row of data: which schema it has, and what is wrong with it.

use super::conversation::{Role, Turn, turns};
use super::error::{Problem, short};
use super::fields::{Columns, Fields, Value};
use super::rows::Row;
use crate::setting::Setting;
use serde_json::Value as Json;
use serde_json::value::RawValue;
use sprig_ground::names;
use sprig_ground::random::mix;
use xxhash_rust::xxh3::xxh3_64;

/// What is learnt from a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Task {
    /// Predict the next token: of answers in `{messages}`, `{conversations}`, `{instruction, input, output}` and
    /// `{prompt, completion}`, of all in `{text}`.
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
            Self::Lm => {
                "{\"messages\"}, {\"conversations\"}, {\"instruction\", \"output\"}, {\"prompt\", \"completion\"} or \
                 {\"text\"}"
            }
            Self::Choice => "{\"question\", \"choices\", \"answer\"}",
            Self::Label => "{\"text\", \"label\"}",
            Self::Pair => "{\"prompt\", \"chosen\", \"rejected\"}",
        }
    }
}

/// Fields of records of task lm, any of which will do.
const LEARNT: [&[&str]; 5] =
    [&["messages"], &["conversations"], &["prompt", "completion"], &["instruction", "output"], &["text"]];

/// Least and most that a record counts: within them a mean over many keeps what each adds.
const WEIGHTS: std::ops::RangeInclusive<f32> = 1e-6..=1e6;

/// Fewest and most choices of a question: one letter each.
pub const CHOICES: std::ops::RangeInclusive<usize> = 2..=26;

/// A record as its task needs it.
#[derive(Debug, PartialEq)]
pub(super) enum Record {
    Text(String),
    Completion { prompt: String, completion: String },
    Chat(Vec<Turn>),
    Labelled { text: String, label: String },
    Question { question: String, choices: Vec<String>, answer: usize },
    Pair { prompt: String, chosen: String, rejected: String },
}

impl Record {
    /// Reads one row, and what it counts against others: 1 unless it says so. Fields that `task` does not need are ignored,
    /// whatever they hold.
    pub(super) fn read(row: &Row<'_>, task: Task, columns: Option<&Columns>) -> Result<(Self, f32), Problem> {
        let fields = Fields::read(row, columns.unwrap_or(&Columns::default()))?;
        let weight = fields.get("weight").filter(|value| !is_blank(*value)).map_or(Ok(1.0), weight)?;
        let record = match task {
            Task::Lm => Self::learnt(&fields)?,
            Task::Label => match fields.all(["text", "label"]) {
                Some([text, label]) => {
                    Some(Self::Labelled { text: string("text", text)?, label: label_name(label)? })
                }
                None => None,
            },
            Task::Choice => match fields.all(["question", "choices", "answer"]) {
                Some([question, choices, answer]) => {
                    let question = string("question", question)?;
                    let choices = choice_texts(choices)?;
                    let answer = answer_index(answer, &choices)?;
                    Some(Self::Question { question, choices, answer })
                }
                None => None,
            },
            Task::Pair => match fields.all(["prompt", "chosen", "rejected"]) {
                Some([prompt, chosen, rejected]) => {
                    let prompt = string("prompt", prompt)?;
                    let (chosen, rejected) = (string("chosen", chosen)?, string("rejected", rejected)?);
                    Some(Self::Pair { prompt, chosen, rejected })
                }
                None => None,
            },
        };
        record.map(|record| (record, weight)).ok_or_else(|| misfit(&fields, task, columns))
    }

    /// Whether a row names a text and a label, be the label missing.
    pub(super) fn is_labelled(row: &Row<'_>, columns: Option<&Columns>) -> Result<bool, Problem> {
        let fields = Fields::read(row, columns.unwrap_or(&Columns::default()))?;
        Ok(fields.has("text") && fields.has("label"))
    }

    /// What is to be written as the record has it.
    fn learnt(fields: &Fields<'_>) -> Result<Option<Self>, Problem> {
        for field in ["messages", "conversations"] {
            if let Some(value) = fields.get(field) {
                return Ok(Some(Self::Chat(introduced(fields, turns(field, value)?)?)));
            }
        }
        if let Some([prompt, completion]) = fields.all(["prompt", "completion"]) {
            let (prompt, completion) = (string("prompt", prompt)?, string("completion", completion)?);
            return Ok(Some(Self::Completion { prompt, completion }));
        }
        if let Some([instruction, output]) = fields.all(["instruction", "output"]) {
            let (mut prompt, completion) = (string("instruction", instruction)?, string("output", output)?);
            let input = fields.get("input").map(|input| string("input", input)).transpose()?;
            if let Some(input) = input.filter(|input| !input.trim().is_empty()) {
                prompt = format!("{prompt}\n\n{input}");
            }
            if fields.get("system").is_none_or(is_blank) {
                return Ok(Some(Self::Completion { prompt, completion }));
            }
            let [user, assistant] = [(Role::User, prompt), (Role::Assistant, completion)]
                .map(|(role, content)| Turn { role, content });
            return Ok(Some(Self::Chat(introduced(fields, vec![user, assistant])?)));
        }
        let half =
            ["prompt", "completion", "instruction", "output"].iter().any(|name| fields.get(name).is_some());
        let text = fields.get("text").filter(|_| !half);
        text.map(|text| string("text", text).map(Self::Text)).transpose()
    }

    /// All its texts.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        let (few, many, turns): ([&str; 3], &[String], &[Turn]) = match self {
            Self::Text(text) => ([text, "", ""], &[], &[]),
            Self::Completion { prompt, completion } => ([prompt, completion, ""], &[], &[]),
            Self::Chat(turns) => ([""; 3], &[], turns),
            Self::Labelled { text, label } => ([text, label, ""], &[], &[]),
            Self::Question { question, choices, .. } => ([question, "", ""], choices, &[]),
            Self::Pair { prompt, chosen, rejected } => ([prompt, chosen, rejected], &[], &[]),
        };
        let said = turns.iter().map(|turn| turn.content.as_str());
        few.into_iter().chain(many.iter().map(String::as_str)).chain(said)
    }

    /// A number for what it says: the same on every machine.
    pub(super) fn hash(&self) -> u64 {
        self.texts().fold(0, |hash, text| mix(hash ^ xxh3_64(text.as_bytes())))
    }

    /// Whether there is nothing to learn from in it.
    pub(super) fn is_empty(&self) -> bool {
        let blank = |text: &str| text.trim().is_empty();
        match self {
            Self::Text(text) | Self::Labelled { text, .. } => blank(text),
            Self::Completion { prompt, completion } => blank(prompt) && blank(completion),
            Self::Question { question, .. } => blank(question),
            Self::Pair { prompt, .. } => blank(prompt),
            Self::Chat(_) => false,
        }
    }

    /// Turns of a conversation, each of which takes room of its own.
    pub(super) fn turns(&self) -> usize {
        if let Self::Chat(turns) = self { turns.len() } else { 0 }
    }
}

/// What is said of a row that is no record of `task`.
fn misfit(fields: &Fields<'_>, task: Task, columns: Option<&Columns>) -> Problem {
    let has = |names: &[&str]| names.iter().all(|name| fields.get(name).is_some());
    let other = if has(&["question", "choices", "answer"]) {
        Some("choice")
    } else if has(&["text", "label"]) {
        Some("label")
    } else if has(&["prompt", "chosen", "rejected"]) {
        Some("pair")
    } else if LEARNT.iter().any(|names| has(names)) {
        Some("lm")
    } else {
        None
    };
    let mut remedy = format!("task {} needs {}", task.name(), task.needs());
    if let Some(other) = other.filter(|other| *other != task.name()) {
        remedy.push_str(&format!(" (this record would do for {})", Setting::Task.to(other)));
    }
    if let Some(columns) = columns.filter(|_| matches!(task, Task::Label | Task::Lm)) {
        let named = |setting: Setting, own: &Option<String>| match own {
            Some(name) => format!("{setting} {name} is none of them"),
            None => format!("name another by {setting}"),
        };
        let text = named(Setting::TextColumn, &columns.text);
        let label = (task == Task::Label).then(|| named(Setting::LabelColumn, &columns.label));
        remedy.push_str(&format!(
            "; {}",
            [Some(text), label].into_iter().flatten().collect::<Vec<_>>().join(", ")
        ));
    }
    if fields.are_columns() {
        remedy.push_str("; the first line of a table names its columns");
    }
    Problem::new(fields.listed(), remedy)
}

/// `turns` behind what the record's `system` says, unless they begin so themselves.
fn introduced(fields: &Fields<'_>, mut turns: Vec<Turn>) -> Result<Vec<Turn>, Problem> {
    let begun = turns.first().is_some_and(|turn| turn.role == Role::System);
    if let Some(system) = fields.get("system").filter(|system| !begun && !is_blank(*system)) {
        turns.insert(0, Turn { role: Role::System, content: string("system", system)? });
    }
    Ok(turns)
}

/// Whether a value is text without any: what a table has where JSON has nothing.
fn is_blank(value: Value<'_>) -> bool {
    value.text().is_some_and(|text| text.trim().is_empty())
}

fn string(field: &'static str, value: Value<'_>) -> Result<String, Problem> {
    value.text().ok_or_else(|| Problem::field(field, value.found(), "write a string"))
}

fn weight(value: Value<'_>) -> Result<f32, Problem> {
    let number = serde_json::from_str(value.get()).ok().filter(|weight| WEIGHTS.contains(weight));
    number.ok_or_else(|| {
        let remedy =
            format!("write a number from {} to {}, or leave it out for 1", WEIGHTS.start(), WEIGHTS.end());
        Problem::field("weight", format!("found {}", short(value.get())), remedy)
    })
}

fn label_name(value: Value<'_>) -> Result<String, Problem> {
    let number = value.integer().filter(|_| !value.is_cell());
    let wrong = || Problem::field("label", value.found(), "write a string or an integer");
    let name = number.map(|number| number.to_string()).or_else(|| value.text()).ok_or_else(wrong)?;
    if name.trim().is_empty() {
        return Err(Problem::field("label", "found an empty label", "name the class, or take the line out"));
    }
    Ok(name)
}

fn choice_texts(value: Value<'_>) -> Result<Vec<String>, Problem> {
    let wrong = |found: String| {
        let remedy = format!("write an array of {} to {} strings", CHOICES.start(), CHOICES.end());
        Problem::field("choices", found, remedy)
    };
    let raws: Vec<&RawValue> = serde_json::from_str(value.get()).map_err(|_| wrong(value.found()))?;
    if !CHOICES.contains(&raws.len()) {
        return Err(wrong(format!("found {} choices", raws.len())));
    }
    raws.into_iter()
        .map(|raw| match serde_json::from_str(raw.get()) {
            Ok(Json::String(text)) => Ok(text),
            Ok(Json::Number(number)) => Ok(number.to_string()),
            _ => Err(wrong(format!("{} among them", Value::Json(raw).found()))),
        })
        .collect()
}

/// The index of the answer: an integer is an index from 0; a string is a choice's text or its letter.
fn answer_index(value: Value<'_>, choices: &[String]) -> Result<usize, Problem> {
    let last = choices.len() - 1;
    let wrong = |found: String| {
        let remedy = format!("write an index from 0 to {last}, a letter, or the text of one choice");
        Problem::field("answer", found, remedy)
    };
    let (direct, text) = match value.integer() {
        Some(number) => (usize::try_from(number).ok().filter(|&i| i <= last), number.to_string()),
        None => {
            let text = value.text().ok_or_else(|| wrong(value.found()))?;
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

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
